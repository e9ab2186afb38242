"""Runs systems on tasks: finished ones are not run again, a failing one is recorded and the rest goes on."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from eval.config import DEFAULT_DEMONSTRATIONS, DEFAULT_SELECTOR, EvalConfig
from eval.housekeeping import modules_left_alone, return_memory, working_folder
from eval.progress import Progress
from eval.records import Category, Context, EvalDataError
from eval.results import (
    Failure,
    Result,
    clear_failure,
    facts_of,
    known_result,
    with_interval,
    write_failure,
    write_result,
)
from eval.runs import Run, result_folder, write_run
from eval.specifications import SystemOptions, check_specification, make_system
from eval.systems import System
from eval.tasks.base import EvalTask
from instructor_search.errors import InstructorSearchError

if TYPE_CHECKING:
    from instructor_search.in_context.llm import LanguageModel

PROTOCOL = 1  # of our own part of a score; another number makes finished tasks run again


@dataclass
class Summary:
    """What was done. ``runs``: one a system, in the order asked for, with the tasks that this call looked at."""

    runs: list[Run] = field(default_factory=list)
    num_run: int = 0
    num_known: int = 0  # finished before, not run again
    broken: dict[str, str] = field(default_factory=dict)  # system -> why it could not be made
    interrupted: bool = False

    @property
    def failures(self) -> dict[str, str]:
        """Return "task (system)", or a system -> reason."""
        tasks = {f"{task} ({run.label})": why.reason for run in self.runs for task, why in run.failures.items()}
        return tasks | self.broken

    def as_json(self, source: str) -> dict[str, Any]:
        """Return what was done on the data of ``source`` as plain values."""
        return {
            "data": source,
            "interrupted": self.interrupted,
            "broken": self.broken,
            "runs": [run.as_json() for run in self.runs],
        }


def run(config: EvalConfig, tasks: Sequence[EvalTask], source: str, progress: Progress | None = None) -> Summary:
    """Evaluate the systems of ``config`` on ``tasks``.

    Raises:
        ModelError, ValueError, EvalDataError: a system cannot be made, or none of the tasks is for it; found before
            the first task where that can be told without loading weights, else kept in the summary.
    """
    if len(config.selectors) * len(config.num_demonstrations) > 1:
        _of_prompt_retrieval(tasks)  # refuses what the second run would
    llm = language_model(config)
    for specification in config.models:
        check_specification(specification, system_options(config))
    told, summary = progress or Progress(), Summary()
    with working_folder(config.output) as folder, modules_left_alone():
        context = Context(
            folder=folder,
            seed=config.seed,
            cluster_seeds=config.cluster_seeds or 1,
            prompt_tokens=config.prompt_tokens,
            llm=llm,
            on_texts=told.texts,
        )
        try:
            for specification in config.models:
                _run_cells(specification, tasks, source, config, context, told, summary)
        except KeyboardInterrupt:
            summary.interrupted = True
        finally:
            told.close()
    return summary


def _run_cells(
    specification: str,
    tasks: Sequence[EvalTask],
    source: str,
    config: EvalConfig,
    context: Context,
    told: Progress,
    summary: Summary,
) -> None:
    """Run one system under each selector and number of demonstrations."""
    for cell in _cells(config, context):
        chosen = tasks if cell.number == 0 else _of_prompt_retrieval(tasks)
        try:
            options = system_options(config, _extras(cell.context, context.llm))
            system = make_system(specification, source, options)
            if cell.number and Category.PROMPT_RETRIEVAL not in system.categories:
                return
            fit = _fitting(system, chosen)
        except (InstructorSearchError, ValueError) as error:
            if len(config.models) == 1:
                raise
            summary.broken[specification] = _one_line(error)
            return
        _run_system(system, specification, fit, source, config, cell.context, told, summary)


class _Cell(NamedTuple):
    """A selector and a number of demonstrations, in the context of their runs."""

    number: int
    context: Context


def _cells(config: EvalConfig, context: Context) -> list[_Cell]:
    """Return the combinations asked for; those after the first concern prompt retrieval alone."""
    pairs = [(selector, k) for selector in config.selectors for k in config.num_demonstrations]
    return [_Cell(i, replace(context, selector=s, num_demonstrations=k)) for i, (s, k) in enumerate(pairs)]


def _of_prompt_retrieval(tasks: Sequence[EvalTask]) -> list[EvalTask]:
    found = [task for task in tasks if task.info.category is Category.PROMPT_RETRIEVAL]
    if not found:
        raise EvalDataError("--selectors and --demonstrations are for prompt retrieval; none of its sets was chosen")
    return found


def system_options(config: EvalConfig, extras: Mapping[str, str] | None = None) -> SystemOptions:
    """Return what the configuration says once for all systems."""
    return SystemOptions(
        device=config.device,
        runtime=config.runtime,
        precision=config.precision,
        allow_pickle=config.allow_pickle,
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


def _run_system(
    system: System,
    specification: str,
    tasks: Sequence[EvalTask],
    source: str,
    config: EvalConfig,
    context: Context,
    told: Progress,
    summary: Summary,
) -> None:
    folder = result_folder(config.output, system.meta)
    found = Run(
        folder,
        system.label,
        source,
        str(system.meta.revision),
        specification,
        str(system.facts.get("precision", "")),
        (system.meta.experiment_kwargs or {}).get("reranker", ""),
    )
    write_run(found, system.meta)
    told.system(system.label, len(tasks))
    summary.runs.append(found)
    for task in tasks:
        _run_task(system, task, found, config, context, told, summary)
        return_memory()


def _run_task(
    system: System, task: EvalTask, found: Run, config: EvalConfig, context: Context, told: Progress, summary: Summary
) -> None:
    info, folder = task.info, found.folder
    told.task(info.name)
    started = time.perf_counter()
    try:
        sides = system.sides(info)
        settings = _settings(info.category, config, context)
        facts = facts_of(info, sides, system.facts, settings, system.variant)
        known = None if config.overwrite else known_result(folder, info, facts)
        if known is not None:
            clear_failure(folder, info.name)
            result = found.results[info.name] = with_interval(known, config.num_resamples, config.seed)
            summary.num_known += 1
            told.done(info.name, f"{100 * result.score:.2f} (known)")
            return
        outcome = task.evaluate(system, sides, context)
        seconds = time.perf_counter() - started
        found.results[info.name] = result = write_result(
            folder, info, outcome, facts, seconds=seconds, num_resamples=config.num_resamples, seed=config.seed
        )
    except Exception as error:  # whatever a task's data or a model does: it is recorded, and the rest goes on
        reason = _one_line(error)
        write_failure(folder, info, reason, traceback.format_exc())
        found.failures[info.name] = Failure(reason, info.category)
        told.done(info.name, f"failed: {reason}")
        return
    summary.num_run += 1
    told.done(info.name, _said(result, seconds))


def _said(result: Result, seconds: float) -> str:
    notes = "".join(f"; {note}" for note in result.facts.get("notes") or [])
    return f"{100 * result.score:.2f} in {seconds:.1f} s{notes}"


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


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text if isinstance(error, InstructorSearchError) and text else f"{type(error).__name__}: {text}")[:600]
