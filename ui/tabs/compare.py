"""The tab Compare: one query under two instructions, side by side, and why a hit has its score under both."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from ui.address import first_collection
from ui.asking import Asked
from ui.handling import ASKING, AT_ONCE, QUIET, as_click, as_panel
from ui.render import comparison, drawer
from ui.render import jobs as jobs_html
from ui.render.parts import panel
from ui.session import Session
from ui.tabs.search import PICKS
from ui.theme import script

FIRST = "Represent the astronomy question for retrieving supporting documents: "
SECOND = "Represent the Roman mythology question for retrieving supporting documents: "
INPUTS = ("query", "first", "second", "view", "other_view", "where", "top_k")  # after the collection
EMPTY = panel(
    "empty",
    "Two instructions, one query",
    "Type a query and two instructions: what enters, leaves and moves is marked on both sides, and each hit says why.",
)


def compare(
    session: Session,
    collection: str | None,
    query: str,
    first: str,
    second: str,
    view: str | None,
    other_view: str | None,
    where: str,
    top_k: float,
) -> str:
    """Return both sides as HTML."""
    if not (query or "").strip():
        return EMPTY
    if not collection and session.first_job is not None and session.first_job.is_running:
        return jobs_html.AWAITED
    asked = Asked(collection or "", query, first or "", view or "", where=where or "", top_k=int(top_k))
    views = [view or "", other_view or view or ""]
    result = session.compare(asked, [first or "", second or ""], views)
    return comparison.comparison(result, asked, second or "", views[1])


def open_hit(session: Session, action: str, chunk: str, asked_text: str) -> str:
    """Return the drawer for a click on a hit: its document, or why it has its score under both instructions."""
    try:
        values = json.loads(asked_text)
        other = values.pop("other")
        asked = Asked(**values)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError("this page is out of date; compare again") from None
    document = session.document(asked.collection, chunk)
    if action != "why":
        return drawer.document(document, chunk)
    return drawer.explanation(document.title, session.explain(asked, chunk, [asked.instruction, other]))


def build(session: Session, collection: gr.Dropdown, shown: gr.HTML) -> dict[str, Any]:
    """Lay the tab out; return the components that the page fills from its address."""
    limits = session.limits
    with gr.Row(elem_classes="query-row", equal_height=True):
        query = gr.Textbox(
            label="Query",
            placeholder="mercury",
            lines=1,
            max_lines=3,
            scale=8,
            elem_id="compare-query",
            max_length=limits.query_characters,
        )
        go = gr.Button("Compare", variant="primary", scale=1, min_width=110, elem_id="compare-go", elem_classes="go")
    with gr.Row():
        boxes = [
            _instruction(limits.instruction_characters, side, text)
            for side, text in (("first", FIRST), ("second", SECOND))
        ]
    with gr.Accordion("Views, filter, number of hits", open=False):
        with gr.Row():
            view = gr.Dropdown([], label="View of the first side", elem_id="compare-view")
            other_view = gr.Dropdown([], label="View of the second side", elem_id="compare-other-view")
            where = gr.Textbox(label="Only chunks with", placeholder="stars <= 2", max_lines=1, elem_id="compare-where")
            top_k = gr.Slider(1, limits.top_k, value=10, step=1, label="Hits", elem_id="compare-top-k")
    results = gr.HTML(EMPTY, elem_id="comparison", js_on_load=script("results"))
    (first, _), (second, _) = boxes
    inputs = [collection, query, first, second, view, other_view, where, top_k]

    def run(request: gr.Request, name: str | None, *values: Any) -> str:
        return compare(session, name or first_collection(session, request.query_params), *values)

    for event in (query.submit, go.click, first.submit, second.submit, where.submit, top_k.release):
        event(as_panel(run), inputs, results, **ASKING)
    for box, pick in boxes:
        pick.input(lambda chosen: chosen or "", pick, box, **QUIET).then(as_panel(run), inputs, results, **ASKING)
    results.click(as_click(open_hit, session), None, shown, **AT_ONCE)
    return {
        "query": query,
        "first": first,
        "second": second,
        "view": view,
        "other_view": other_view,
        "where": where,
        "top_k": top_k,
        "results": results,
    }


def _instruction(most: int, side: str, text: str) -> tuple[gr.Textbox, gr.Dropdown]:
    with gr.Column(min_width=280):
        box = gr.Textbox(
            text,
            label=f"The {side} instruction (empty: none)",
            lines=2,
            max_lines=4,
            max_length=most,
            elem_id=f"instruction-{side}",
        )
        pick = gr.Dropdown(PICKS, value=None, label="From the library", elem_id=f"pick-{side}")
    return box, pick
