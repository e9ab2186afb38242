"""Result files: mteb's layout and form, with what made each score beside it.

    OUTPUT/results/MODEL/REVISION[/experiments/EXPERIMENT]/TASK.json    mteb's; "instructor_search" holds our facts
    OUTPUT/results/.../details/run.json                                 which system and data this is
    OUTPUT/results/.../details/units/TASK.npz                           the units of the score (eval/units.py)
    OUTPUT/results/.../details/failures/TASK.json                       a task that failed, and why

A folder with TASK.json files is a run: one system, under one set of instructions, on one kind of data.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eval.tasks.base import Category, EvalDataError, Outcome, Sides, TaskInfo
from eval.units import Units, interval

FACTS = "instructor_search"  # our key in mteb's result file
DETAILS = "details"  # below the files that mteb reads
RUN_FILE = f"{DETAILS}/run.json"
_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "scipy", "mteb", "datasets", "lancedb",
             "sentence-transformers", "bm25s")  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A task's score as a reader needs it; scores from 0 to 1."""

    task: str
    category: Category
    metric: str
    score: float
    low: float | None
    high: float | None
    facts: Mapping[str, Any]
    scores: Mapping[str, Any]
    path: Path

    @property
    def units_path(self) -> Path:
        """File of the score's units."""
        return self.path.parent / DETAILS / "units" / f"{self.task}.npz"

    def units(self) -> Units | None:
        """Return the units, where they were kept."""
        return Units.load(self.units_path) if self.units_path.is_file() else None


class Failure(NamedTuple):
    """Why a task has no score."""

    reason: str
    category: Category


@dataclass
class Run:
    """The results of one system under one set of instructions."""

    folder: Path
    label: str
    source: str
    results: dict[str, Result] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Label and data, which together name a run."""
        return f"{self.label} ({self.source})"


def result_folder(output: Path, meta: Any) -> Path:
    """Return the folder of a system's results: mteb's own choice for its ModelMeta."""
    from mteb.cache import ResultCache

    path: Path = ResultCache(output).get_task_result_path("task", meta)
    return path.parent


def write_run(folder: Path, label: str, source: str, meta: Any) -> None:
    """Write what a run is: mteb's description of the model, and our label."""
    (folder / DETAILS).mkdir(parents=True, exist_ok=True)
    _write(folder / "model_meta.json", json.dumps(meta.to_dict(), default=str, indent=4))
    _write(folder / RUN_FILE, json.dumps({"label": label, "data": source}, indent=1))


def write_result(
    folder: Path,
    info: TaskInfo,
    outcome: Outcome,
    facts: dict[str, Any],
    *,
    seconds: float,
    num_resamples: int,
    seed: int,
) -> Result:
    """Write a task's scores, their interval, its units and the facts; the result file last and at once."""
    from mteb.results import TaskResult

    score = float(outcome.scores["main_score"])
    spread: dict[str, Any] = {"interval_95": None, "standard_error": None}
    if outcome.units is not None:
        path = folder / DETAILS / "units" / f"{info.name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        outcome.units.save(part)
        part.replace(path)
        samples = outcome.units.resample(num_resamples, seed)
        spread = {"interval_95": interval(score, samples), "standard_error": float(np.nanstd(samples, ddof=1))}
    scores = {
        **outcome.scores, info.metric: outcome.scores.get(info.metric, score), "main_score": score,
        "hf_subset": outcome.subset, "languages": ["eng-Latn"],
    }  # fmt: skip
    result = TaskResult(
        dataset_revision=info.revision,
        task_name=info.name,
        mteb_version=version("mteb"),
        scores={outcome.split: [scores]},
        evaluation_time=seconds,
        date=datetime.now(UTC),
    )
    values = json.loads(result.model_dump_json())
    values[FACTS] = facts | spread | {"num_resamples": num_resamples, "notes": outcome.notes}
    (folder / DETAILS / "failures" / f"{info.name}.json").unlink(missing_ok=True)
    target = folder / f"{info.name}.json"
    _write(target, json.dumps(values, indent=1))
    return _read_result(target)


def write_failure(folder: Path, info: TaskInfo, reason: str, details: str) -> None:
    """Record that a task failed; an older result of it goes, so that nobody takes it for this run's."""
    path = folder / DETAILS / "failures" / f"{info.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{info.name}.json").unlink(missing_ok=True)
    facts = {"task": info.name, "category": str(info.category), "reason": reason, "details": details}
    _write(path, json.dumps(facts | {"date": datetime.now(UTC).isoformat(timespec="seconds")}, indent=1))


def facts_of(
    info: TaskInfo, sides: Sides, system_facts: Mapping[str, Any], settings: Mapping[str, Any], variant: str
) -> dict[str, Any]:
    """Return what makes a score, and where: what must be equal for it to be taken as done."""
    return {
        **system_facts,
        "category": str(info.category),
        "metric": info.metric,
        "domain": info.domain,
        "specialised": info.is_specialised,
        "published_name": info.published_name,
        "variant": variant,
        "instruction": sides._asdict(),
        "data": {"source": info.source, "revision": info.revision},
        "settings": dict(settings),
        "packages": package_versions(),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def is_done(folder: Path, info: TaskInfo, facts: Mapping[str, Any]) -> Result | None:
    """Return the result of a task that was run before in just this way: model, instruction, data, settings."""
    path = folder / f"{info.name}.json"
    if not path.is_file():
        return None
    try:
        result = _read_result(path)
    except EvalDataError:
        return None  # cut short by a kill: run it again
    same = (
        "fingerprint",
        "runtime",
        "precision",
        "instruction",
        "data",
        "settings",
        "metric",
        "collection",
        "reranker",
    )
    return result if all(result.facts.get(key) == facts.get(key) for key in same) else None


def read_runs(output: Path) -> list[Run]:
    """Return all runs under a folder, by label."""
    folders = sorted({path.parent.parent for path in (output / "results").rglob(RUN_FILE)})
    return sorted((read_run(folder) for folder in folders), key=lambda run: (run.source, run.label))


def read_run(folder: Path) -> Run:
    """Return a run with the results that can be read.

    Raises:
        EvalDataError: the folder is no run.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        raise EvalDataError(f"{folder} is no run; expected a folder that python -m eval wrote (with {RUN_FILE})")
    facts = json.loads(path.read_text(encoding="utf-8"))
    run = Run(folder, facts["label"], facts["data"])
    found: list[Result] = []
    for file in sorted(folder.glob("*.json")):
        if file.name != "model_meta.json":
            with contextlib.suppress(EvalDataError):  # cut short by a kill, or another program's
                found.append(_read_result(file))
    order = list(Category)
    found.sort(key=lambda result: (order.index(result.category), result.task.lower()))
    run.results = {result.task: result for result in found}
    for file in sorted((folder / DETAILS / "failures").glob("*.json")):
        failure = json.loads(file.read_text(encoding="utf-8"))
        run.failures[failure["task"]] = Failure(failure["reason"], Category(failure["category"]))
    return run


def find_run(name: str, output: Path) -> Run:
    """Return the run of a label ("MODEL@VARIANT"), of a title ("LABEL (DATA)") or of a folder.

    Raises:
        EvalDataError: there is none, or several.
    """
    if (Path(name) / RUN_FILE).is_file():
        return read_run(Path(name))
    runs = read_runs(output)
    found = [run for run in runs if name in (run.label, run.title)]
    if len(found) == 1:
        return found[0]
    if found:
        raise EvalDataError(f"several runs are called {name!r}; say which: {', '.join(repr(r.title) for r in found)}")
    known = ", ".join(repr(r.title) for r in runs) or "none yet"
    raise EvalDataError(f"no run {name!r} in {output}; there is: {known}; a run's folder may be named too")


def _read_result(path: Path) -> Result:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        facts = values[FACTS]
        scores = next(iter(values["scores"].values()))[0]
        low, high = facts.get("interval_95") or (None, None)
        return Result(
            values["task_name"], Category(facts["category"]), facts["metric"], float(scores["main_score"]), low, high,
            {**facts, "seconds": values.get("evaluation_time"), "date": values.get("date")}, scores, path,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, IndexError, StopIteration, AttributeError) as error:
        raise EvalDataError(f"{path} is no result of this project ({type(error).__name__}: {error})") from error


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that a score depends on, ours included."""
    from instructor_search import __version__

    found = {"instructor-search": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
