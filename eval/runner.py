"""Runs systems on tasks: finished ones are not run again, a failing one is recorded and the rest goes on."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.config import EvalConfig
from eval.results import Run, facts_of, is_done, read_run, result_folder, write_failure, write_result, write_run
from eval.systems import System, SystemOptions, make_system
from eval.tasks.base import Category, Context, EvalTask
from instructor_search.errors import InstructorSearchError

if TYPE_CHECKING:
    from instructor_search.in_context.llm import LanguageModel


class Progress:
    """What a run tells while it goes on; the command line draws bars from it. This one says nothing."""

    def system(self, label: str, num_tasks: int) -> None:
        """A system begins."""

    def task(self, name: str) -> None:
        """A task begins."""

    def texts(self, count: int) -> None:
        """Texts were embedded."""

    def done(self, name: str, line: str) -> None:
        """A task ended."""

    def close(self) -> None:
        """The run is over."""


@dataclass
class Summary:
    """What was done. ``runs``: one a system, in the order asked for, with the results of the tasks asked for."""

    runs: list[Run] = field(default_factory=list)
    num_run: int = 0
    num_known: int = 0  # finished before, not run again
    interrupted: bool = False

    @property
    def failures(self) -> dict[str, str]:
        """Return "task (system)" -> reason."""
        return {f"{task} ({run.label})": why.reason for run in self.runs for task, why in run.failures.items()}


def run(config: EvalConfig, tasks: Sequence[EvalTask], source: str, progress: Progress | None = None) -> Summary:
    """Evaluate the systems of ``config`` on ``tasks``.

    Raises:
        ModelError, ValueError: a system cannot be made; what the systems before it did is kept.
    """
    told = progress or Progress()
    options = SystemOptions(
        device=config.device, allow_pickle=config.allow_pickle, instructions=config.instructions,
        reranker=config.reranker, cache_folder=config.cache_folder,
    )  # fmt: skip
    config.output.mkdir(parents=True, exist_ok=True)
    context = Context(
        folder=Path(tempfile.mkdtemp(prefix=".working-", dir=config.output)), seed=config.seed,
        num_demonstrations=config.num_demonstrations, prompt_tokens=config.prompt_tokens, llm=language_model(config),
        on_texts=told.texts,
    )  # fmt: skip
    summary = Summary()
    try:
        for specification in config.models:
            _run_system(make_system(specification, source, options), tasks, source, config, context, told, summary)
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        told.close()
        shutil.rmtree(context.folder, ignore_errors=True)
    return summary


def language_model(config: EvalConfig) -> LanguageModel | None:
    """Return the language model that the configuration names, if it names one."""
    from instructor_search.in_context.llm import EndpointModel, LocalModel

    if config.llm_endpoint and config.llm_model:
        return EndpointModel(config.llm_endpoint, config.llm_model)
    return LocalModel(config.llm, device=config.device) if config.llm else None


def _run_system(
    system: System, tasks: Sequence[EvalTask], source: str, config: EvalConfig, context: Context, told: Progress,
    summary: Summary,
) -> None:  # fmt: skip
    fit = [task for task in tasks if task.info.category in system.categories]
    folder = result_folder(config.output, system.meta)
    write_run(folder, system.label, source, system.meta)
    told.system(system.label, len(fit))
    asked = {task.info.name for task in fit}
    try:
        for task in fit:
            _run_task(system, task, folder, config, context, told, summary)
            _return_memory()
    finally:
        found = read_run(folder)
        found.results = {name: r for name, r in found.results.items() if name in asked}
        found.failures = {name: why for name, why in found.failures.items() if name in asked}
        summary.runs.append(found)


def _run_task(
    system: System, task: EvalTask, folder: Path, config: EvalConfig, context: Context, told: Progress, summary: Summary
) -> None:
    info = task.info
    told.task(info.name)
    started = time.perf_counter()
    try:
        sides = system.sides(info)
        facts = facts_of(info, sides, system.facts, _settings(info.category, config, context), system.variant)
        known = None if config.overwrite else is_done(folder, info, facts)
        if known is not None:
            summary.num_known += 1
            told.done(info.name, f"{100 * known.score:.2f} (known)")
            return
        outcome = task.evaluate(system, sides, context)
        seconds = time.perf_counter() - started
        result = write_result(
            folder, info, outcome, facts, seconds=seconds, num_resamples=config.num_resamples, seed=config.seed
        )
    except Exception as error:  # whatever a task's data or a model does: it is recorded, and the rest goes on
        reason = _one_line(error)
        write_failure(folder, info, reason, traceback.format_exc())
        told.done(info.name, f"failed: {reason}")
        return
    summary.num_run += 1
    told.done(info.name, f"{100 * result.score:.2f} in {seconds:.1f} s" + "".join(f"; {n}" for n in outcome.notes))


def _return_memory() -> None:
    """Give freed memory back (glibc): batches of all lengths leave half a gigabyte of holes in the heap."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def _settings(category: Category, config: EvalConfig, context: Context) -> dict[str, Any]:
    """Return the settings that a score of this category depends on."""
    settings: dict[str, Any] = {"seed": config.seed}
    if category is Category.PROMPT_RETRIEVAL:
        settings |= {"num_demonstrations": config.num_demonstrations, "llm": context.llm.name if context.llm else None}
        if context.llm:
            settings["prompt_tokens"] = config.prompt_tokens
    return settings


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    known = isinstance(error, InstructorSearchError) and text
    if isinstance(error, KeyError) and not known:
        return f"the instructions that were given do not name this task ({text})"
    return (text if known else f"{type(error).__name__}: {text}")[:600]
