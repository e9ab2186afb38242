"""Where evaluation data comes from: the hub, a folder, or the small sets that come with the project.

``auto`` takes the folder that the environment names, else the bundled sets. The hub is asked only where it was named.
The bundled sets check the machinery; their scores say nothing of a model.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from eval.hub import hub_problem, hub_tasks
from eval.local_sets import FOLDERS, folder_tasks, set_folders
from eval.records import Category, EvalDataError
from eval.tasks.base import EvalTask

DATA_VARIABLE = "INSTRUCTOR_SEARCH_EVAL_DATA"
BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class Source:
    """A place that has tasks. ``reason``: why it was chosen, for the person who runs the evaluation."""

    name: str  # "hub", "local" or "bundled"
    reason: str
    folder: Path | None = None
    is_offline: bool = False  # the hub's client has its cache alone

    @cached_property
    def tasks(self) -> list[EvalTask]:
        """All tasks, in the order of the categories and then of their names; no data is read yet."""
        tasks = hub_tasks() if self.folder is None else folder_tasks(self.folder, self.name)
        _check_names(tasks)
        order = list(Category)
        return sorted(tasks, key=lambda task: (order.index(task.info.category), task.info.name.lower()))


def choose_source(data: str) -> Source:
    """Return the source that ``--data`` names: "auto", "hub", "bundled" or a folder.

    Raises:
        EvalDataError: the folder is missing or holds no evaluation set.
    """
    if data == "bundled":
        return _bundled("asked for")
    if data == "hub":
        problem = hub_problem()
        if problem is None:
            return Source("hub", "asked for")
        return Source("hub", f"asked for; {problem}: only sets kept from before can run", is_offline=True)
    if data != "auto":
        return _folder(Path(data).expanduser(), "asked for")
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return _folder(Path(named).expanduser(), f"{DATA_VARIABLE} names it")
    return _bundled(f"neither --data DIR nor {DATA_VARIABLE} names a folder; --data hub takes the paper's sets")


def _bundled(reason: str) -> Source:
    return Source("bundled", reason, BUNDLED)


def _folder(folder: Path, reason: str) -> Source:
    if not folder.is_dir():
        raise EvalDataError(
            f"no data folder {str(folder)!r}; expected a folder with {', '.join(list(FOLDERS)[:3])}, ..."
        )
    if not any(set_folders(folder)):
        inner = next((p.name for p in sorted(folder.iterdir()) if p.is_dir() and any(set_folders(p))), None)
        hint = (
            f"; did you mean {str(folder / inner)!r}?" if inner else f"; expected one of {', '.join(list(FOLDERS)[:9])}"
        )
        raise EvalDataError(f"{str(folder)!r} has no folder of a task category with a set in it{hint}")
    return Source("local", reason, folder)


def _check_names(tasks: list[EvalTask]) -> None:
    """Refuse two tasks of one name: their results would be one file."""
    seen: dict[str, EvalTask] = {}
    for task in tasks:
        other = seen.setdefault(task.info.name.lower(), task)
        if other is not task:
            raise EvalDataError(
                f"two sets are called {task.info.name!r} (in {other.info.category} and {task.info.category}); give one "
                "of them another name in its meta.json"
            )
