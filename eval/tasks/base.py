"""What every task is: a description of its data, and a method that evaluates a system on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from eval.records import Context, Outcome, Sides, TaskInfo

if TYPE_CHECKING:
    from eval.systems import System


class EvalTask(ABC):
    """A data set with its measure."""

    info: TaskInfo

    @abstractmethod
    def evaluate(self, system: System, sides: Sides, context: Context) -> Outcome:
        """Run ``system`` under the instructions ``sides``.

        Raises:
            EvalDataError: the data cannot be read or cannot give a score.
        """
