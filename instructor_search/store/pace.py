"""How often a reader goes on to a newer version: at once while that is rare, at most once a second while it is not."""

from __future__ import annotations

import math

MAX_LAG = 1.0  # seconds, that a reader stays behind at most
BUDGET = 0.5  # seconds of the last few, that going on may take, before it has to wait
HALF_LIFE = 2.0  # seconds, after which what was spent counts half


class Pace:
    """Decides when it is time to go on. All times are of ``time.monotonic``."""

    def __init__(self) -> None:
        """Nothing was spent yet."""
        self._spent, self._at = 0.0, -math.inf

    def is_due(self, now: float) -> bool:
        """Whether to go on now."""
        return now - self._at >= MAX_LAG or self._left(now) < BUDGET

    def note(self, now: float, seconds: float) -> None:
        """Remember that it was done, and how long it took."""
        self._spent, self._at = self._left(now) + seconds, now

    def _left(self, now: float) -> float:
        return self._spent * 0.5 ** ((now - self._at) / HALF_LIFE)
