"""What every task is: a description of its data, and a method that evaluates a system on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from eval.records import Context, EvalDataError, Outcome, TaskInfo
from instructor_search.instructions import InstructionPair

if TYPE_CHECKING:
    from eval.systems import System


class EvalTask(ABC):
    """A data set with its measure."""

    info: TaskInfo

    @abstractmethod
    def evaluate(self, system: System, sides: InstructionPair, context: Context) -> Outcome:
        """Run ``system`` under the instructions ``sides``.

        Raises:
            EvalDataError: the data cannot be read or cannot give a score.
        """


class BrokenTask(EvalTask):
    """A set whose description cannot be understood; running it says why."""

    def __init__(self, info: TaskInfo, error: EvalDataError) -> None:
        """Keep the ``error`` until the task is run."""
        self.info = info
        self.error = error

    def evaluate(self, system: System, sides: InstructionPair, context: Context) -> Outcome:
        """Raise the error."""
        raise self.error


def whole(task: EvalTask) -> EvalTask:
    """Return the task.

    Raises:
        EvalDataError: it is a set whose description cannot be understood.
    """
    if isinstance(task, BrokenTask):
        raise task.error
    return task
