"""Result files of evaluations: mteb's layout, with what made each score beside it. All who read them read them here.

    RUNS/results/MODEL/REVISION[/experiments/EXPERIMENT]/TASK.json    mteb's; FACTS holds what made the score
    RUNS/results/.../model_meta.json                                  mteb's description of the model
    RUNS/results/.../details/run.json                                 which system and data this is
    RUNS/results/.../details/units/TASK.npz                           the units of the score
    RUNS/results/.../details/failures/TASK.json                       a task whose last try failed, and why
    RUNS/studies/STUDY.md, .json, .svg                                tables, numbers and plot of a study

A folder with a ``details/run.json`` is a run: one system, under one set of instructions, on one kind of data.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from instructor_search.errors import InstructorSearchError

RESULTS_FOLDER = "results"
STUDIES_FOLDER = "studies"
FACTS = "instructor_search"  # our key in mteb's result file
DETAILS = "details"  # below the files that mteb reads
RUN_FILE = f"{DETAILS}/run.json"
MODEL_FILE = "model_meta.json"
_REMEDY = "run that evaluation again, or delete its folder"


class ResultFileError(InstructorSearchError):
    """A result file cannot be read, or is not of this project; the message names the file."""


@dataclass(frozen=True)
class TaskScore:
    """A task's main score, from 0 to 1, with the ends of its interval where there is one."""

    task: str
    category: str
    metric: str
    score: float
    low: float | None
    high: float | None
    facts: Mapping[str, Any]  # what made the score, its seconds and its date among them
    scores: Mapping[str, Any]  # all that was measured
    path: Path


class TaskFailure(NamedTuple):
    """Why a task has no score."""

    task: str
    category: str
    reason: str


@dataclass(frozen=True)
class RunScores:
    """The scores of one system, under one set of instructions, on one kind of data; ``failures`` have none."""

    folder: Path
    label: str
    source: str
    fingerprint: str = ""
    precision: str = ""  # of the encoder's weights
    reranker: str = ""
    scores: dict[str, TaskScore] = field(default_factory=dict)
    failures: dict[str, TaskFailure] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Label and data."""
        return run_title(self.label, self.source)


def run_title(label: str, source: str) -> str:
    """Return label and data, which together name a run where no other model has the same name."""
    return f"{label} ({source})"


def score_file(folder: Path, task: str) -> Path:
    """Return the place of a task's result in a run's folder."""
    return folder / f"{task}.json"


def units_file(folder: Path, task: str) -> Path:
    """Return the place of the units of a task's score."""
    return folder / DETAILS / "units" / f"{task}.npz"


def failure_file(folder: Path, task: str) -> Path:
    """Return the place of a task's failure."""
    return folder / DETAILS / "failures" / f"{task}.json"


def read_score(path: Path) -> TaskScore:
    """Return the score in a task's file.

    Raises:
        ResultFileError: it cannot be read, or was not written by this project.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        recorded = values[FACTS]
        scores = next(iter(values["scores"].values()))[0]
        low, high = (None if end is None else float(end) for end in recorded.get("interval_95") or (None, None))
        return TaskScore(
            task=str(values["task_name"]),
            category=str(recorded["category"]),
            metric=str(recorded["metric"]),
            score=float(scores["main_score"]),
            low=low,
            high=high,
            facts={**recorded, "seconds": values.get("evaluation_time"), "date": values.get("date")},
            scores=scores,
            path=path,
        )
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        StopIteration,
        RecursionError,
    ) as error:
        raise ResultFileError(f"{path} is no result of this project ({type(error).__name__}: {error})") from error


def read_run(folder: Path, *, strict: bool = True) -> RunScores:
    """Return a run with the scores that can be read; a task whose last try failed has a failure and no score.

    ``strict``: a failure that cannot be read is an error; else it is passed over.

    Raises:
        ResultFileError: the folder is no run, or its description or a failure is damaged.
    """
    description = _read_facts(folder / RUN_FILE, ("label", "data"))
    failures = _read_failures(folder, strict)
    scores = _read_scores(folder)
    kept = (score.facts.get("precision") for score in scores)  # runs of earlier versions do not name it
    return RunScores(
        folder,
        str(description["label"]),
        str(description["data"]),
        str(description.get("fingerprint", "")),
        str(description.get("precision", "")) or next((str(name) for name in kept if name is not None), ""),
        str(description.get("reranker", "")),
        {score.task: score for score in scores if score.task not in failures},
        failures,
    )


def read_runs(output: Path, *, strict: bool = True) -> list[RunScores]:
    """Return all runs under RUNS, by data and label.

    ``strict``: a damaged run is an error; else it is passed over, and so is a failure that cannot be read.

    Raises:
        ResultFileError: a run's description or a failure is damaged.
    """
    runs = []
    for path in sorted((output / RESULTS_FOLDER).rglob(RUN_FILE)):
        with contextlib.nullcontext() if strict else contextlib.suppress(ResultFileError):
            runs.append(read_run(path.parents[1], strict=strict))
    return sorted(runs, key=lambda run: (run.source, run.label))


def _read_scores(folder: Path) -> list[TaskScore]:
    """Return the scores of a folder; what was cut short by a kill, or is another program's, is passed over."""
    scores = []
    for path in sorted(folder.glob("*.json")):
        if path.name != MODEL_FILE:
            with contextlib.suppress(ResultFileError):
                scores.append(read_score(path))
    return scores


def _read_failures(folder: Path, strict: bool) -> dict[str, TaskFailure]:
    failures = {}
    for path in sorted(failure_file(folder, "*").parent.glob("*.json")):
        with contextlib.nullcontext() if strict else contextlib.suppress(ResultFileError):
            recorded = _read_facts(path, TaskFailure._fields)
            failure = TaskFailure(*(str(recorded[name]) for name in TaskFailure._fields))
            failures[failure.task] = failure
    return failures


def _read_facts(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultFileError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    missing = [key for key in keys if not isinstance(values, dict) or key not in values]
    if missing:
        raise ResultFileError(f"{path} lacks {', '.join(missing)}; {_REMEDY}")
    return dict(values)
