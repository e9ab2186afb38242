"""The tab Prompts: a pool, an input; the retrieved examples and the exact prompt, to copy or to send."""

from __future__ import annotations

from typing import Any

import gradio as gr

from instructor_search.instruction_library import LIBRARY
from ui import prompting
from ui.handling import QUIET, as_panel, as_toast
from ui.render import jobs as jobs_html
from ui.render import prompts as html
from ui.session import Session
from ui.tabs.uploader import uploader
from ui.theme import script

INPUTS = ("pool", "text", "instruction", "task", "k", "selector", "order", "budget", "chat")  # of ``asked_of``
PICKS = [(f"{pair.name} · {pair.use}", pair.query) for pair in LIBRARY]


def pool_choices(session: Session) -> Any:
    """Return the pools, for their dropdown."""
    pools = prompting.pools(session)
    return gr.Dropdown(choices=pools, value=next(iter(pools), None))


def own_instruction(session: Session, pool: str | None) -> str:
    """Return the instruction that the inputs of a pool are under."""
    return session.views(pool)[0].document_instruction if pool in session.collections() else ""


def asked_of(
    pool: str | None,
    text: str,
    instruction: str,
    task: str,
    k: float,
    selector: str,
    order: str,
    budget: float | None,
    chat: bool,
) -> prompting.AskedPrompt:
    """Return what the components ask for."""
    return prompting.AskedPrompt(
        pool or "", text or "", instruction or "", task or "", int(k), selector, order, int(budget or 0), bool(chat)
    )


def show(session: Session, *values: Any) -> str:
    """Return the prompt as HTML."""
    asked = asked_of(*values)
    if not asked.text.strip():
        return html.EMPTY if asked.pool else html.NO_POOL
    return html.prompt(prompting.prompt_for(session, asked))


def send(session: Session, *values: Any) -> str:
    """Return what the language model says to the prompt."""
    return html.answer(prompting.answer(session, prompting.prompt_for(session, asked_of(*values))))


def build(session: Session, collection: gr.Dropdown, shown: gr.HTML) -> dict[str, Any]:
    """Lay the tab out; return the components that the page refreshes."""
    clock = gr.Timer(0.8, active=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=310):
            parts = _question(session)
        with gr.Column(scale=3, min_width=320):
            out = gr.HTML(html.EMPTY, elem_id="prompt", js_on_load=script("prompt"))
            said = gr.HTML("", elem_id="prompt-answer")
            work = gr.HTML("", elem_id="pool-work")
            form = _pool_form(session)
    pool, instruction = parts["pool"], parts["instruction"]
    inputs = [parts[name] for name in INPUTS]
    asking: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "concurrency_limit": 4}
    parts["go"].click(as_panel(lambda *values: show(session, *values)), inputs, out, **asking)
    parts["sending"].click(as_panel(lambda *values: send(session, *values)), inputs, said, **asking)
    parts["pick"].input(lambda chosen: chosen or "", parts["pick"], instruction, **QUIET)
    pool.change(lambda name: own_instruction(session, name), pool, instruction, **QUIET)

    def started(start: Any, emptied: int = 0) -> Any:
        def run(*values: Any) -> tuple[Any, ...]:
            start(session, *(value or "" for value in values))
            return gr.Timer(active=True), _work(session), *("" for _ in range(emptied))

        return as_toast(run)

    def tick() -> tuple[Any, str, Any]:
        if session.jobs.running():
            return gr.skip(), _work(session), gr.skip()
        return gr.Timer(active=False), _work(session), pool_choices(session)

    form["demo"].click(started(prompting.make_demo_pool), None, [clock, work], **QUIET)
    fields = form["inputs"]
    form["make"].click(started(prompting.make_pool, len(fields)), fields, [clock, work, *fields], **QUIET)
    clock.tick(as_toast(tick), None, [clock, work, pool], **QUIET)
    return {"pool": pool}


def _question(session: Session) -> dict[str, Any]:
    """Lay out what a prompt is made of; return the components by name."""
    components: dict[str, Any] = {}
    components["pool"] = gr.Dropdown([], label="Pool of examples", elem_id="pool")
    components["text"] = gr.Textbox(
        label="Input",
        lines=3,
        max_lines=8,
        elem_id="prompt-input",
        placeholder="The export hangs at 99 percent and never ends.",
    )
    components["instruction"] = gr.Textbox(
        label="Instruction (in what sense examples are near; empty: none)",
        lines=2,
        max_lines=2,
        elem_id="prompt-instruction",
    )
    components["pick"] = gr.Dropdown(PICKS, value=None, label="From the library")
    components["task"] = gr.Textbox(
        label="Task (stands first in the prompt)",
        max_lines=3,
        elem_id="prompt-task",
        placeholder="Name the component of the bug.",
    )
    with gr.Accordion("How examples are chosen", open=False):
        components["k"] = gr.Slider(
            1, prompting.MAX_EXAMPLES, value=8, step=1, label="Examples at most", elem_id="prompt-k"
        )
        components["selector"] = gr.Dropdown(prompting.SELECTORS, value="nearest", label="Selector")
        components["order"] = gr.Dropdown(prompting.ORDERS, value="nearest-last", label="Order in the prompt")
        components["budget"] = gr.Number(0, label="Tokens at most (0: no limit)", precision=0, minimum=0)
        components["chat"] = gr.Checkbox(False, label="As chat messages")
    components["go"] = gr.Button("Build the prompt", variant="primary", elem_id="prompt-go")
    components["sending"] = gr.Button(
        "Send to the language model", elem_id="prompt-send", visible=prompting.has_language_model(session)
    )
    return components


def _work(session: Session) -> str:
    pool_jobs = [job for job in session.jobs.all() if job.title.endswith(prompting.KIND)]
    return jobs_html.jobs(pool_jobs[-1:], read_only=True) if pool_jobs else ""


def _pool_form(session: Session) -> dict[str, Any]:
    with gr.Accordion("Make a pool of examples", open=False, visible=not session.config.read_only, elem_id="pool-form"):
        demo = gr.Button("Of the shipped bug reports (description → component)", size="sm", elem_id="demo-pool")
        name = gr.Textbox(label="Name", max_lines=1, elem_id="pool-name")
        file = uploader("pool-file", "A table: csv, jsonl, parquet, xlsx", session, several=False)
        with gr.Row():
            left = gr.Textbox(label="Column of the inputs", max_lines=1)
            right = gr.Textbox(label="Column of the outputs", max_lines=1)
        instruction = gr.Textbox(label="Instruction of the inputs (empty: none)", max_lines=2)
        make = gr.Button("Make the pool", size="sm", variant="primary", elem_id="make-pool")
    return {"demo": demo, "make": make, "inputs": [name, file, left, right, instruction]}
