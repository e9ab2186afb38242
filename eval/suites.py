"""Names of suites -> tasks and studies."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from eval.records import MTEB_CATEGORIES, Category, EvalDataError
from eval.tasks.base import EvalTask

STUDIES = ("instructions", "robustness", "complexity", "domain-shift", "projection", "annotation")
SUITES = ("all", "mteb", *map(str, Category), "quick", *STUDIES)


class Selection(NamedTuple):
    """What was asked for. Without a study the tasks themselves are the result."""

    tasks: list[EvalTask]
    studies: list[str]


def select(names: Sequence[str], tasks: Sequence[EvalTask]) -> Selection:
    """Return the tasks and studies of suite and task names; a study alone takes all tasks.

    Raises:
        EvalDataError: an unknown name (the message lists the known ones), or a suite without a task in this data.
    """
    known = {task.info.name.lower(): task.info.name for task in tasks}
    studies = [name for name in STUDIES if name in names]
    others = [name for name in names if name not in STUDIES] or ["all"]
    unknown = [name for name in others if name not in SUITES and name.lower() not in known]
    if unknown:
        near = [m for name in unknown for m in get_close_matches(name.lower(), [*SUITES, *known], n=1)]
        hint = f" (did you mean {', '.join(known.get(m, m) for m in near)}?)" if near else ""
        raise EvalDataError(
            f"unknown suite or task: {', '.join(unknown)}{hint}; suites: {', '.join(SUITES)}; "
            f"tasks of this data: {', '.join(known.values())}"
        )
    chosen = {known[name.lower()] for name in others if name.lower() in known}
    wanted = {name for name in others if name.lower() not in known or name in SUITES}
    selected = [task for task in tasks if task.info.name in chosen or any(_belongs(task, w) for w in wanted)]
    if "quick" in wanted:
        quick = {task.info.name for task in _smallest(tasks)}
        selected = [task for task in tasks if task in selected or task.info.name in quick]
    if not selected:
        raise EvalDataError(f"this data has no task of {', '.join(others)}; it has: {', '.join(known.values())}")
    return Selection(selected, studies)


def _belongs(task: EvalTask, suite: str) -> bool:
    category = task.info.category
    return suite == "all" or suite == category or (suite == "mteb" and category in MTEB_CATEGORIES)


def _smallest(tasks: Sequence[EvalTask]) -> list[EvalTask]:
    """Return the smallest set of each category."""
    smallest = []
    for category in Category:
        category_tasks = [task for task in tasks if task.info.category is category]
        if category_tasks:
            smallest.append(min(category_tasks, key=lambda task: (task.info.num_bytes or float("inf"), task.info.name)))
    return smallest
