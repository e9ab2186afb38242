"""Results of tasks: written in mteb's form with what made each score beside it, and known again in a later run.

``instructor_search/result_files.py`` says where the files lie, and reads them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eval.records import Category, EvalDataError, Outcome, TaskInfo
from eval.units import MIN_UNITS, Units, interval
from instructor_search.files import atomic_file, write_at_once
from instructor_search.instructions import InstructionPair
from instructor_search.result_files import (
    FACTS,
    ResultFileError,
    TaskScore,
    failure_file,
    read_score,
    score_file,
    units_file,
)

_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "scikit-learn",
    "scipy",
    "mteb",
    "datasets",
    "lancedb",
    "sentence-transformers",
    "bm25s",
)


class Failure(NamedTuple):
    """Why a task has no score."""

    reason: str
    category: Category


@dataclass(frozen=True)
class Result(TaskScore):
    """A task's score of a category that is known here, with the units behind it."""

    category: Category

    @classmethod
    def of(cls, kept: TaskScore) -> Result:
        """Return the result of a score that was read.

        Raises:
            ResultFileError: its category is none of ours.
        """
        try:
            category = Category(kept.category)
        except ValueError as error:
            raise ResultFileError(f"{kept.path} is no result of this project ({error})") from error
        return cls(**{**vars(kept), "category": category})

    @property
    def units_path(self) -> Path:
        """File of the score's units."""
        return units_file(self.path.parent, self.task)

    def as_json(self) -> dict[str, Any]:
        """Return the score and what a reader of it asks for first, as plain values."""
        return {
            "category": str(self.category),
            "metric": self.metric,
            "score": self.score,
            "interval_95": [self.low, self.high],
            **{key: self.facts.get(key) for key in ("instruction", "seconds", "notes")},
        }

    def units(self) -> Units | None:
        """Return the units, if they were kept, can be read, and are those of this score."""
        if not self.facts.get("units") or not self.units_path.is_file():
            return None
        try:
            content = self.units_path.read_bytes()
            return Units.load(self.units_path) if _hash(content) == self.facts["units"] else None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None


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
    """Write a task's scores, their interval, its units and the facts; the result file last and at once.

    Raises:
        EvalDataError: the score is no number: the system finds all texts alike, say.
    """
    values = _as_mteb(info, outcome, seconds)
    values[FACTS] = facts | {
        **outcome.facts,
        **_spread(outcome.units, num_resamples, seed),
        "metric": outcome.metric or info.metric,
        "notes": _notes(outcome),
        "units": _write_units(folder, info.name, outcome.units),
    }
    target = score_file(folder, info.name)
    write_at_once(target, json.dumps(values, indent=1))
    clear_failure(folder, info.name)
    return read_result(target)


def _as_mteb(info: TaskInfo, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Return an outcome as the values of mteb's result file."""
    from mteb.results import TaskResult

    score = float(outcome.scores["main_score"])
    if not np.isfinite(score):
        raise EvalDataError(f"{info.name}: the score is not a number; the system may find all texts equally similar")
    metric = outcome.metric or info.metric
    scores = {
        **outcome.scores,
        metric: outcome.scores.get(metric, score),
        "main_score": score,
        "hf_subset": outcome.subset,
        "languages": ["eng-Latn"],
    }
    result = TaskResult(
        dataset_revision=info.revision,
        task_name=info.name,
        mteb_version=version("mteb"),
        scores={outcome.split: [scores]},
        evaluation_time=seconds,
        date=datetime.now(UTC),
    )
    values: dict[str, Any] = json.loads(result.model_dump_json())
    return values


def _notes(outcome: Outcome) -> list[str]:
    if outcome.units is None or outcome.units.num_units >= MIN_UNITS:
        return outcome.notes
    return [*outcome.notes, f"{outcome.units.num_units} units are too few for an interval"]


def _write_units(folder: Path, name: str, units: Units | None) -> str | None:
    """Write the units; return the hash of their file, which the result names: units of another score are not taken."""
    path = units_file(folder, name)
    if units is None:
        path.unlink(missing_ok=True)
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as part:
        units.save(part)
        return _hash(part.read_bytes())


def _spread(units: Units | None, num_resamples: int, seed: int) -> dict[str, Any]:
    if units is None or units.num_units < MIN_UNITS:
        return {"interval_95": None, "standard_error": None, "num_resamples": num_resamples}
    samples = units.resample(num_resamples, seed)
    error = float(np.nanstd(samples, ddof=1))
    return {"interval_95": interval(samples), "standard_error": error, "num_resamples": num_resamples}


def with_interval(result: Result, num_resamples: int, seed: int) -> Result:
    """Return a finished result with an interval of this many resamples; the file is renewed if it had another."""
    units = result.units()
    if units is None or result.facts.get("num_resamples") == num_resamples:
        return result
    values = json.loads(result.path.read_text(encoding="utf-8"))
    values[FACTS] |= _spread(units, num_resamples, seed)
    write_at_once(result.path, json.dumps(values, indent=1))
    return read_result(result.path)


def write_failure(folder: Path, info: TaskInfo, reason: str, details: str) -> None:
    """Record that a task failed. An older result stays on disk, for the settings that it was made under."""
    path = failure_file(folder, info.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    failure = {"task": info.name, "category": str(info.category), "reason": reason, "details": details}
    write_at_once(path, json.dumps(failure | {"date": datetime.now(UTC).isoformat(timespec="seconds")}, indent=1))


def clear_failure(folder: Path, name: str) -> None:
    """Forget a failure: the task has a result now."""
    failure_file(folder, name).unlink(missing_ok=True)


def facts_of(
    info: TaskInfo, sides: InstructionPair, system_facts: Mapping[str, Any], settings: Mapping[str, Any], variant: str
) -> dict[str, Any]:
    """Return what makes a score, and where: what must be equal for it to be taken as done."""
    return {
        **system_facts,
        "category": str(info.category),
        "metric": info.metric,
        "measure": info.metric,  # stays where a language model's score takes the place of "metric"
        "task_description": info.task_description,
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


def known_result(folder: Path, info: TaskInfo, facts: Mapping[str, Any]) -> Result | None:
    """Return the result of a task that was run before in just this way: model, instruction, data, settings."""
    path = score_file(folder, info.name)
    if not path.is_file():
        return None
    try:
        result = read_result(path)
    except ResultFileError:
        return None  # cut short by a kill: run it again
    return result if _made_alike(result.facts, facts) else None


_SAME = ("fingerprint", "runtime", "precision", "instruction", "data", "settings", "collection", "reranker")
_SAME_IF_KEPT = ("measure", "task_description", "reranker_files")  # results of earlier versions lack them


def _made_alike(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    if any(kept.get(key) != wanted.get(key) for key in _SAME):
        return False
    known = {**({} if "llm" in kept["settings"] else {"measure": kept["metric"]}), **kept}
    return all(known.get(key, wanted.get(key)) == wanted.get(key) for key in _SAME_IF_KEPT)


def read_result(path: Path) -> Result:
    """Return the result in a file.

    Raises:
        ResultFileError: it cannot be read, or was not written by this project.
    """
    return Result.of(read_score(path))


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that a score depends on, ours included."""
    from instructor_search import __version__

    versions = {"instructor-search": __version__}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
