"""The tab Map: a collection on a plane, under one or two instructions side by side."""

from __future__ import annotations

from typing import Any

import gradio as gr

from instructor_search.instruction_library import LIBRARY
from ui import mapping
from ui.handling import AT_ONCE, QUIET, as_drawer, as_toast
from ui.job import Job
from ui.render import drawer
from ui.render.parts import panel, text
from ui.session import Session
from ui.theme import script

PICKS = [(f"{pair.name} · {pair.use}", pair.document) for pair in LIBRARY]
EMPTY = panel(
    "empty",
    "The collection as a landscape",
    "Each point is a chunk; near points mean alike. Under another instruction the same chunks lie elsewhere.",
)
OTHER = "Represent the medical article for retrieval: "
NOTHING, OTHER_VIEW, OTHER_INSTRUCTION = "one map", "another view", "another instruction"


def draw(
    session: Session,
    collection: str | None,
    view: str | None,
    beside: str,
    other: str | None,
    instruction: str,
    method: str,
    colour: str | None,
) -> tuple[str, str]:
    """Return what is said above the map, and the map's data."""
    if not collection:
        raise ValueError("there is no collection yet; make one in the tab Collections")
    views = [view] if view else []
    if beside == OTHER_VIEW:
        if not other:
            raise ValueError("choose the other view, or make one in the tab Collections")
        views.append(other)
    instructions = [instruction or ""] if beside == OTHER_INSTRUCTION else []
    projection = mapping.lay_out(session, collection, views, instructions, method)
    if isinstance(projection, Job):
        return panel(
            "note",
            "The map is being laid out",
            f"{projection.title}: this takes a while; its job stands in the tab Collections. "
            "Press Draw again at its end.",
        ), ""
    kept = "kept from before" if projection.from_cache else f"laid out in {projection.seconds:.1f} s"
    keys = "Drag moves, the wheel zooms, shift and drag selects, a click opens."
    said = f"{len(projection.chunk_ids):,} chunks of {collection}, {kept}. {keys}"
    return f'<div class="found" role="status"><span>{text(said)}</span></div>', mapping.payload(
        session, collection, projection, colour or mapping.CLUSTERS
    )


def build(session: Session, collection: gr.Dropdown, shown: gr.HTML) -> dict[str, Any]:
    """Lay the tab out; return the components that the page fills with what a collection has."""
    with gr.Row(equal_height=False):
        view = gr.Dropdown([], label="View", elem_id="map-view", min_width=160)
        beside = gr.Radio(
            [NOTHING, OTHER_VIEW, OTHER_INSTRUCTION],
            value=OTHER_INSTRUCTION,
            label="Beside it",
            elem_id="map-beside",
            min_width=300,
        )
        method = gr.Radio(
            [("t-SNE", "tsne"), ("Principal components", "pca")],
            value="tsne",
            label="Laid out by",
            min_width=220,
            elem_id="map-method",
        )
        colour = gr.Dropdown(
            [mapping.CLUSTERS], value=mapping.CLUSTERS, label="Coloured by", elem_id="map-colour", min_width=140
        )
    other = gr.Dropdown([], label="The other view", elem_id="map-other", visible=False)
    with gr.Row(equal_height=True, elem_classes="stack-narrow", visible=True) as instructed:
        instruction = gr.Textbox(
            OTHER, label="The other document instruction", max_lines=2, scale=5, elem_id="map-instruction"
        )
        pick = gr.Dropdown(PICKS, value=None, label="From the library", scale=3)
    go = gr.Button("Draw", variant="primary", elem_id="map-go")
    said = gr.HTML(EMPTY, elem_id="map-said")
    canvas = gr.HTML("", elem_id="map", html_template='<div class="map-root"></div>', js_on_load=script("map"))
    inputs = [collection, view, beside, other, instruction, method, colour]

    def run(*values: Any) -> tuple[str, str]:
        return draw(session, *values)

    drawing: dict[str, Any] = {"api_visibility": "private", "show_progress": "full", "concurrency_limit": 2}
    go.click(as_toast(run), inputs, [said, canvas], **drawing)
    colour.input(as_toast(run), inputs, [said, canvas], **drawing)
    beside.change(
        lambda chosen: (gr.Dropdown(visible=chosen == OTHER_VIEW), gr.Row(visible=chosen == OTHER_INSTRUCTION)),
        beside,
        [other, instructed],
        **QUIET,
    )
    pick.input(lambda chosen: chosen or "", pick, instruction, **QUIET)

    def clicked(event: gr.EventData) -> str:
        return drawer.document(session.document(event.collection, event.chunk), event.chunk)

    canvas.click(as_drawer(clicked), None, shown, **AT_ONCE)
    return {"view": view, "other": other, "colour": colour, "said": said, "canvas": canvas}
