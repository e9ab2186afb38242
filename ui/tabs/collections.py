"""The tab Collections: make, fill, look at, check and delete them; work under way with its progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from instructor_search.instruction_library import LIBRARY
from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION
from ui import collections
from ui.handling import AT_ONCE, QUIET, as_panel, as_toast
from ui.render import collections as html
from ui.render import jobs as jobs_html
from ui.render.parts import panel
from ui.session import Session
from ui.tabs.uploader import uploader
from ui.theme import script

PICKS = [(f"{pair.name} · {pair.use}", pair.document) for pair in LIBRARY]
EMPTY = panel("empty", "No collection yet", "Give it a name, say what its documents are for, and upload files.")


def about(session: Session, name: str | None) -> str:
    """Return the numbers and views of a collection as HTML."""
    return html.collection(collections.facts(session, name)) if name else EMPTY


def documents(session: Session, name: str | None, words: str) -> str:
    """Return the files of a collection as HTML."""
    return html.documents(collections.facts(session, name), words or "") if name else ""


def work(session: Session) -> str:
    """Return all jobs as HTML."""
    return jobs_html.jobs(session.jobs.all(), read_only=session.config.read_only)


def build(session: Session, collection: gr.Dropdown, shown: gr.HTML) -> dict[str, Any]:
    """Lay the tab out; return the components that the page refreshes."""
    clock = gr.Timer(0.7, active=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            numbers = gr.HTML(EMPTY, elem_id="collection-facts")
            with gr.Accordion("Files", open=False):
                words = gr.Textbox(label="Only files with", max_lines=1, elem_id="file-words")
                files = gr.HTML("", elem_id="collection-files")
            gr.Markdown("### Work", elem_classes="hint")
            jobs = gr.HTML(work(session), elem_id="jobs", js_on_load=script("jobs"))
        with gr.Column(scale=2, min_width=300, visible=not session.config.read_only):
            forms = _forms(session, collection)
    if session.config.read_only:
        gr.HTML(panel("note", "For reading only", "This application was started with --read-only."))
    ended = gr.State(0)  # counts how often all jobs have ended: the page then looks for new views
    awaited = gr.State("")  # the collection of the job that was started here: it is shown at its end
    _tie_starts(session, collection, forms, [clock, jobs, awaited])
    _tie_other_buttons(session, collection, forms, numbers)
    _tie_work(session, collection, numbers, clock=clock, jobs=jobs, ended=ended, awaited=awaited)
    words.submit(as_panel(lambda name, w: documents(session, name, w)), [collection, words], files, **AT_ONCE)
    collection.change(as_panel(lambda name: about(session, name)), collection, numbers, **AT_ONCE)
    collection.change(as_panel(lambda name, w: documents(session, name, w)), [collection, words], files, **AT_ONCE)
    return {"jobs": jobs, "clock": clock, "ended": ended}


def _forms(session: Session, collection: gr.Dropdown) -> dict[str, Any]:
    """Lay out what changes something; return its components by name."""
    components: dict[str, Any] = {}
    with gr.Accordion("New collection", open=True):
        components["name"] = gr.Textbox(label="Name", placeholder="papers", max_lines=1, elem_id="new-name")
        components["instruction"] = gr.Textbox(
            DEFAULT_DOCUMENT_INSTRUCTION,
            label="Document instruction (what they are for)",
            lines=2,
            elem_id="new-instruction",
        )
        components["pick"] = gr.Dropdown(PICKS, value=None, label="From the library")
        components["files"] = uploader("new-files", "Files or folders", session)
        components["create"] = gr.Button("Make the collection", variant="primary", elem_id="create")
    with gr.Accordion("Add files to the chosen collection", open=False):
        components["more"] = uploader("more-files", "More files or folders", session)
        components["replace"] = gr.Checkbox(
            False, label="Replace files of the same name (else both are kept)", elem_id="replace"
        )
        components["add"] = gr.Button("Add the files", elem_id="add-files")
    if session.config.allow_folders:
        with gr.Accordion("Ingest a folder of the server", open=False):
            components["folder"] = gr.Dropdown(
                list(collections.allowed_folders(session)), label="Allowed folder", elem_id="folder"
            )
            components["below"] = gr.Textbox(label="Folder below it (empty: all of it)", max_lines=1, elem_id="below")
            components["into"] = gr.Textbox(label="Collection (new or existing)", max_lines=1, elem_id="into")
            components["ingest"] = gr.Button("Ingest the folder", elem_id="ingest-folder")
    with gr.Accordion("Add a view: the same documents under another instruction", open=False):
        components["view"] = gr.Textbox(
            label="Name of the view", placeholder="by-topic", max_lines=1, elem_id="view-name"
        )
        components["view_instruction"] = gr.Textbox(label="Document instruction", lines=2, elem_id="view-instruction")
        components["view_pick"] = gr.Dropdown(PICKS, value=None, label="From the library")
        components["cost"] = gr.HTML("", elem_id="view-cost")
        with gr.Row():
            components["estimate"] = gr.Button("What does it cost?", size="sm", elem_id="estimate")
            components["make_view"] = gr.Button("Make the view", size="sm", variant="primary", elem_id="make-view")
    with gr.Accordion("Check or delete the chosen collection", open=False):
        components["verify"] = gr.Button("Verify against checksums", size="sm", elem_id="verify")
        components["typed"] = gr.Textbox(
            label="Type its name to delete it, with its uploaded files", max_lines=1, elem_id="delete-name"
        )
        components["delete"] = gr.Button("Delete", variant="stop", size="sm", elem_id="delete")
    return components


def _tie_starts(session: Session, collection: gr.Dropdown, forms: dict[str, Any], told: list[Any]) -> None:
    """Let the buttons start jobs. ``told``: the clock, the jobs that are shown, and the collection that is awaited."""

    def started(button: str, start: Callable[..., Any], inputs: list[Any], emptied: dict[str, Any]) -> None:
        """Let a button start a job and, once it is started, empty the fields of its form."""

        def run(*values: Any) -> tuple[Any, ...]:
            job = start(session, *(value if value is not None else "" for value in values))
            return gr.Timer(active=True), work(session), job.collection, *emptied.values()

        fields = [forms[name] for name in emptied]
        forms[button].click(as_toast(run), inputs, [*told, *fields], **QUIET)

    named, instructed = {"name": ""}, {"instruction": DEFAULT_DOCUMENT_INSTRUCTION, "pick": None}
    viewed = {"view": "", "view_instruction": "", "view_pick": None, "cost": ""}
    started(
        "create",
        collections.create,
        [forms["name"], forms["instruction"], forms["files"]],
        {**named, **instructed, "files": ""},
    )
    started(
        "add",
        _chosen(collections.add_files),
        [collection, forms["more"], forms["replace"]],
        {"more": "", "replace": False},
    )
    started("make_view", _chosen(collections.add_view), [collection, forms["view"], forms["view_instruction"]], viewed)
    started("verify", _chosen(collections.verify), [collection], {})
    if "ingest" in forms:
        started(
            "ingest",
            collections.add_folder,
            [forms["into"], forms["folder"], forms["below"], forms["instruction"]],
            {"into": "", "below": ""},
        )


def _tie_other_buttons(session: Session, collection: gr.Dropdown, forms: dict[str, Any], numbers: gr.HTML) -> None:
    """Let picks fill their boxes, a button say what a view costs, and one delete."""
    for pick, box in (("pick", "instruction"), ("view_pick", "view_instruction")):
        forms[pick].input(lambda chosen: chosen or "", forms[pick], forms[box], **QUIET)

    def estimated(name: str | None, instruction: str) -> str:
        return html.cost(_chosen(collections.view_cost)(session, name, instruction))

    forms["estimate"].click(as_panel(estimated), [collection, forms["view_instruction"]], forms["cost"], **QUIET)
    forms["delete"].click(
        as_toast(_deleted(session)), [collection, forms["typed"]], [collection, forms["typed"], numbers], **QUIET
    )


def _tie_work(
    session: Session,
    collection: gr.Dropdown,
    numbers: gr.HTML,
    *,
    clock: gr.Timer,
    jobs: gr.HTML,
    ended: gr.State,
    awaited: gr.State,
) -> None:
    """Let jobs be ended and begun again, and the clock show how they stand."""

    def clicked(event: gr.EventData) -> tuple[Any, str]:
        (session.jobs.cancel if event.action == "cancel" else session.jobs.again)(event.value)
        return gr.Timer(active=True), work(session)

    if not session.config.read_only:
        jobs.click(as_toast(clicked), None, [clock, jobs], **QUIET)
    shown = [clock, jobs, collection, numbers, ended, awaited]
    clock.tick(as_toast(_ticked(session)), [collection, ended, awaited], shown, **QUIET)


def _chosen(start: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse to work on a collection where none is chosen."""

    def run(session: Session, name: str | None, *values: Any) -> Any:
        if not name:
            raise ValueError("no collection is chosen; choose one at the top of the page, or make one")
        return start(session, name, *values)

    return run


def _deleted(session: Session) -> Callable[..., Any]:
    def run(name: str | None, typed: str) -> tuple[Any, str, str]:
        _chosen(collections.delete)(session, name, typed)
        names = session.whole_collections()
        following = next(iter(names), None)
        return gr.Dropdown(choices=names, value=following), "", about(session, following)

    return run


def _ticked(session: Session) -> Callable[..., Any]:
    """Return what shows how jobs stand; once none runs, the collections are shown anew and the clock stops."""

    def run(current: str | None, ended: int, awaited: str) -> tuple[Any, ...]:
        if session.jobs.running():
            return gr.skip(), work(session), *(gr.skip() for _ in range(4))
        names = session.whole_collections()
        name = next((n for n in (awaited, current, *names) if n in names), None)
        chosen = gr.Dropdown(choices=names, value=name)
        return gr.Timer(active=False), work(session), chosen, about(session, name), ended + 1, ""

    return run
