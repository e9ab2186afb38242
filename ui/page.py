"""The page: a head with the collection, and one tab a purpose. Composes; what they do stands in the tabs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from instructor_search.store.schema import FILTER_FIELDS
from ui.api import add_endpoints
from ui.blocks import OwnBlocks
from ui.handling import QUIET, as_panel, as_toast
from ui.mapping import CLUSTERS, colour_fields
from ui.render import jobs as jobs_html
from ui.session import MODES, Session
from ui.tabs import collections as collections_tab
from ui.tabs import compare as compare_tab
from ui.tabs import evaluation as evaluation_tab
from ui.tabs import map as map_tab
from ui.tabs import prompts as prompts_tab
from ui.tabs import search as search_tab
from ui.theme import TOGGLE, script

BRAND = """<div class="brand"><h1>instructor-search</h1>
<p>The same documents under another instruction are a different space.</p></div>"""


def build_app(session: Session) -> gr.Blocks:
    """Return the application; nothing of a model or a collection is loaded yet."""
    with OwnBlocks(
        title="instructor-search", analytics_enabled=False, fill_width=True, delete_cache=(3600, 21_600)
    ) as blocks:
        collection, toggle = _head()
        starting = gr.HTML("", elem_id="starting")
        clock = gr.Timer(0.7, active=False)
        shown = gr.HTML("", elem_id="drawer", js_on_load=script("drawer"))
        tabs: dict[str, dict[str, Any]] = {}
        with gr.Tabs(elem_id="tabs") as bar:
            for name, title, build in _TABS:
                with gr.Tab(title, id=name, elem_id=f"tab-{name}"):
                    tabs[name] = build(session, collection, shown)
        toggle.click(None, None, None, js=TOGGLE, api_visibility="private")
        add_endpoints(session)
        _tie(session, blocks, collection, starting, clock, bar, tabs)
    return blocks


NUM_VIEW_PICKERS = 5  # on all tabs
_TABS: list[tuple[str, str, Any]] = [
    ("search", "Search", search_tab.build),
    ("compare", "Compare", compare_tab.build),
    ("map", "Map", map_tab.build),
    ("prompts", "Prompts", prompts_tab.build),
    ("collections", "Collections", collections_tab.build),
    ("evaluation", "Evaluation", evaluation_tab.build),
]


def _head() -> tuple[gr.Dropdown, gr.Button]:
    with gr.Row(elem_classes="app-head"):
        gr.HTML(BRAND, scale=1, min_width=180)
        collection = gr.Dropdown([], label="Collection", elem_id="collection", scale=0, min_width=220,
                                 elem_classes="collection-pick")  # fmt: skip
        toggle = gr.Button("◐", elem_id="theme", elem_classes="theme-toggle", scale=0, min_width=44)
    return collection, toggle


def _tie(session: Session, blocks: gr.Blocks, collection: gr.Dropdown, starting: gr.HTML, clock: gr.Timer,
         bar: gr.Tabs, tabs: dict[str, dict[str, Any]]) -> None:  # fmt: skip
    own, other, work, drawn, scored, prompted = (
        tabs[name] for name in ("search", "compare", "collections", "map", "evaluation", "prompts")
    )
    views = [own["view"], other["view"], other["other_view"], drawn["view"], drawn["other"]]
    chosen = [*views, own["instruction"], own["field"], drawn["colour"]]
    parts_of = gr.State("")  # the collection that the views and fields on the page belong to

    def choose(name: str | None, shown: str) -> tuple[Any, ...]:
        if name == shown:  # the page has it already, with what its address asked for
            return tuple(gr.skip() for _ in range(len(chosen) + 1))
        return (name or "", *collection_parts(session, name))

    def opened(request: gr.Request) -> dict[Any, Any]:
        given = dict(request.query_params)
        name = first_collection(session, given)
        state = dict(
            zip([collection, starting, clock, bar, work["clock"]], first_state(session, given, name), strict=True)
        )
        state |= dict(zip(chosen, collection_parts(session, name, given), strict=True))
        state |= {parts_of: name or "", work["jobs"]: collections_tab.work(session)}
        state |= {prompted["pool"]: prompts_tab.pool_choices(session)}
        state |= {scored[key]: value for key, value in evaluation_tab.looked(session, None).items()}
        return state | asked(given, name)

    def asked(given: dict[str, str], name: str | None) -> dict[Any, Any]:
        if not given.get("q"):
            return {}
        name = given.get("c") or name  # one that there is not is told where its hits would stand
        if given.get("tab") == "compare":
            return {other[key]: value for key, value in compare_state(session, name, given).items()}
        return {own[key]: value for key, value in search_state(session, name, given).items()}

    def again(name: str | None, ended: int) -> tuple[Any, ...]:
        if not (name and ended):  # Gradio also calls this when the page is opened
            return tuple(gr.skip() for _ in views)
        return tuple(gr.Dropdown(choices=view_choices(session, name)) for _ in views)

    opens = [
        bar,
        collection,
        starting,
        clock,
        parts_of,
        *work.values(),
        *chosen,
        *own.values(),
        *other.values(),
        *scored.values(),
        *prompted.values(),
    ]
    blocks.load(as_toast(opened), None, list(dict.fromkeys(opens)), **QUIET)
    collection.change(as_toast(choose), [collection, parts_of], [parts_of, *chosen], **QUIET)
    clock.tick(as_toast(lambda current: tick(session, current)), collection, [collection, starting, clock], **QUIET)
    work["ended"].change(as_toast(again), [collection, work["ended"]], views, **QUIET)
    work["ended"].change(lambda: prompts_tab.pool_choices(session), None, prompted["pool"], **QUIET)


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


def collection_parts(session: Session, collection: str | None, given: dict[str, str] | None = None) -> tuple[Any, ...]:
    """Return the views, the query instruction and the filter fields of a collection, for their components."""
    given = given or {}
    views = view_choices(session, collection)
    names = [name for _, name in views]
    chosen = given["v"] if given.get("v") in names else next(iter(names), None)
    instruction = session.default_instruction(collection, chosen) if chosen else ""
    if "i" in given and given.get("tab", "search") == "search":
        instruction = "" if given["i"] == "-" else given["i"]
    pickers = (gr.Dropdown(choices=views, value=chosen) for _ in range(NUM_VIEW_PICKERS))  # Gradio changes what it gets
    fields = gr.Dropdown(choices=fields_of(session, collection), value=None)
    colours = gr.Dropdown(choices=colour_fields(session, collection), value=CLUSTERS)
    return (*pickers, instruction, fields, colours)


def first_collection(session: Session, given: dict[str, str]) -> str | None:
    """Return the collection that an address names, else the one to show first."""
    return given["c"] if given.get("c") in session.collections() else session.default_collection()


def first_state(session: Session, given: dict[str, str], name: str | None) -> tuple[Any, ...]:
    """Return what a page shows when it is opened: the collections, the first ingest, the clocks, and the tab."""
    job, tab = session.first_job, given.get("tab", "search")
    return (
        gr.Dropdown(choices=session.collections(), value=name),
        jobs_html.starting(job),
        gr.Timer(active=job is not None and job.is_running),
        gr.Tabs(selected=tab if tab in {t[0] for t in _TABS} else "search"),
        gr.Timer(active=bool(session.jobs.running())),
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 10


def search_state(session: Session, collection: str | None, given: dict[str, str]) -> dict[str, Any]:
    """Return the search that an address asks for, and its hits."""
    mode = given["m"] if given.get("m") in MODES else "dense"
    query, where, top_k = given["q"], given.get("w", ""), _number(given.get("k", ""))
    known = collection in session.collections()
    instruction = session.default_instruction(collection, given.get("v", "")) if known else ""
    if "i" in given:
        instruction = "" if given["i"] == "-" else given["i"]
    found = as_panel(search_tab.search)(session, collection, query, instruction, given.get("v"), mode, where, top_k)
    return {"query": query, "mode": mode, "where": where, "top_k": top_k, "results": found}


def compare_state(session: Session, collection: str | None, given: dict[str, str]) -> dict[str, Any]:
    """Return the comparison that an address asks for, and its sides."""
    first, second = ("" if given.get(name, "-") == "-" else given[name] for name in ("i", "j"))
    query, where, view = given["q"], given.get("w", ""), given.get("v")
    top_k = _number(given.get("k", ""))
    found = as_panel(compare_tab.compare)(session, collection, query, first, second, view, view, where, top_k)
    return {"query": query, "first": first, "second": second, "where": where, "results": found}


def tick(session: Session, current: str | None) -> tuple[Any, ...]:
    """Return how the making of the first collection stands; once it is there, the page takes it up."""
    job = session.first_job
    if job is not None and job.is_running:
        return gr.skip(), jobs_html.starting(job), gr.Timer(active=True)
    names = session.collections()
    name = current if current in names else session.default_collection()
    return gr.Dropdown(choices=names, value=name), jobs_html.starting(job), gr.Timer(active=False)
