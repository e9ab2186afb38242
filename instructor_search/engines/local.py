"""The engine of one machine: this process, or some more beside it."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from instructor_search.engines.protocol import Item, Result

_AHEAD = 2  # items a process that are under way or done before their result is asked for


@dataclass(frozen=True)
class LocalEngine:
    """Maps in this process, an item at a time, or with ``processes`` more in those, which start anew (spawn).

    Raises:
        ValueError: ``processes`` is below 0.
    """

    processes: int = 0

    def __post_init__(self) -> None:
        """Check the number."""
        if self.processes < 0:
            raise ValueError(f"processes is {self.processes}; expected 0 (this process alone) or more")

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each item, in the order of the items; see ``Engine.map``."""
        return self._spread(function, items) if self.processes else map(function, items)

    def _spread(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self.processes, mp_context=spawn, initializer=_begin, initargs=(function,))
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(_apply, item))
                if len(waiting) > _AHEAD * self.processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


_function: Callable[[Any], Any]  # of a process that was started to map it: it comes once, and may hold a lot


def _begin(function: Callable[[Any], Any]) -> None:
    """Keep the function, and leave Ctrl-C, which all processes of a terminal get, to the one that maps."""
    global _function  # noqa: PLW0603
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _apply(item: Any) -> Any:
    return _function(item)
