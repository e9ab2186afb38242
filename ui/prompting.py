"""Prompts of retrieved examples: pools, the exact prompt for an input, and the configured language model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from instructor_search.in_context.choices import Order, Selector
from instructor_search.in_context.pool import ExamplePool
from instructor_search.in_context.prompt import Prompt, build_prompt
from instructor_search.in_context.template import ChatTemplate, PromptTemplate
from instructor_search.in_context.tokens import load_counter
from ui.asking import AppError, check_length, check_number, check_text
from ui.collections import keep_anew, new_name, start_ingest, start_new
from ui.job import Job
from ui.jobs import ROOT
from ui.session import Session

if TYPE_CHECKING:
    from instructor_search.in_context.llm import LanguageModel

SELECTORS, ORDERS = [str(s) for s in Selector], [str(o) for o in Order]
MAX_EXAMPLES = 64
DEMO = ROOT / "corpus" / "bugs" / "bug_reports.jsonl"
DEMO_NAME, DEMO_INPUT, DEMO_OUTPUT = "bug-examples", "description", "component"
DEMO_INSTRUCTION = "Represent the bug report for retrieving reports of the same component: "
KIND = "pool of examples"  # ends the titles of their jobs
_loading = Lock()


@dataclass(frozen=True)
class AskedPrompt:
    """A prompt as a user asks for it. ``instruction`` None: the pool's own; ``budget`` 0: no limit."""

    pool: str
    text: str
    instruction: str | None = None
    task: str = ""
    k: int = 8
    selector: str = "nearest"
    order: str = "nearest-last"
    budget: int = 0
    chat: bool = False


def pools(session: Session) -> list[str]:
    """Return the collections that are pools of examples."""
    return [name for name in session.collections() if session.library.manifest(name).examples]


def prompt_for(session: Session, asked: AskedPrompt) -> Prompt:
    """Return the prompt for an input.

    Raises:
        InstructorSearchError, ValueError: it cannot be built so; the message says why.
    """
    limits = session.limits
    for name in ("pool", "text", "instruction", "task", "selector", "order"):
        if name != "instruction" or asked.instruction is not None:
            check_text(name, getattr(asked, name))
    asked = replace(asked, k=check_number("num_examples", asked.k), budget=check_number("budget", asked.budget))
    if not asked.pool:
        raise AppError("there is no pool of examples yet; make one below")
    if not 1 <= asked.k <= MAX_EXAMPLES:
        raise AppError(f"{asked.k} examples were asked for; expected 1 to {MAX_EXAMPLES}")
    for name, text in (("input", asked.text), ("task", asked.task), ("instruction", asked.instruction or "")):
        check_length(name, text, limits.query_characters)
    collection = session.library.collection(asked.pool)
    pool = ExamplePool(collection, encoder=session.library.encoder(collection.view(None)))
    chosen = pool.select(asked.text, instruction=asked.instruction, k=asked.k, selector=asked.selector)
    counter = load_counter(session.config.llm_tokenizer)
    template: Any = ChatTemplate(task=asked.task) if asked.chat else PromptTemplate(task=asked.task)
    return build_prompt(
        chosen, asked.text, budget=asked.budget or None, template=template, count_tokens=counter, order=asked.order
    )


def make_pool(session: Session, name: str, batch: str, input_field: str, output_field: str, instruction: str) -> Job:
    """Start making a pool of an uploaded table, and return the job."""
    session.check_writable()
    name = new_name(session, name)
    if not (input_field.strip() and output_field.strip()):
        raise AppError("name the columns of the inputs and of the outputs")
    session.jobs.check_room()
    kept = keep_anew(session, name, batch)
    more = _example_settings(input_field.strip(), output_field.strip())
    return start_new(session, f"{name}: {KIND}", name, kept.folder, instruction, notes=kept.notes(), more=more)


def make_demo_pool(session: Session) -> Job:
    """Start making a pool of the shipped bug reports, and return the job."""
    session.check_writable()
    if DEMO_NAME in session.collections():
        raise AppError(f"the pool {DEMO_NAME} is there already; choose it above")
    if not DEMO.is_file():
        raise AppError("the shipped bug reports are not installed here; upload a table of your own")
    more = _example_settings(DEMO_INPUT, DEMO_OUTPUT)
    return start_ingest(session, f"{DEMO_NAME}: {KIND}", DEMO_NAME, [DEMO], DEMO_INSTRUCTION, more=more)


def _example_settings(inputs: str, outputs: str) -> dict[str, Any]:
    return {"examples": True, "input_field": inputs, "output_field": outputs}


def language_model(session: Session) -> LanguageModel:
    """Return the language model that was configured at the start; a local one is loaded with the first call.

    Raises:
        AppError: there is none.
    """
    config = session.config
    with _loading:
        known = session.language_model
        if known is None:
            if config.llm_endpoint and config.llm_model:
                from instructor_search.in_context.endpoint import EndpointModel

                known = EndpointModel(config.llm_endpoint, config.llm_model)
            elif config.llm:
                from instructor_search.in_context.llm import LocalModel

                known = LocalModel(config.llm)
            else:
                raise AppError("no language model was named at the start; see --llm, --llm-endpoint and --llm-model")
            session.language_model = known
    return known


def has_language_model(session: Session) -> bool:
    """Whether a language model was configured at the start."""
    config = session.config
    return bool(config.llm or (config.llm_endpoint and config.llm_model))


def answer(session: Session, prompt: Prompt) -> str:
    """Return what the language model says to a prompt."""
    asked: Any = prompt.messages or prompt.text
    return language_model(session).generate(asked, max_tokens=256)
