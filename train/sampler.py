"""Which examples make a batch: one task a global batch, each rank a slice of it.

Every batch follows from (seed, step) alone, so that a run which is resumed at a step goes on as if it had not stopped,
and all ranks agree without talking to one another.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from train.examples import MixtureError


class Batch(NamedTuple):
    """A global batch: positions of examples in one task's list."""

    step: int
    task: str
    rows: np.ndarray  # (global batch,)

    def slice_of(self, rank: int, world_size: int) -> slice:
        """Return where the rows of one rank stand in the batch."""
        size = len(self.rows) // world_size
        return slice(rank * size, (rank + 1) * size)


class TaskBatchSampler:
    """Batches of a mixture for a number of steps.

    A task's share of the steps is proportional to min(size, cap)^alpha, and its batches are spread evenly over the run
    (stratified sampling): drawn independently, one of 100 tasks might come never in 300 steps, or eight times. A task's
    examples come in an order that is shuffled anew each time all were used, and no batch has an example twice.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        global_batch_size: int,
        num_steps: int,
        *,
        alpha: float = 0.5,
        cap: int | None = None,
        seed: int = 0,
    ) -> None:
        """``sizes``: examples of each task. Tasks smaller than a batch are left out, which is told on stderr.

        Raises:
            MixtureError: no task is as large as a batch.
        """
        self.too_small = sorted(name for name, size in sizes.items() if size < global_batch_size)
        self.sizes = {name: size for name, size in sorted(sizes.items()) if size >= global_batch_size}
        if not self.sizes:
            raise MixtureError(
                f"no task has {global_batch_size} examples, a global batch; the largest has {max(sizes.values())}: "
                "lower --per_device_train_batch_size, or add data"
            )
        self.global_batch_size, self.num_steps, self.seed = global_batch_size, num_steps, seed
        weights = np.array([min(size, cap or size) for size in self.sizes.values()], dtype=np.float64) ** alpha
        shares = weights / weights.sum()
        self.probabilities = dict(zip(self.sizes, shares, strict=True))
        draws = _evenly_spread(shares, num_steps, np.random.default_rng([seed, 0]))
        names = list(self.sizes)
        self.tasks = [names[i] for i in draws]
        self._nth = _occurrences(draws)

    def warn(self) -> None:
        """Say on stderr which tasks are left out."""
        if self.too_small:
            names = ", ".join(self.too_small[:5]) + (", ..." if len(self.too_small) > 5 else "")
            sys.stderr.write(
                f"left out: {len(self.too_small)} tasks with fewer than {self.global_batch_size} examples: {names}\n"
            )

    def batch(self, step: int) -> Batch:
        """Return the global batch of a step, from 0."""
        task = self.tasks[step]
        size = self.sizes[task]
        per_epoch = size // self.global_batch_size
        epoch, place = divmod(int(self._nth[step]), per_epoch)
        order = np.random.default_rng([self.seed, 1, _number(task), epoch]).permutation(size)
        start = place * self.global_batch_size
        return Batch(step, task, order[start : start + self.global_batch_size])

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Yield the global batches from a step on."""
        for step in range(start, self.num_steps):
            yield self.batch(step)


def _evenly_spread(shares: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return ``count`` draws: share p comes at the times (k + u) / p, for k = 0, 1, ..., each u uniform in [0, 1)."""
    numbers = np.ceil((count + len(shares)) * shares).astype(np.int64) + 1
    draws = np.repeat(np.arange(len(shares)), numbers)
    nth = np.arange(len(draws)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    times = (nth + generator.random(len(draws))) / shares[draws]
    return draws[np.argsort(times, kind="stable")][:count]


def _occurrences(draws: np.ndarray) -> np.ndarray:
    """Return how often each draw's value was drawn before it."""
    seen: dict[int, int] = {}
    counts = np.empty(len(draws), dtype=np.int64)
    for i, value in enumerate(draws.tolist()):
        counts[i] = seen.get(value, 0)
        seen[value] = int(counts[i]) + 1
    return counts


def _number(name: str) -> int:
    return int.from_bytes(name.encode("utf-8", "surrogatepass")[:64].ljust(8, b"\0"), "little")
