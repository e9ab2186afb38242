"""Runs: the results of one system, under one set of instructions, on one kind of data, in a folder of mteb's layout."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.records import Category, EvalDataError
from eval.results import Failure, Result
from instructor_search import result_files
from instructor_search.files import write_at_once
from instructor_search.result_files import MODEL_FILE, RUN_FILE, ResultFileError, RunScores, run_title

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta


@dataclass
class Run:
    """The results of one system under one set of instructions."""

    folder: Path
    label: str
    source: str
    fingerprint: str = ""
    specification: str = ""  # what asked for it, in this call
    precision: str = ""  # of the encoder's weights; empty where a run of an earlier version has no result
    reranker: str = ""
    results: dict[str, Result] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Label and data."""
        return run_title(self.label, self.source)

    @property
    def names(self) -> tuple[str, ...]:
        """All by which a run can be asked for."""
        labels = [self.label]
        for mark in self._marks:
            labels += [label + mark for label in labels if mark]
        return tuple(name for label in labels for name in (label, run_title(label, self.source)))

    def label_among(self, runs: Sequence[Run]) -> str:
        """Return the label with what tells this run from others of that label."""
        same = [run for run in runs if run.label == self.label]
        if len(same) < 2:
            return self.label
        differ = [len(set(marks)) > 1 for marks in zip(*(run._marks for run in same), strict=True)]
        shown = differ if any(differ) else [True, False, False]
        return self.label + "".join(mark for mark, is_shown in zip(self._marks, shown, strict=True) if is_shown)

    def as_json(self) -> dict[str, Any]:
        """Return the run as plain values; scores from 0 to 1."""
        return {
            "label": self.label,
            "data": self.source,
            "folder": str(self.folder),
            "results": {name: result.as_json() for name, result in self.results.items()},
            "failures": {name: failure.reason for name, failure in self.failures.items()},
        }

    @property
    def _marks(self) -> tuple[str, str, str]:
        precision = f"+precision={self.precision}" if self.precision else ""
        reranker = f"+reranker={self.reranker}" if self.reranker else ""
        return f"#{self.fingerprint[:6]}", precision, reranker


def distinct_labels(runs: Sequence[Run]) -> list[str]:
    """Return the runs' labels; several of one label are told apart by fingerprint, precision and reranker."""
    return [run.label_among(runs) for run in runs]


def result_folder(output: Path, meta: ModelMeta) -> Path:
    """Return the folder of a system's results: mteb's own choice for its ModelMeta. Nothing is made."""
    from mteb.cache import ResultCache

    place = Path(tempfile.gettempdir())  # mteb would make ``output``
    return output / ResultCache(place).get_task_result_path("task", meta).parent.relative_to(place)


def write_run(run: Run, meta: ModelMeta) -> None:
    """Write what a run is: mteb's description of the model, and our label."""
    folder = run.folder
    (folder / RUN_FILE).parent.mkdir(parents=True, exist_ok=True)
    write_at_once(folder / MODEL_FILE, json.dumps(meta.to_dict(), default=str, indent=4))
    description = {
        "label": run.label,
        "data": run.source,
        "fingerprint": run.fingerprint,
        "precision": run.precision,
        "reranker": run.reranker,
    }
    write_at_once(folder / RUN_FILE, json.dumps(description, indent=1))


def read_runs(output: Path) -> list[Run]:
    """Return all runs under a folder, by data and label.

    Raises:
        ResultFileError: a run's description or a failure is damaged.
    """
    return [_as_run(kept) for kept in result_files.read_runs(output)]


def read_run(folder: Path) -> Run:
    """Return a run with the results that can be read; a task whose last try failed counts as failed.

    Raises:
        ResultFileError: the folder is no run, or its description or a failure is damaged.
    """
    return _as_run(result_files.read_run(folder))


def _as_run(kept: RunScores) -> Run:
    results: list[Result] = []
    for score in kept.scores.values():
        with contextlib.suppress(ResultFileError):  # of a category that is none of ours
            results.append(Result.of(score))
    order = list(Category)
    results.sort(key=lambda result: (order.index(result.category), result.task.lower()))
    return Run(
        kept.folder,
        kept.label,
        kept.source,
        kept.fingerprint,
        precision=kept.precision,
        reranker=kept.reranker,
        results={result.task: result for result in results},
        failures={f.task: Failure(f.reason, Category(f.category)) for f in kept.failures.values()},
    )


def find_run(name: str, output: Path) -> Run:
    """Return the run of a label ("MODEL@VARIANT"), of a title ("LABEL (DATA)"), or of a folder.

    A label may go on with "#FINGERPRINT", "+precision=PRECISION" and "+reranker=NAME", in this order.

    Raises:
        EvalDataError: there is none, or several.
        ResultFileError: a run's description or a failure is damaged.
    """
    if (Path(name) / RUN_FILE).is_file():
        return read_run(Path(name))
    runs = read_runs(output)
    matching = [run for run in runs if name in run.names]
    if len(matching) == 1:
        return matching[0]
    if matching:
        choices = ", ".join(repr(run_title(run.label_among(runs), run.source)) for run in matching)
        raise EvalDataError(f"several runs are called {name!r}; say which: {choices}, or a folder")
    known = ", ".join(repr(run.title) for run in runs) or "none yet"
    raise EvalDataError(f"no run {name!r} in {output}; there is: {known}; or name a run's folder")
