"""Results of ``python -m eval`` on the page: side by side, as a table for other programs, and a run to start.

The rooms stay apart: the files are read, nothing of ``eval`` is imported, and an evaluation is a job.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from instructor_search import result_files
from instructor_search.result_files import STUDIES_FOLDER, RunScores
from ui.asking import AppError
from ui.job import Job
from ui.session import Session

QUICK = "quick"
VARIANTS = "none, tag, short, detailed, paraphrase-1 to paraphrase-5"
MODELS = re.compile(r"bm25|random|default(@(none|tag|short|detailed|paraphrase-[1-5]))?")
SUITES = (QUICK, "retrieval", "sts", "classification", "clustering", "robustness")


def read_runs(folder: Path) -> list[RunScores]:
    """Return the runs below a results folder that have a score; files that cannot be read are passed over."""
    return [run for run in result_files.read_runs(folder, strict=False) if run.scores]


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
            writer.writerow([*map(_cell, names), f"{100 * score.score:.2f}", *ends])
    return out.getvalue()


def _cell(value: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return f"'{value}" if value[:1] in "=+-@" else value


def plots(folder: Path) -> list[tuple[str, str]]:
    """Return (name, SVG) of the studies' plots."""
    images = []
    for path in sorted((folder / STUDIES_FOLDER).glob("*.svg")):
        try:
            images.append((path.stem, path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return images


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
