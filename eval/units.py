"""What a score is made of: one record for each query, pair, text or segment, so that every score has an interval.

A task keeps its units beside its result. From them the score can be computed again, resampled (bootstrap over units),
and compared with another run on the very same units (paired bootstrap). ``statistic`` takes how often each unit was
drawn, (resamples, units), and returns one score a resample; with all ones it is the task's own score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

LEVEL = 0.95
MIN_UNITS = 10  # of fewer a bootstrap says too little: no interval, no comparison
_BIASED = frozenset({"v_measure"})
_CELLS = 4_000_000  # weights held at a time


@dataclass(frozen=True)
class Group:
    """Units of one test set (or one of several sets that a task averages over).

    ``kind`` names the statistic. ``arrays`` by kind:
        ratio: ``values`` and ``weights``, one a unit; the score is sum(values) / sum(weights).
        spearman, pearson: ``first``, ``second``, one an item; ``unit``: which unit an item belongs to.
        average_precision: ``scores``, ``labels`` (0 or 1).
        v_measure: ``labels``, ``clusters`` (integers); or several clusterings, (clusterings, items), for their mean.
    """

    kind: str
    arrays: dict[str, np.ndarray]

    @property
    def num_units(self) -> int:
        """What is drawn: units, not items."""
        if "unit" in self.arrays:
            return int(self.arrays["unit"].max()) + 1
        return len(next(iter(self.arrays.values())))

    def statistic(self, counts: np.ndarray) -> np.ndarray:
        """Return one score for each row of ``counts``, (resamples, units)."""
        if "unit" in self.arrays:
            counts = counts[:, self.arrays["unit"]]
        return _STATISTICS[self.kind](counts.astype(np.float64), self.arrays)


@dataclass(frozen=True)
class Units:
    """The units of a task. Its score is the mean over ``groups``; the drawing is done within each group."""

    groups: tuple[Group, ...] = field(default=())

    def score(self) -> float:
        """Return the score of all units, each counted once."""
        return float(np.mean([g.statistic(np.ones((1, g.num_units)))[0] for g in self.groups]))

    @property
    def num_units(self) -> int:
        """How many units there are in all."""
        return sum(group.num_units for group in self.groups)

    def resample(self, num_resamples: int, seed: int) -> np.ndarray:
        """Return the score of ``num_resamples`` bootstrap samples, (num_resamples,).

        The samples depend on the seed and the numbers of units alone: two runs on the same units get the same ones.
        The bias of V-measure is taken out: a bootstrap sample has fewer distinct texts and so looks purer.
        """
        scores = np.zeros(num_resamples)
        for number, group in enumerate(self.groups):
            drawn = np.concatenate([group.statistic(counts) for counts in _draws(group, num_resamples, (seed, number))])
            if group.kind in _BIASED:
                drawn += group.statistic(np.ones((1, group.num_units)))[0] - drawn.mean()
            scores += drawn
        return scores / len(self.groups)

    def save(self, path: Path) -> None:
        """Write the units as an npz file."""
        arrays = {f"{i}.{g.kind}.{name}": a for i, g in enumerate(self.groups) for name, a in g.arrays.items()}
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Units:
        """Read what ``save`` wrote."""
        groups: dict[int, tuple[str, dict[str, np.ndarray]]] = {}
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                number, kind, name = key.split(".", 2)
                groups.setdefault(int(number), (kind, {}))[1][name] = file[key]
        return cls(tuple(Group(*groups[number]) for number in sorted(groups)))


def interval(samples: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentiles of bootstrap samples that hold ``level`` of them; (nan, nan) where there are none."""
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return float("nan"), float("nan")
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def means(values: Any, weights: Any = None) -> Group:
    """Return units whose score is their mean, or sum(values) / sum(weights)."""
    numbers = np.asarray(values, dtype=np.float64)
    return Group(
        "ratio",
        {
            "values": numbers,
            "weights": np.ones_like(numbers) if weights is None else np.asarray(weights, dtype=np.float64),
        },
    )


def _draws(group: Group, num_resamples: int, seed: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield how often each unit was drawn, (some resamples, units)."""
    rng = np.random.default_rng(seed)
    num_units = group.num_units
    num_items = max(len(array) for array in group.arrays.values())
    rows = max(1, min(num_resamples, _CELLS // num_items))
    for start in range(0, num_resamples, rows):
        size = min(rows, num_resamples - start)
        counts = np.empty((size, num_units), dtype=np.int32)
        for row in range(size):
            counts[row] = np.bincount(rng.integers(num_units, size=num_units), minlength=num_units)
        yield counts


def _ratio(counts: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return (counts @ arrays["values"]) / (counts @ arrays["weights"])


def _pearson(counts: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    return _weighted_correlation(counts, arrays["first"][None], arrays["second"][None])


def _spearman(counts: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Spearman's rho: Pearson's r of the mid-ranks that the items have within each sample."""
    return _weighted_correlation(counts, _midranks(counts, arrays["first"]), _midranks(counts, arrays["second"]))


def _weighted_correlation(counts: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    total = counts.sum(axis=1, keepdims=True)
    x = first - (counts * first).sum(axis=1, keepdims=True) / total
    y = second - (counts * second).sum(axis=1, keepdims=True) / total
    with np.errstate(invalid="ignore", divide="ignore"):
        return (counts * x * y).sum(axis=1) / np.sqrt((counts * x * x).sum(axis=1) * (counts * y * y).sum(axis=1))


def _midranks(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mid-rank of each item among the drawn ones, (resamples, items); ties share their mean rank."""
    _, codes = np.unique(values, return_inverse=True)  # equal values share a code
    sizes = _sum_by_code(counts, codes)
    before = np.cumsum(sizes, axis=1) - sizes
    return (before + (sizes + 1) / 2)[:, codes]


def _sum_by_code(counts: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the sum of ``counts`` (resamples, items) over the items of each code, (resamples, codes)."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(codes.max() + 1))
    return np.add.reduceat(counts[:, order], starts, axis=1)


def _average_precision(counts: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """AP = sum over thresholds of (R_n - R_(n-1)) P_n, equal scores sharing a threshold (as scikit-learn)."""
    _, codes = np.unique(-arrays["scores"], return_inverse=True)
    all_at = _sum_by_code(counts, codes)
    positive_at = _sum_by_code(counts * arrays["labels"], codes)
    positives_seen, seen = np.cumsum(positive_at, axis=1), np.cumsum(all_at, axis=1)
    precision = np.divide(positives_seen, seen, out=np.zeros_like(positives_seen), where=seen > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positive_at * precision).sum(axis=1) / positives_seen[:, -1]


def _mean_v_measure(counts: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    return np.mean([_v_measure(counts, arrays["labels"], c) for c in np.atleast_2d(arrays["clusters"])], axis=0)


def _v_measure(counts: np.ndarray, labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """V-measure (Rosenberg and Hirschberg, EMNLP 2007): harmonic mean of homogeneity and completeness."""
    pairs = np.unique(np.stack([labels, clusters]), axis=1, return_inverse=True)[1].reshape(-1)
    joint = _entropy(_sum_by_code(counts, pairs))
    label, cluster = (_entropy(_sum_by_code(counts, np.unique(c, return_inverse=True)[1])) for c in (labels, clusters))
    mutual = label + cluster - joint
    homogeneity = np.divide(mutual, label, out=np.ones_like(mutual), where=label > 0)
    completeness = np.divide(mutual, cluster, out=np.ones_like(mutual), where=cluster > 0)
    total = homogeneity + completeness
    return np.divide(2 * homogeneity * completeness, total, out=np.zeros_like(total), where=total > 0)


def _entropy(sizes: np.ndarray) -> np.ndarray:
    share = sizes / sizes.sum(axis=1, keepdims=True)
    return -(share * np.log(share, out=np.zeros_like(share), where=share > 0)).sum(axis=1)


_STATISTICS = {
    "ratio": _ratio,
    "pearson": _pearson,
    "spearman": _spearman,
    "average_precision": _average_precision,
    "v_measure": _mean_v_measure,
}
