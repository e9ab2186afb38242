"""What the page shows of a collection, and of what an address asks for: plain functions of the session."""

from __future__ import annotations

import re
from typing import Any

import gradio as gr

from instructor_search.store.schema import FILTER_FIELDS
from ui.address import tab_of
from ui.asking import MODES
from ui.handling import as_panel
from ui.mapping import CLUSTERS, colour_fields
from ui.render import jobs as jobs_html
from ui.session import Session
from ui.tabs import compare as compare_tab
from ui.tabs import search as search_tab

NUM_VIEW_PICKERS = 5  # on all tabs


def fields_of(session: Session, collection: str | None) -> list[str]:
    """Return what a filter of a collection can name."""
    if not collection:
        return []
    known = session.library.manifest(collection).fields
    return [*known, *(name for name in FILTER_FIELDS if name not in known and name != "text")]


def view_choices(session: Session, collection: str | None) -> list[tuple[str, str]]:
    """Return the views of a collection as (what is shown, name)."""
    if not collection:
        return []
    views = session.views(collection)
    return [(f"{view.name}: {view.document_instruction.strip() or 'no instruction'}", view.name) for view in views]


def standing(session: Session, name: str | None, view: str = "") -> tuple[str, str]:
    """Return a collection and its instruction, as the page keeps what it shows; both "" where there is none."""
    return name or "", session.default_instruction(name, view) if name else ""


def collection_parts(session: Session, collection: str | None, given: dict[str, str] | None = None) -> tuple[Any, ...]:
    """Return the views, the query instruction and the filter fields of a collection, for their components."""
    given = given or {}
    views = view_choices(session, collection)
    names = [name for _, name in views]
    chosen = given["v"] if given.get("v") in names else next(iter(names), None)
    instruction = session.default_instruction(collection, chosen) if chosen else ""
    if "i" in given and given.get("tab", "search") == "search":
        instruction = "" if given["i"] == "-" else given["i"]
    other = given["u"] if given.get("u") in names else chosen  # the second side of a comparison
    values = [other if at == 2 else chosen for at in range(NUM_VIEW_PICKERS)]
    pickers = (gr.Dropdown(choices=views, value=value) for value in values)  # Gradio changes what it gets
    fields = gr.Dropdown(choices=fields_of(session, collection), value=None)
    colours = gr.Dropdown(choices=colour_fields(session, collection), value=CLUSTERS)
    return (*pickers, instruction, fields, colours)


def first_state(session: Session, given: dict[str, str], name: str | None) -> dict[str, Any]:
    """Return what the page's head shows when it is opened: the collections, the first ingest, its clock, the tab."""
    job = session.first_job
    return {
        "collection": gr.Dropdown(choices=session.whole_collections(), value=name),
        "starting": jobs_html.starting(job),
        "clock": gr.Timer(active=job is not None and job.is_running),
        "bar": gr.Tabs(selected=tab_of(given)),
    }


def work_clock(session: Session) -> gr.Timer:
    """Return the clock of the work under way."""
    return gr.Timer(active=bool(session.jobs.running()))


def _number(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,3}", text) else 10


def search_state(session: Session, collection: str | None, given: dict[str, str]) -> dict[str, Any]:
    """Return the search that an address asks for, and its hits; without a query, the start."""
    mode = given["m"] if given.get("m") in MODES else "dense"
    query, where, top_k = given.get("q", ""), given.get("w", ""), _number(given.get("k", ""))
    known = collection in session.collections()
    instruction = session.default_instruction(collection, given.get("v", "")) if known else ""
    if "i" in given:
        instruction = "" if given["i"] == "-" else given["i"]
    results = as_panel(search_tab.search)(session, collection, query, instruction, given.get("v"), mode, where, top_k)
    return {"query": query, "mode": mode, "where": where, "top_k": top_k, "results": results}


def compare_state(session: Session, collection: str | None, given: dict[str, str]) -> dict[str, Any]:
    """Return the comparison that an address asks for, and its sides; without a query, the start."""
    query, where, top_k = given.get("q", ""), given.get("w", ""), _number(given.get("k", ""))
    first, second = (given.get(name, default) for name, default in zip("ij", _compared(query), strict=True))
    first, second = ("" if text == "-" else text for text in (first, second))
    views = given.get("v"), given.get("u", given.get("v"))
    results = as_panel(compare_tab.compare)(session, collection, query, first, second, *views, where, top_k)
    return {"query": query, "first": first, "second": second, "where": where, "top_k": top_k, "results": results}


def _compared(query: str) -> tuple[str, str]:
    """Return the instructions of a comparison whose address names none."""
    return ("", "") if query else (compare_tab.FIRST, compare_tab.SECOND)


def tick(session: Session, current: str | None) -> tuple[Any, ...]:
    """Return how the making of the first collection stands; once it is there, the page takes it up."""
    job = session.first_job
    if job is not None and job.is_running:
        return gr.skip(), jobs_html.starting(job), gr.Timer(active=True)
    names = session.collections()
    name = current if current in names else session.default_collection()
    return gr.Dropdown(choices=names, value=name), jobs_html.starting(job), gr.Timer(active=False)
