"""What every engine does: it maps a function over items, here or elsewhere, and keeps their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Does the work of a plan: ingest, a view, training data and an evaluation give it a function and the items."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each item, in the order of the items.

        The function depends on its item alone and stores nothing, so that it may run anywhere and be run again. Items
        are taken while results are asked for, a bounded number ahead. An engine that works in other processes sends
        the function and the items there, and the results back: they must be picklable.

        Raises:
            Exception: whatever the function raised, where its result would stand; nothing comes after it.
        """
        ...
