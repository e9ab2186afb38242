"""Results of ``python -m eval`` as files: mteb's layout below RUNS/results, our facts beside each score.

The rooms stay apart, so that the files are read and nothing of ``eval`` is imported; an evaluation is a job.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ui.asking import AppError
from ui.job import Job
from ui.session import Session

_FACTS = "instructor_search"
QUICK = "quick"
VARIANTS = "none, tag, short, detailed, paraphrase-1 to paraphrase-5"
MODELS = re.compile(r"bm25|random|default(@(none|tag|short|detailed|paraphrase-[1-5]))?")
SUITES = (QUICK, "retrieval", "sts", "classification", "clustering", "robustness")


@dataclass(frozen=True)
class Score:
    """A task's main score, 0 to 1, with the ends of its interval where there is one."""

    task: str
    category: str
    metric: str
    value: float
    low: float | None
    high: float | None


@dataclass
class RunScores:
    """The scores of one system on one kind of data."""

    label: str
    source: str
    scores: dict[str, Score] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Label and data."""
        return f"{self.label} ({self.source})"


def read_runs(folder: Path) -> list[RunScores]:
    """Return all runs below a results folder; files that cannot be read are passed over."""
    found = []
    for path in sorted((folder / "results").rglob("details/run.json")):
        facts = _json(path)
        if not {"label", "data"} <= set(facts):
            continue
        run = RunScores(str(facts["label"]), str(facts["data"]))
        for file in sorted(path.parents[1].glob("*.json")):
            score = _score(_json(file))
            if score is not None:
                run.scores[score.task] = score
        if run.scores:
            found.append(run)
    return sorted(found, key=lambda run: (run.source, run.label))


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # cut short by a kill, or another program's
        return {}
    return values if isinstance(values, dict) else {}


def _score(values: dict[str, Any]) -> Score | None:
    try:
        facts = values[_FACTS]
        main = next(iter(values["scores"].values()))[0]["main_score"]
        low, high = facts.get("interval_95") or (None, None)
        names = (str(values["task_name"]), str(facts["category"]), str(facts["metric"]))
        ends = (None if end is None else float(end) for end in (low, high))
        return Score(*names, float(main), *ends)
    except (KeyError, IndexError, StopIteration, TypeError, ValueError, AttributeError):
        return None


def tasks_of(runs: list[RunScores]) -> list[tuple[str, str]]:
    """Return (category, task) of all runs, in order."""
    return sorted({(score.category, score.task) for run in runs for score in run.scores.values()})


def as_csv(runs: list[RunScores]) -> str:
    """Return the scores x 100 as a table for other programs."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["run", "data", "category", "task", "metric", "score", "low", "high"])
    for run in runs:
        for score in run.scores.values():
            ends = ["" if end is None else f"{100 * end:.2f}" for end in (score.low, score.high)]
            names = (run.label, run.source, score.category, score.task, score.metric)
            writer.writerow([*map(_cell, names), f"{100 * score.value:.2f}", *ends])
    return out.getvalue()


def _cell(value: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return f"'{value}" if value[:1] in "=+-@" else value


def plots(folder: Path) -> list[tuple[str, str]]:
    """Return (name, SVG) of the studies' plots."""
    found = []
    for path in sorted((folder / "studies").glob("*.svg")):
        try:
            found.append((path.stem, path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return found


def start(session: Session, suite: str, models: str) -> Job:
    """Start an evaluation of the bundled sets, and return its job."""
    session.check_writable()
    if suite not in SUITES:
        raise AppError(f"suite is {suite!r}; expected one of {', '.join(SUITES)}")
    wanted = [model.strip() for model in models.split(",") if model.strip()]
    if not wanted:
        raise AppError("name what to evaluate, e.g. default@none, default")
    for model in wanted:  # a folder of this machine, or a model of the hub, is its owner's to name
        if not MODELS.fullmatch(model):
            raise AppError(
                f"{model!r:.60} cannot be evaluated here; expected default, default@VARIANT ({VARIANTS}), "
                "bm25 or random; others: python -m eval --models"
            )
    settings = {
        "suite": suite,
        "data": "bundled",
        "models": ",".join(wanted),
        "output": str(session.config.runs),
        "json": True,
    }
    return session.jobs.start(f"evaluation: {suite}, {', '.join(wanted)}", "", "eval", settings)
