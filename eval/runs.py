"""Runs: the results of one system, under one set of instructions, on one kind of data, in a folder of mteb's layout."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.records import Category, EvalDataError
from eval.results import DETAILS, Failure, Result, read_result
from instructor_search.files import write_at_once

RUN_FILE = f"{DETAILS}/run.json"  # which system and data this is


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
        """Label and data, which together name a run where no other model has the same name."""
        return f"{self.label} ({self.source})"

    @property
    def names(self) -> tuple[str, ...]:
        """All by which a run can be asked for."""
        labels = [self.label]
        for mark in self._marks:
            labels += [label + mark for label in labels if mark]
        return tuple(name for label in labels for name in (label, f"{label} ({self.source})"))

    def label_among(self, runs: Sequence[Run]) -> str:
        """Return the label with what tells this run from others of that label."""
        same = [run for run in runs if run.label == self.label]
        if len(same) < 2:
            return self.label
        differ = [len(set(marks)) > 1 for marks in zip(*(run._marks for run in same), strict=True)]
        shown = differ if any(differ) else [True, False, False]
        return self.label + "".join(mark for mark, is_shown in zip(self._marks, shown, strict=True) if is_shown)

    @property
    def _marks(self) -> tuple[str, str, str]:
        precision = f"+precision={self.precision}" if self.precision else ""
        reranker = f"+reranker={self.reranker}" if self.reranker else ""
        return f"#{self.fingerprint[:6]}", precision, reranker


def distinct_labels(runs: Sequence[Run]) -> list[str]:
    """Return the runs' labels; several of one label are told apart by fingerprint, precision and reranker."""
    return [run.label_among(runs) for run in runs]


def result_folder(output: Path, meta: Any) -> Path:
    """Return the folder of a system's results: mteb's own choice for its ModelMeta."""
    from mteb.cache import ResultCache

    path: Path = ResultCache(output).get_task_result_path("task", meta)
    return path.parent


def write_run(run: Run, meta: Any) -> None:
    """Write what a run is: mteb's description of the model, and our label."""
    folder = run.folder
    (folder / DETAILS).mkdir(parents=True, exist_ok=True)
    write_at_once(folder / "model_meta.json", json.dumps(meta.to_dict(), default=str, indent=4))
    facts = {
        "label": run.label,
        "data": run.source,
        "fingerprint": run.fingerprint,
        "precision": run.precision,
        "reranker": run.reranker,
    }
    write_at_once(folder / RUN_FILE, json.dumps(facts, indent=1))


def read_runs(output: Path) -> list[Run]:
    """Return all runs under a folder, by label."""
    folders = sorted({path.parent.parent for path in (output / "results").rglob(RUN_FILE)})
    return sorted((read_run(folder) for folder in folders), key=lambda run: (run.source, run.label))


def read_run(folder: Path) -> Run:
    """Return a run with the results that can be read; a task whose last try failed counts as failed.

    Raises:
        EvalDataError: the folder is no run, or its description is damaged.
    """
    facts = _read_json(folder / RUN_FILE, ("label", "data"))
    run = Run(folder, facts["label"], facts["data"], str(facts.get("fingerprint", "")))
    run.precision, run.reranker = str(facts.get("precision", "")), str(facts.get("reranker", ""))
    for file in sorted((folder / DETAILS / "failures").glob("*.json")):
        failure = _read_json(file, ("task", "category", "reason"))
        run.failures[failure["task"]] = Failure(failure["reason"], Category(failure["category"]))
    found: list[Result] = []
    for file in sorted(folder.glob("*.json")):
        if file.name != "model_meta.json":
            with contextlib.suppress(EvalDataError):  # cut short by a kill, or another program's
                found.append(read_result(file))
    order = list(Category)
    found.sort(key=lambda result: (order.index(result.category), result.task.lower()))
    run.results = {result.task: result for result in found if result.task not in run.failures}
    run.precision = run.precision or next((str(result.facts.get("precision", "")) for result in found), "")
    return run


def _read_json(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in keys if key not in values]
    except (OSError, ValueError, TypeError) as error:
        raise EvalDataError(
            f"{path} cannot be read ({error}); run that evaluation again, or delete its folder"
        ) from error
    if missing:
        raise EvalDataError(f"{path} lacks {', '.join(missing)}; run that evaluation again, or delete its folder")
    return values


def find_run(name: str, output: Path) -> Run:
    """Return the run of a label ("MODEL@VARIANT"), of a title ("LABEL (DATA)"), or of a folder.

    A label may go on with "#FINGERPRINT", "+precision=PRECISION" and "+reranker=NAME", in this order.

    Raises:
        EvalDataError: there is none, or several.
    """
    if (Path(name) / RUN_FILE).is_file():
        return read_run(Path(name))
    runs = read_runs(output)
    found = [run for run in runs if name in run.names]
    if len(found) == 1:
        return found[0]
    if found:
        choices = ", ".join(repr(f"{run.label_among(runs)} ({run.source})") for run in found)
        raise EvalDataError(f"several runs are called {name!r}; say which: {choices}, or a folder")
    known = ", ".join(repr(run.title) for run in runs) or "none yet"
    raise EvalDataError(f"no run {name!r} in {output}; there is: {known}; or name a run's folder")
