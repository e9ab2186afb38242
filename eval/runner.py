"""Runs systems on tasks: finished ones are not run again, a failing one is recorded and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from eval.config import EvalConfig
from eval.housekeeping import modules_left_alone, return_memory, working_folder
from eval.plan import Broken, Evaluation, Problem, SystemPlan, check, first_context, plans
from eval.progress import Progress
from eval.records import Context, Outcome
from eval.results import Failure, Result, clear_failure, with_interval, write_failure, write_result
from eval.runs import Run, write_run
from eval.systems import System
from eval.tasks.base import EvalTask
from instructor_search.engines import Engine, LocalEngine


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


def run(
    config: EvalConfig,
    tasks: Sequence[EvalTask],
    source: str,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> Summary:
    """Evaluate the systems of ``config`` on ``tasks``. ``engine`` runs the tasks; None: this process.

    Raises:
        ModelError, ValueError, EvalDataError: a system cannot be made, or none of the tasks is for it; found before
            the first task where that can be told without loading weights, else kept in the summary.
    """
    check(config, tasks)
    told, summary = progress or Progress(), Summary()
    with working_folder(config.output) as folder, modules_left_alone():
        context = first_context(config, folder, told.texts)
        try:
            for plan in plans(config, tasks, source, context):
                if isinstance(plan, Broken):
                    summary.broken[plan.specification] = plan.reason
                else:
                    _SystemRun(plan, config, told, summary, engine or LocalEngine()).do()
                del plan  # and with it the system, before the next one is opened
        except KeyboardInterrupt:
            summary.interrupted = True
        finally:
            told.close()
    return summary


@dataclass(frozen=True)
class Evaluated:
    """What came of a task: an outcome in so many seconds, or why there is none."""

    evaluation: Evaluation
    outcome: Outcome | None
    seconds: float
    problem: Problem | None = None


def evaluate(system: System, context: Context, evaluation: Evaluation) -> Evaluated:
    """Run a task and return what came of it: what an engine maps over the tasks of a plan."""
    started = time.perf_counter()
    try:
        assert evaluation.sides is not None
        outcome = evaluation.task.evaluate(system, evaluation.sides, context)
    except Exception as error:  # whatever a task's data or a model does: it is recorded, and the rest goes on
        return Evaluated(evaluation, None, time.perf_counter() - started, Problem.of(error))
    return Evaluated(evaluation, outcome, time.perf_counter() - started)


class _SystemRun:
    """Runs the plan of one system and writes what comes of it."""

    def __init__(self, plan: SystemPlan, config: EvalConfig, told: Progress, summary: Summary, engine: Engine) -> None:
        self.plan, self.config, self.told, self.summary, self.engine = plan, config, told, summary, engine

    def do(self) -> None:
        """Run the tasks that wait, in order, among those that are known."""
        plan, summary = self.plan, self.summary
        write_run(plan.run, plan.system.meta)
        self.told.system(plan.run.label, len(plan.evaluations))
        summary.runs.append(plan.run)
        for evaluated in self.engine.map(partial(evaluate, plan.system, plan.context), self._waiting()):
            self._write(evaluated)
            return_memory()

    def _waiting(self) -> Iterator[Evaluation]:
        """Yield the tasks to run; say what is known of those between them."""
        for one in self.plan.evaluations:
            self.told.task(one.task.info.name)
            if one.problem is not None:
                self._fail(one, one.problem)
            elif one.known is not None:
                self._keep(one, one.known)
            else:
                yield one

    def _keep(self, one: Evaluation, known: Result) -> None:
        info, run = one.task.info, self.plan.run
        clear_failure(run.folder, info.name)
        result = run.results[info.name] = with_interval(known, self.config.num_resamples, self.config.seed)
        self.summary.num_known += 1
        self.told.done(info.name, f"{100 * result.score:.2f} (known)")

    def _write(self, evaluated: Evaluated) -> None:
        one, info, run = evaluated.evaluation, evaluated.evaluation.task.info, self.plan.run
        if evaluated.outcome is None or one.facts is None:
            self._fail(one, evaluated.problem or Problem("no outcome", ""))
            return
        try:
            run.results[info.name] = result = write_result(
                run.folder,
                info,
                evaluated.outcome,
                one.facts,
                seconds=evaluated.seconds,
                num_resamples=self.config.num_resamples,
                seed=self.config.seed,
            )
        except Exception as error:  # an outcome that is no score, a full disk
            self._fail(one, Problem.of(error))
            return
        self.summary.num_run += 1
        self.told.done(info.name, _said(result, evaluated.seconds))

    def _fail(self, one: Evaluation, problem: Problem) -> None:
        info, run = one.task.info, self.plan.run
        write_failure(run.folder, info, problem.reason, problem.details)
        run.failures[info.name] = Failure(problem.reason, info.category)
        self.told.done(info.name, f"failed: {problem.reason}")


def _said(result: Result, seconds: float) -> str:
    notes = "".join(f"; {note}" for note in result.facts.get("notes") or [])
    return f"{100 * result.score:.2f} in {seconds:.1f} s{notes}"
