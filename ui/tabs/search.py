"""The tab Search: a query, its instruction, filters; hits as cards that open, explain themselves and are judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from instructor_search.instruction_library import LIBRARY
from instructor_search.instructions import Instruction
from ui.address import asked_early
from ui.asking import Asked
from ui.demo import EXAMPLES
from ui.handling import ASKING, AT_ONCE, QUIET, as_click, as_panel, as_toast, as_values
from ui.render import cards, drawer
from ui.render import jobs as jobs_html
from ui.session import Session
from ui.theme import script

PICKS = [(f"{pair.name} · {pair.use}", pair.query) for pair in LIBRARY]
MODES = [("Meaning", "dense"), ("Words", "text"), ("Both", "hybrid")]
INPUTS = ("query", "instruction", "view", "mode", "where", "top_k")  # of a search, after the collection
EMPTY = cards.examples(EXAMPLES)
OPERATORS = ["=", "!=", "<", "<=", ">", ">=", "contains", "exists"]


def asked_of(text: str) -> Asked:
    """Return the search that a page says its hits come from.

    Raises:
        ValueError: it is none.
    """
    try:
        return Asked(**json.loads(text))
    except (TypeError, ValueError):
        raise ValueError("this page is out of date; search again") from None


def search(
    session: Session,
    collection: str | None,
    query: str,
    instruction: str,
    view: str | None,
    mode: str,
    where: str,
    top_k: float,
) -> str:
    """Return the hits as HTML."""
    asked = Asked(collection or "", query or "", instruction or "", view or "", mode, where or "", int(top_k))
    if not asked.query.strip():
        return EMPTY
    if not asked.collection and session.first_job is not None and session.first_job.is_running:
        return jobs_html.AWAITED
    return cards.answer(session.search(asked), read_only=session.config.read_only)


def open_hit(session: Session, action: str, chunk: str, asked_text: str) -> str:
    """Return the drawer for a click on a hit: its document, or why it has its score."""
    asked = asked_of(asked_text)
    document = session.document(asked.collection, chunk)
    if action != "why":
        return drawer.document(document, chunk)
    plain = [asked.sentence, ""] if asked.sentence.strip() else [""]
    return drawer.explanation(document.title, session.explain(asked, chunk, plain))


def judge_hit(session: Session, values: dict[str, Any]) -> dict[str, Any]:
    """Store a judgment that a page sends and return what to say."""
    session.judge(asked_of(values["asked"]), str(values["chunk"]), values["relevant"])
    said = {True: "stored as relevant", False: "stored as not relevant", None: "judgment taken back"}
    return {"text": said[values["relevant"]]}


def from_template(text_type: str, domain: str, objective: str) -> str:
    """Return the instruction of the paper's template."""
    if not text_type.strip():
        raise ValueError("the text type is empty; expected a word such as question, review or title")
    return Instruction.from_slots(
        text_type, domain=domain.strip() or None, task_objective=objective.strip() or None
    ).text


def add_condition(where: str, field: str | None, operator: str, value: str) -> str:
    """Return a filter with one more condition."""
    if not field:
        raise ValueError("choose a field first")
    if operator == "exists":
        condition = f"{field} exists"
    elif not value.strip():
        raise ValueError(f"the value is empty; expected what {field} is compared with")
    else:
        quoted = value.strip().replace("\\", "\\\\").replace('"', '\\"')
        condition = f'{field} {operator} "{quoted}"'
    return f"{where.strip()} and {condition}" if where.strip() else condition


def build(session: Session, collection: gr.Dropdown, shown: gr.HTML) -> dict[str, Any]:
    """Lay the tab out; return the components that the page fills from its address. ``shown``: the drawer."""
    parts = _question(session)
    with gr.Row(equal_height=False, elem_classes="whole-narrow"):
        with gr.Column(scale=0, min_width=300, elem_classes="options"):
            parts |= _options(session)
        with gr.Column(scale=4, min_width=320):
            parts["results"] = gr.HTML(
                EMPTY, elem_id="results", js_on_load=script("results"), server_functions=[_server(session)]
            )
    _tie(session, collection, shown, parts)
    return {name: parts[name] for name in (*INPUTS, "field", "results")}


def _question(session: Session) -> dict[str, Any]:
    """Lay out what is asked, and under which instruction; return the components by name."""
    components: dict[str, Any] = {}
    with gr.Row(elem_classes="query-row", equal_height=True):
        components["query"] = gr.Textbox(
            label="Query",
            placeholder="What do you look for?",
            lines=1,
            max_lines=3,
            scale=8,
            elem_id="query",
            autofocus=True,
            max_length=session.limits.query_characters,
        )
        components["go"] = gr.Button("Search", variant="primary", scale=1, min_width=110, elem_id="go")
    with gr.Row(equal_height=True, elem_classes="stack-narrow"):
        components["instruction"] = gr.Textbox(
            label="Instruction (free text; empty: none)",
            lines=1,
            max_lines=4,
            scale=5,
            elem_id="instruction",
            max_length=session.limits.instruction_characters,
        )
        components["pick"] = gr.Dropdown(
            PICKS, value=None, label="From the library", scale=3, elem_id="pick", filterable=True
        )
    return components


def _options(session: Session) -> dict[str, Any]:
    """Lay out how it is searched: the view, the filter, the template of instructions; return the components by name."""
    components: dict[str, Any] = {}
    components["view"] = gr.Dropdown([], label="View (what documents were embedded for)", elem_id="view")
    components["mode"] = gr.Radio(MODES, value="dense", label="Search by", elem_id="mode")
    components["top_k"] = gr.Slider(1, session.limits.top_k, value=10, step=1, label="Hits", elem_id="top-k")
    with gr.Accordion("Filter", open=False):
        components["where"] = gr.Textbox(
            label="Only chunks with", placeholder='stars <= 2 and mime contains "csv"', lines=2, elem_id="where"
        )
        components["field"] = gr.Dropdown([], label="Field", elem_id="field")
        with gr.Row():
            components["operator"] = gr.Dropdown(OPERATORS, value="=", label="Is", min_width=80)
            components["value"] = gr.Textbox(label="Value", min_width=100, max_lines=1)
        components["add"] = gr.Button("Add to the filter", size="sm")
    with gr.Accordion("Build an instruction", open=False):
        gr.Markdown("Represent the (domain) (text type) for (objective):", elem_classes="hint")
        components["domain"] = gr.Textbox(label="Domain", placeholder="astronomy", max_lines=1, elem_id="slot-domain")
        components["text_type"] = gr.Textbox(label="Text type", value="question", max_lines=1, elem_id="slot-type")
        components["objective"] = gr.Textbox(
            label="Objective", placeholder="retrieving supporting documents", max_lines=1, elem_id="slot-objective"
        )
        components["use"] = gr.Button("Use this instruction", size="sm", elem_id="use-template")
    return components


def _tie(session: Session, collection: gr.Dropdown, shown: gr.HTML, parts: dict[str, Any]) -> None:
    """Let the components search, fill one another and open hits."""
    instruction, where, results = parts["instruction"], parts["where"], parts["results"]
    inputs = [collection, *(parts[name] for name in INPUTS)]

    def run(request: gr.Request, name: str | None, asked: str, under: str, shown_view: str | None, *more: Any) -> str:
        name, under = asked_early(session, name, under, shown_view, request.query_params)
        return search(session, name, asked, under, shown_view, *more)

    searching: dict[str, Any] = {"fn": as_panel(run), "inputs": inputs, "outputs": results, **ASKING}
    for event in (parts["query"].submit, parts["go"].click, instruction.submit, where.submit):
        event(**searching)
    for event in (parts["view"].input, parts["mode"].input, parts["top_k"].release):
        event(**searching)
    parts["pick"].input(lambda chosen: chosen or "", parts["pick"], instruction, **QUIET).then(**searching)
    slots = [parts[name] for name in ("text_type", "domain", "objective")]
    parts["use"].click(as_toast(from_template), slots, instruction, **QUIET).success(**searching)
    condition = [where, *(parts[name] for name in ("field", "operator", "value"))]
    parts["add"].click(as_toast(add_condition), condition, where, **QUIET).success(**searching)
    results.click(as_click(open_hit, session), None, shown, **AT_ONCE)
    results.select(as_toast(_tried), None, [parts["query"], instruction], **QUIET).then(**searching)


def _server(session: Session) -> Callable[..., Any]:
    def judge_hit_here(values: dict[str, Any]) -> dict[str, Any]:
        return judge_hit(session, values)

    judge_hit_here.__name__ = "judge_hit"
    return as_values(judge_hit_here)


def _tried(event: gr.EventData) -> tuple[str, str]:
    return EXAMPLES[int(event.value)]
