"""What an evaluation will do: systems x tasks, resolved and checked, with what is known of them: ``--dry-run``."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.config import DEFAULT_DEMONSTRATIONS, DEFAULT_SELECTOR, EvalConfig
from eval.records import Category, Context, EvalDataError
from eval.results import Result, facts_of, known_result
from eval.runs import Run, result_folder
from eval.specifications import SystemOptions, check_specification, make_system
from eval.systems import System
from eval.tasks.base import EvalTask
from instructor_search.encoder.options import EncoderOptions
from instructor_search.errors import InstructorSearchError
from instructor_search.instructions import InstructionPair

if TYPE_CHECKING:
    from instructor_search.in_context.llm import LanguageModel

PROTOCOL = 1  # of our own part of a score; another number makes finished tasks run again


@dataclass(frozen=True)
class Evaluation:
    """A task for one system. ``known``: its result, where just this was run before; ``problem``: why it cannot be."""

    task: EvalTask
    sides: InstructionPair | None = None
    facts: dict[str, Any] | None = None
    known: Result | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class Problem:
    """Why a task failed: in a line, and in full."""

    reason: str
    details: str

    @classmethod
    def of(cls, error: Exception) -> Problem:
        """Return what to say of an error."""
        return cls(one_line(error), "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class SystemPlan:
    """One system under one selector and number of demonstrations, and its tasks."""

    system: System
    run: Run
    context: Context
    evaluations: Sequence[Evaluation]

    @cached_property
    def waiting(self) -> list[Evaluation]:
        """The tasks that have to be run."""
        return [one for one in self.evaluations if one.known is None and one.problem is None]

    def as_json(self) -> dict[str, Any]:
        """Return the plan for programs."""
        return {
            "model": self.run.label,
            "folder": str(self.run.folder),
            "known": [one.task.info.name for one in self.evaluations if one.known is not None],
            "to_run": [one.task.info.name for one in self.waiting],
            "failing": {one.task.info.name: one.problem.reason for one in self.evaluations if one.problem},
            "bytes": sum(one.task.info.num_bytes for one in self.waiting),
        }

    def as_text(self) -> str:
        """Return the plan for a person."""
        plan = self.as_json()
        counts = f"{len(plan['to_run'])} to run ({plan['bytes'] / 1e6:,.1f} million characters)"
        lines = [f"{plan['model']}: {counts}, {len(plan['known'])} known, {len(plan['failing'])} that cannot be run"]
        lines += [f"  {name}" for name in plan["to_run"]]
        return "\n".join([*lines, *(f"  {name}: {reason}" for name, reason in plan["failing"].items())])


@dataclass(frozen=True)
class Broken:
    """A system that could not be made, and why."""

    specification: str
    reason: str


def plans(
    config: EvalConfig, tasks: Sequence[EvalTask], source: str, context: Context
) -> Iterator[SystemPlan | Broken]:
    """Yield what is to be done, a system after another: each is opened when asked for, and its plan alone holds it.

    Raises:
        ModelError, ValueError, EvalDataError: the only system cannot be made, or none of the tasks is for it.
    """
    for specification in config.models:
        for number, cell in enumerate(_cells(config, context)):
            chosen = tasks if number == 0 else of_prompt_retrieval(tasks)
            try:
                options = system_options(config, _extras(cell, context.llm))
                system = make_system(specification, source, options)
                if number and Category.PROMPT_RETRIEVAL not in system.categories:
                    break
                fit = _fitting(system, chosen)
            except (InstructorSearchError, ValueError) as error:
                if len(config.models) == 1:
                    raise
                yield Broken(specification, one_line(error))
                break
            yield _plan(system, specification, fit, source, config, cell)
            del system  # its plan alone holds it: several at a time would not fit


def first_context(config: EvalConfig, folder: Path, on_texts: Callable[[int], None] | None = None) -> Context:
    """Return what the tasks of a run need; ``folder``: for their temporary files."""
    return Context(
        folder=folder,
        seed=config.seed,
        cluster_seeds=config.cluster_seeds or 1,
        prompt_tokens=config.prompt_tokens,
        llm=language_model(config),
        on_texts=on_texts,
    )


def check(config: EvalConfig, tasks: Sequence[EvalTask]) -> None:
    """Refuse what can be refused before anything is opened.

    Raises:
        ModelError, ValueError, EvalDataError: a model cannot be named so, or none of the tasks is for the settings.
    """
    if len(config.selectors) * len(config.num_demonstrations) > 1:
        of_prompt_retrieval(tasks)
    for specification in config.models:
        check_specification(specification, system_options(config))


def _plan(
    system: System, specification: str, tasks: Sequence[EvalTask], source: str, config: EvalConfig, context: Context
) -> SystemPlan:
    run = Run(
        result_folder(config.output, system.meta),
        system.label,
        source,
        str(system.meta.revision),
        specification,
        str(system.facts.get("precision", "")),
        (system.meta.experiment_kwargs or {}).get("reranker", ""),
    )
    return SystemPlan(system, run, context, [_evaluation(system, task, run, config, context) for task in tasks])


def _evaluation(system: System, task: EvalTask, run: Run, config: EvalConfig, context: Context) -> Evaluation:
    try:
        sides = system.sides(task.info)
        settings = _settings(task.info.category, config, context)
        facts = facts_of(task.info, sides, system.facts, settings, system.variant)
        known = None if config.overwrite else known_result(run.folder, task.info, facts)
    except Exception as error:  # whatever a task's data does: it is recorded, and the rest goes on
        return Evaluation(task, problem=Problem.of(error))
    return Evaluation(task, sides, facts, known)


def _cells(config: EvalConfig, context: Context) -> list[Context]:
    """Return a context for each selector and number of demonstrations; after the first, for prompt retrieval alone."""
    pairs = [(selector, k) for selector in config.selectors for k in config.num_demonstrations]
    return [replace(context, selector=s, num_demonstrations=k) for s, k in pairs]


def of_prompt_retrieval(tasks: Sequence[EvalTask]) -> list[EvalTask]:
    """Return the tasks of prompt retrieval.

    Raises:
        EvalDataError: there is none.
    """
    selected = [task for task in tasks if task.info.category is Category.PROMPT_RETRIEVAL]
    if not selected:
        raise EvalDataError("--selectors and --demonstrations are for prompt retrieval; none of its sets was chosen")
    return selected


def system_options(config: EvalConfig, extras: Mapping[str, str] | None = None) -> SystemOptions:
    """Return what the configuration says once for all systems."""
    return SystemOptions(
        encoder=EncoderOptions(
            device=config.device, runtime=config.runtime, precision=config.precision, allow_pickle=config.allow_pickle
        ),
        instructions=config.instructions,
        reranker=config.reranker,
        cache_folder=config.cache_folder,
        extras=extras or {},
    )


def language_model(config: EvalConfig) -> LanguageModel | None:
    """Return the language model that the configuration names, if it names one."""
    from instructor_search.in_context.endpoint import EndpointModel
    from instructor_search.in_context.llm import LocalModel

    if config.llm_endpoint and config.llm_model:
        return EndpointModel(config.llm_endpoint, config.llm_model)
    return LocalModel(config.llm, device=config.device) if config.llm else None


def _extras(context: Context, llm: LanguageModel | None) -> dict[str, str]:
    """Return what makes other runs of the same systems: their results stand beside one another."""
    extras = {}
    if context.selector != DEFAULT_SELECTOR:
        extras["selector"] = context.selector
    if context.num_demonstrations != DEFAULT_DEMONSTRATIONS:
        extras["demonstrations"] = str(context.num_demonstrations)
    if llm is not None:
        extras["llm"] = f"{llm.name.rpartition('/')[2]}-{hashlib.sha256(llm.identity.encode()).hexdigest()[:6]}"
    return extras


def _fitting(system: System, tasks: Sequence[EvalTask]) -> list[EvalTask]:
    """Return the tasks that a system can do.

    Raises:
        EvalDataError: it can do none of them.
    """
    fit = [task for task in tasks if task.info.category in system.categories]
    if not fit:
        raise EvalDataError(
            f"none of the tasks chosen is for {system.label}, which does {', '.join(sorted(system.categories))}"
        )
    return fit


def _settings(category: Category, config: EvalConfig, context: Context) -> dict[str, Any]:
    """Return the settings that a score of this category depends on."""
    settings: dict[str, Any] = {"seed": config.seed, "protocol": PROTOCOL}
    if category is Category.CLUSTERING and context.cluster_seeds > 1:
        settings["cluster_seeds"] = context.cluster_seeds
    if category is Category.PROMPT_RETRIEVAL:
        settings["num_demonstrations"] = context.num_demonstrations
        if context.selector != DEFAULT_SELECTOR:
            settings["selector"] = context.selector
        if context.llm:
            settings |= {"llm": context.llm.identity, "prompt_tokens": config.prompt_tokens}
    return settings


def one_line(error: Exception) -> str:
    """Return an error in a line of at most 600 characters."""
    text = " ".join(str(error).split())
    return (text if isinstance(error, InstructorSearchError) and text else f"{type(error).__name__}: {text}")[:600]
