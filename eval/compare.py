"""Two runs task by task: the difference with a paired bootstrap interval, and a corrected significance mark.

Both runs are resampled on the very same units (queries, pairs, texts, segments), so what is common to them cancels.
The p-value is two-sided, from the resampled differences moved to a mean of zero; Holm's correction (1979) is over the
tasks compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.records import Category, EvalDataError
from eval.results import Result
from eval.runs import Run
from eval.units import MIN_UNITS, interval
from instructor_search.result_files import run_title

LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """The second run's score minus the first's, x 100."""

    name: str
    category: Category | None  # None: an average
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    is_significant: bool = False  # after Holm's correction, at LEVEL


@dataclass(frozen=True)
class Comparison:
    """Differences of the tasks that both runs have on the same data, averages last; ``left_out``: name -> reason."""

    first: str
    second: str
    tasks: list[Difference]
    averages: list[Difference]
    left_out: dict[str, str]


def compare(first: Run, second: Run, *, num_resamples: int = 5000, seed: int = 0) -> Comparison:
    """Return the comparison of two runs.

    Raises:
        EvalDataError: they have no task on the same data in common.
    """
    tasks: list[Difference] = []
    drawn: dict[str, np.ndarray] = {}
    left_out: dict[str, str] = {}
    for name in sorted({*first.results, *second.results}, key=str.lower):
        reason = _problem(name, first, second)
        if reason:
            left_out[name] = reason
            continue
        one, two = first.results[name], second.results[name]
        samples = _paired(one, two, num_resamples, seed + zlib.crc32(name.encode()) % 100_000)
        if isinstance(samples, str):
            left_out[name] = samples
            continue
        drawn[name] = samples
        tasks.append(_difference(name, one.category, one.score, two.score, samples))
    if not tasks:
        why = "; ".join(f"{n}: {r}" for n, r in left_out.items()) or "neither has a result"
        raise EvalDataError(f"nothing to compare between {first.title!r} and {second.title!r} ({why})")
    order = list(Category)
    tasks.sort(key=lambda d: (order.index(d.category) if d.category else 9, d.name.lower()))
    names = [run_title(run.label_among([first, second]), run.source) for run in (first, second)]
    return Comparison(names[0], names[1], _holm(tasks), _averages(tasks, drawn), left_out)


def _problem(name: str, first: Run, second: Run) -> str | None:
    for run in (first, second):
        if name not in run.results:
            return f"{run.title} {'failed on it' if name in run.failures else 'does not have it'}"
    one, two = first.results[name], second.results[name]
    if one.facts["data"] != two.facts["data"]:
        return f"other data: {one.facts['data']['revision'][:12]} and {two.facts['data']['revision'][:12]}"
    if one.facts.get("content") != two.facts.get("content"):
        return "other data under the same name"
    if one.metric != two.metric or one.facts.get("settings") != two.facts.get("settings"):
        return "it was measured in another way"
    return None


def _paired(one: Result, two: Result, num_resamples: int, seed: int) -> np.ndarray | str:
    """Return resampled differences, or why there are none."""
    units = one.units(), two.units()
    if units[0] is None or units[1] is None:
        return "its units were not kept, or are damaged"
    if [g.num_units for g in units[0].groups] != [g.num_units for g in units[1].groups]:
        return "its units differ"
    if units[0].num_units < MIN_UNITS:
        return f"{units[0].num_units} units are too few"
    return units[1].resample(num_resamples, seed) - units[0].resample(num_resamples, seed)


def _difference(name: str, category: Category | None, one: float, two: float, samples: np.ndarray) -> Difference:
    value = two - one
    finite = samples[np.isfinite(samples)]
    low, high = interval(finite)
    beyond = int(np.sum(np.abs(finite - finite.mean()) >= abs(value) - 1e-12))
    p_value = (1 + beyond) / (1 + len(finite))
    return Difference(name, category, 100 * one, 100 * two, 100 * value, 100 * low, 100 * high, p_value)


def _holm(tasks: Sequence[Difference]) -> list[Difference]:
    """Mark what stays significant: the i-th smallest of m p-values is at most LEVEL / (m - i), up to the first not."""
    marked: dict[str, bool] = {}
    holds = True
    for place, task in enumerate(sorted(tasks, key=lambda d: d.p_value)):
        holds = holds and task.p_value <= LEVEL / (len(tasks) - place)
        marked[task.name] = holds
    return [Difference(**{**task.__dict__, "is_significant": marked[task.name]}) for task in tasks]


def _averages(tasks: Sequence[Difference], drawn: dict[str, np.ndarray]) -> list[Difference]:
    """Return the averages of the categories, and over the categories; each is one comparison, not corrected."""
    rows, samples = [], []
    for category in Category:
        category_tasks = [t for t in tasks if t.category is category]
        if category_tasks:
            mean = np.mean([drawn[t.name] for t in category_tasks], axis=0)
            samples.append(mean)
            one, two = (
                float(np.mean([getattr(t, side) for t in category_tasks])) / 100 for side in ("first", "second")
            )
            rows.append(_marked(_difference(f"{category} ({len(category_tasks)})", None, one, two, mean)))
    if len(rows) > 1:
        one, two = (float(np.mean([getattr(r, side) for r in rows])) / 100 for side in ("first", "second"))
        average = _difference("average of categories", None, one, two, np.mean(samples, axis=0))
        rows.append(_marked(average))
    return rows


def _marked(row: Difference) -> Difference:
    return Difference(**{**row.__dict__, "is_significant": row.p_value <= LEVEL})


def as_text(found: Comparison) -> str:
    """Return the comparison for a terminal; "*" marks what is significant."""
    lines = [_HEAD, *map(_cells, [*found.tasks, *found.averages])]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    texts = ["  ".join(w.ljust(n) for w, n in zip(line, widths, strict=True)).rstrip() for line in lines]
    texts.insert(1, "-" * len(max(texts, key=len)))
    texts.insert(2 + len(found.tasks), "")
    head = [f"first:  {found.first}", f"second: {found.second}", ""]
    return "\n".join([*head, *texts, "", *_notes(found)])


def as_markdown(found: Comparison) -> str:
    """Return the comparison as a Markdown table, averages in bold."""
    averages = [[f"**{cell}**" if cell.strip("*") else cell for cell in _cells(one)] for one in found.averages]
    rows = [*map(_cells, found.tasks), *averages]
    lines = [_HEAD, ["---"] * len(_HEAD), *rows]
    texts = ["| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines]
    return "\n".join([f"first: {found.first}; second: {found.second}", "", *texts, "", *_notes(found)])


_HEAD = ["task", "first", "second", "difference", "95 % interval", "p", ""]


def _cells(row: Difference) -> list[str]:
    return [
        row.name,
        f"{row.first:.2f}",
        f"{row.second:.2f}",
        f"{row.difference:+.2f}",
        f"[{row.low:+.2f}, {row.high:+.2f}]",
        f"{row.p_value:.4f}",
        "*" if row.is_significant else "",
    ]


def _notes(comparison: Comparison) -> list[str]:
    better = sum(t.is_significant and t.difference > 0 for t in comparison.tasks)
    worse = sum(t.is_significant and t.difference < 0 for t in comparison.tasks)
    counted = (
        f"second significantly better on {better}, worse on {worse} of {len(comparison.tasks)} tasks "
        f"(paired bootstrap, Holm, {LEVEL:.2f}; averages not corrected)"
    )
    return [counted, *(f"not compared: {name} ({why})" for name, why in comparison.left_out.items())]
