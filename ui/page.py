"""The page: a head with the collection, and one tab a purpose. Composes; what they do stands in the tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from ui import address, opening
from ui.api import add_endpoints
from ui.blocks import OwnBlocks
from ui.handling import ASKING, AT_ONCE, QUIET, as_panel, as_toast
from ui.session import Session
from ui.tabs import collections as collections_tab
from ui.tabs import compare as compare_tab
from ui.tabs import evaluation as evaluation_tab
from ui.tabs import map as map_tab
from ui.tabs import prompts as prompts_tab
from ui.tabs import search as search_tab
from ui.theme import script

BRAND = """<div class="brand"><h1>instructor-search</h1>
<p>The same documents under another instruction are a different space.</p></div>"""
THEME = '<button id="theme" class="theme-toggle" type="button">◐</button>'  # its script names it
LATEST = AT_ONCE | {"trigger_mode": "always_last"}
_BUILDS = (search_tab, compare_tab, map_tab, prompts_tab, collections_tab, evaluation_tab)


def build_app(session: Session) -> gr.Blocks:
    """Return the application; nothing of a model or a collection is loaded yet."""
    with OwnBlocks(
        title="instructor-search", analytics_enabled=False, fill_width=True, delete_cache=(3600, 21_600)
    ) as blocks:
        head = {
            "collection": _head(),
            "starting": gr.HTML("", elem_id="starting"),
            "clock": gr.Timer(0.7, active=False),
            "drawer": gr.HTML("", elem_id="drawer", js_on_load=script("drawer")),
            "place": gr.HTML("", elem_id="place", js_on_load=script("visits")),
        }
        tabs: dict[str, dict[str, Any]] = {}
        with gr.Tabs(elem_id="tabs") as head["bar"]:
            for name, tab in zip(address.TABS, _BUILDS, strict=True):
                with gr.Tab(name.capitalize(), id=name, elem_id=f"tab-{name}"):
                    tabs[name] = tab.build(session, head["collection"], head["drawer"])
        add_endpoints(session)
        _Page(session, head, tabs).tie(blocks)
    return blocks


def _head() -> gr.Dropdown:
    with gr.Row(elem_classes="app-head"):
        gr.HTML(BRAND, scale=1, min_width=180, js_on_load=script("names"))
        collection = gr.Dropdown(
            [], label="Collection", elem_id="collection", scale=0, min_width=220, elem_classes="collection-pick"
        )
        gr.HTML(THEME, elem_classes="theme-box", js_on_load=script("theme"), min_width=44)
    return collection


class _Page:
    """What ties the tabs together: the collection at the top, the address, the work under way."""

    def __init__(self, session: Session, head: dict[str, Any], tabs: dict[str, dict[str, Any]]) -> None:
        self.session, self.head, self.tabs = session, head, tabs
        search_parts, other, drawn = (tabs[name] for name in ("search", "compare", "map"))
        self.views = [search_parts["view"], other["view"], other["other_view"], drawn["view"], drawn["other"]]
        self.inputs = {
            "search": [search_parts[key] for key in search_tab.INPUTS],
            "compare": [other[key] for key in compare_tab.INPUTS],
        }
        self.parts = [*self.views, search_parts["instruction"], search_parts["field"], drawn["colour"]]
        self.standing = gr.State(("", ""))  # the collection that the parts are of, and its instruction

    def tie(self, blocks: gr.Blocks) -> None:
        """Let the page's events do their work."""
        head, work = self.head, self.tabs["collections"]
        collection, shown = head["collection"], [self.standing, head["place"], *self.parts]
        parts = [part for tab in self.tabs.values() for part in tab.values()]
        everything = list(dict.fromkeys([*head.values(), *shown, *parts]))
        blocks.load(as_toast(self.opened), None, everything, **QUIET)
        head["place"].submit(as_toast(self.restored), self.standing, everything, **LATEST)
        cleared = [self.tabs["map"]["said"], self.tabs["map"]["canvas"]]
        choice = [collection, self.standing, self.tabs["search"]["instruction"]]
        collection.change(as_toast(self.chosen), choice, [*shown, *cleared], **LATEST)
        for name, ask in (("search", search_tab.search), ("compare", compare_tab.compare)):
            asked = [collection, *self.inputs[name]]
            head["place"].select(self.again(ask), asked, self.tabs[name]["results"], **ASKING)
        head["clock"].tick(as_toast(self.ticked), collection, [collection, head["starting"], head["clock"]], **QUIET)
        ended = work["ended"]
        ended.change(as_toast(self.looked), [collection, ended], self.views, **QUIET)
        ended.change(lambda: prompts_tab.pool_choices(self.session), None, self.tabs["prompts"]["pool"], **QUIET)

    def opened(self, request: gr.Request) -> dict[Any, Any]:
        """Return the page as its address asks for it."""
        session, given, work = self.session, dict(request.query_params), self.tabs["collections"]
        name = address.first_collection(session, given)
        shown: dict[Any, Any] = {self.head[key]: v for key, v in opening.first_state(session, given, name).items()}
        shown |= {work["jobs"]: collections_tab.work(session), work["clock"]: opening.work_clock(session)}
        shown |= {self.tabs["prompts"]["pool"]: prompts_tab.pool_choices(session)}
        shown |= self._of("evaluation", evaluation_tab.looked(session, None)) | self._parts_of(name, given)
        return shown | (self._asked(given, name, "again") if given.get("q") else {})

    def restored(self, standing: tuple[str, str], event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Return what the page showed under an address that somebody went back to."""
        given = dict(request.query_params)
        name, tab = address.first_collection(self.session, given), address.tab_of(given)
        shown: dict[Any, Any] = {self.head["bar"]: gr.Tabs(selected=tab), self.head["drawer"]: ""}
        parts = self._parts_of(name, given)
        anew = bool(given.get("q")) or tab in event.searched  # where two follow at once, the event is the first one's
        if (name or "") != standing[0]:
            shown |= {self.head["collection"]: name} | parts | self._cleared()
        elif tab in self.inputs:
            shown |= {part: parts[part] for part in self.inputs[tab] if part in parts and anew}
        return shown | (self._asked(given, name, "restored") if anew else {})

    def chosen(self, name: str | None, standing: tuple[str, str], instruction: str) -> dict[Any, Any]:
        """Return what the page shows of another collection; an instruction that somebody typed stays."""
        if (name or "") == standing[0]:  # the page has it already, with what its address asked for
            return {self.standing: standing}
        shown = self._parts_of(name, {}) | self._map_cleared()
        if (instruction or "") != standing[1]:
            shown.pop(self.tabs["search"]["instruction"])
        return shown | {self.head["place"]: address.place(name, chosen=True)}

    def again(self, ask: Callable[..., str]) -> Callable[..., Any]:
        """Return what makes a tab's search once more, after another collection was chosen."""

        def run(name: str | None, *values: Any) -> str:
            return address.marked(as_panel(ask)(self.session, name, *values), "again")

        return run

    def ticked(self, current: str | None) -> tuple[Any, ...]:
        """Return how the making of the first collection stands."""
        return opening.tick(self.session, current)

    def looked(self, name: str | None, ended: int) -> tuple[Any, ...]:
        """Return the views that there are, for all their pickers, after work has ended."""
        if not (name and ended):  # Gradio also calls this when the page is opened
            return tuple(gr.skip() for _ in self.views)
        return tuple(gr.Dropdown(choices=opening.view_choices(self.session, name)) for _ in self.views)

    def _of(self, tab: str, values: dict[str, Any]) -> dict[Any, Any]:
        return {self.tabs[tab][key]: value for key, value in values.items()}

    def _parts_of(self, name: str | None, given: dict[str, str]) -> dict[Any, Any]:
        shown = dict(zip(self.parts, opening.collection_parts(self.session, name, given), strict=True))
        standing = opening.standing(self.session, name, given.get("v", ""))
        return shown | {self.standing: standing, self.head["place"]: address.place(name)}

    def _asked(self, given: dict[str, str], name: str | None, how: str) -> dict[Any, Any]:
        tab = address.tab_of(given)
        name = given.get("c") or name  # one that is not there is told where hits would stand
        make = {"search": opening.search_state, "compare": opening.compare_state}.get(tab)
        if make is None:
            return {}
        state = make(self.session, name, given)
        return self._of(tab, state | {"results": address.marked(state["results"], how)})

    def _map_cleared(self) -> dict[Any, Any]:
        return self._of("map", {"said": map_tab.EMPTY, "canvas": ""})

    def _cleared(self) -> dict[Any, Any]:
        empty = {"search": search_tab.EMPTY, "compare": compare_tab.EMPTY}
        return self._map_cleared() | {self.tabs[tab]["results"]: value for tab, value in empty.items()}
