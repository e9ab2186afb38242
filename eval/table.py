"""Runs side by side: rows are tasks in their categories, columns are runs, with averages and their intervals."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from eval.records import Category
from eval.results import Result
from eval.runs import Run, distinct_labels

_Z = 1.959964  # of a 95 % interval
PUBLISHED_FILE = Path(__file__).parent / "published_scores.csv"
# Published scores worth a look beside ours: the base of our default model, a tuned one of its size, the paper's base.
PUBLISHED_MODELS = (
    "sentence-transformers/all-MiniLM-L6-v2",
    "avsolatorio/GIST-all-MiniLM-L6-v2",
    "sentence-transformers/gtr-t5-large",
    "hkunlp/instructor-base",
)


@dataclass(frozen=True)
class Cell:
    """A score x 100 with its 95 % interval, or a remark in its place ("failed", "-")."""

    score: float | None = None
    low: float | None = None
    high: float | None = None
    remark: str = "-"

    def text(self, *, with_interval: bool = True) -> str:
        """Return "72.37 [70.11, 74.52]", or the remark."""
        if self.score is None:
            return self.remark
        if not with_interval or self.low is None or self.high is None:
            return f"{self.score:.2f}"
        return f"{self.score:.2f} [{self.low:.1f}, {self.high:.1f}]"


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    metric: str
    cells: tuple[Cell, ...]
    is_average: bool = False
    published: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Table:
    """A title line and rows."""

    columns: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)


def make_table(runs: Sequence[Run]) -> Table:
    """Return the table of runs.

    A run takes part in an average if it was tried on all of its tasks; the average is over those that every run which
    takes part has a score of, and says how many.
    """
    table = Table(tuple(distinct_labels(runs)))
    by_category: dict[Category, list[str]] = {}
    for category in Category:
        tasks = {r.task for run in runs for r in run.results.values() if r.category is category}
        tasks |= {name for run in runs for name, failure in run.failures.items() if failure.category is category}
        if tasks:
            by_category[category] = sorted(tasks, key=str.lower)
    averages: list[Row] = []
    for category, names in by_category.items():
        table.rows.extend(_task_row(name, runs) for name in names)
        averages.append(_average(str(category), names, runs))
        table.rows.append(averages[-1])
    if len(by_category) > 1:
        table.rows.append(_mean_of_rows("average of categories", averages))
        table.rows.append(
            _average(
                "average of sets", [name for category_names in by_category.values() for name in category_names], runs
            )
        )
    return table


def _task_row(name: str, runs: Sequence[Run]) -> Row:
    results = [run.results[name] for run in runs if name in run.results]
    cells = tuple(
        _cell(run.results[name]) if name in run.results else Cell(remark="failed" if name in run.failures else "-")
        for run in runs
    )
    mteb_name = next((r.facts.get("published_name") for r in results), None)
    return Row(name, results[0].metric if results else "", cells, published=published(mteb_name))


def _cell(result: Result) -> Cell:
    low, high = (None if v is None else 100 * v for v in (result.low, result.high))
    return Cell(100 * result.score, low, high)


def _average(name: str, tasks: Sequence[str], runs: Sequence[Run]) -> Row:
    active = [run for run in runs if all(task in run.results or task in run.failures for task in tasks)]
    shared = [task for task in tasks if all(task in run.results for run in active)]
    cells = tuple(_mean([run.results[task] for task in shared]) if run in active and shared else Cell() for run in runs)
    return Row(f"{name} ({len(shared)} of {len(tasks)})", "", cells, is_average=True)


def _mean(results: Sequence[Result]) -> Cell:
    """Return the mean score; its interval adds the variances of the tasks, which have no units in common."""
    if len(results) == 1:
        return _cell(results[0])  # a bootstrap interval, never beyond the scale
    mean = 100 * float(np.mean([r.score for r in results]))
    errors = [r.facts.get("standard_error") for r in results]
    if any(e is None for e in errors):
        return Cell(mean)
    half = 100 * _Z * float(np.sqrt(np.sum(np.square(np.array(errors, dtype=float))))) / len(errors)
    return Cell(mean, mean - half, mean + half)


def _mean_of_rows(name: str, rows: list[Row]) -> Row:
    """Return the mean of category averages, of the categories that a column has."""
    cells = []
    for column in range(len(rows[0].cells)):
        column_cells = [row.cells[column] for row in rows]
        scores = [c.score for c in column_cells]
        if any(s is None for s in scores):
            cells.append(Cell())
            continue
        mean = float(np.mean([s for s in scores if s is not None]))
        halves = [None if c.low is None or c.high is None else (c.high - c.low) / 2 for c in column_cells]
        if any(h is None for h in halves):
            cells.append(Cell(mean))
        else:
            half = float(np.sqrt(np.sum(np.square(np.array(halves, dtype=float)))) / len(halves))
            cells.append(Cell(mean, mean - half, mean + half))
    return Row(name, "", tuple(cells), is_average=True)


def published(task: str | None) -> tuple[float | None, ...]:
    """Return the published scores x 100 of PUBLISHED_MODELS on an MTEB task; None where there is none."""
    row = _published().get(task or "", {})
    return tuple(row.get(model) for model in PUBLISHED_MODELS)


@lru_cache(1)
def _published() -> dict[str, dict[str, float]]:
    with PUBLISHED_FILE.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {
        row["task"]: {
            model.replace("__", "/"): float(score) for model, score in row.items() if model != "task" and score
        }
        for row in rows
    }


def as_text(table: Table) -> str:
    """Return the table for a terminal."""
    lines = [["task", "metric", *table.columns]]
    lines += [[row.name, row.metric, *(cell.text() for cell in row.cells)] for row in table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    rule = "-" * len(max(texts, key=len))
    shown = [texts[0], rule]
    for text, row in zip(texts[1:], table.rows, strict=True):
        shown += [text, ""] if row.is_average and row.name[:7] != "average" else [text]
    return "\n".join(shown).rstrip()


def as_markdown(table: Table) -> str:
    """Return the table in Markdown; averages in bold."""
    lines = [f"| task | metric | {' | '.join(table.columns)} |", f"|---|---|{'---|' * len(table.columns)}"]
    for row in table.rows:
        mark = "**" if row.is_average else ""
        cells = " | ".join(f"{mark}{cell.text()}{mark}" for cell in row.cells)
        lines.append(f"| {mark}{row.name}{mark} | {row.metric} | {cells} |")
    return "\n".join(lines)
