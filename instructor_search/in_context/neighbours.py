"""The graph of nearest neighbours of a pool: exact for small ones, through clusters for large ones.

A large pool is clustered; an item is compared with those of the clusters whose centres are nearest to its own one (an
inverted file whose queries are its own rows, so that every comparison is a product of two matrices). How many clusters
are looked at is chosen by the recall that a sample reaches, against exact comparison.

A graph of 100,000 items takes 42 s at a recall of 0.97, FAISS's exact search 103 s; of 50,000 as long as it; of 20,000,
exact, 4.9 s, FAISS 3.1 s (benchmarks/by_hand.py, an AVX2 machine of two cores). FAISS is of an extra, and chooses
otherwise among items that are equally near.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.in_context.clustering import k_means, nearest_centres

NEIGHBOURS = 150  # of each item (Su et al., 2022, section 2.1)
EXACT_ITEMS = 20_000  # up to so many are compared with all others
TARGET_RECALL = 0.95  # share of the true neighbours, of a sample, that a clustered graph is to have
_CLUSTER_SIZE = 256
_TRAINING = 32  # vectors a cluster that centres are learned from
_SAMPLE = 256
_CELLS = 16_000_000  # cosines held at a time
_WORKERS = 2


@dataclass(frozen=True)
class NeighbourGraph:
    """``neighbours``: positions of each item's k nearest others, int32 (n, k), in no particular order; -1: none.

    ``kind`` is "exact" or "clusters"; ``recall``: share of the true neighbours, measured on a sample; ``probes``: how
    many clusters each item was compared with.
    """

    neighbours: np.ndarray
    kind: str = "exact"
    recall: float = 1.0
    probes: int = 0

    def supporters(self) -> tuple[np.ndarray, np.ndarray]:
        """Return who names each item as a neighbour: item i's are ``who[starts[i] : starts[i + 1]]``, ascending."""
        flat = self.neighbours.ravel()
        order = np.argsort(flat, kind="stable")
        order = order[np.count_nonzero(flat < 0) :]
        counts = np.bincount(flat[order], minlength=len(self.neighbours))
        return (order // self.neighbours.shape[1]).astype(np.int32), np.concatenate([[0], np.cumsum(counts)])


def neighbour_graph(
    vectors: np.ndarray,
    k: int = NEIGHBOURS,
    *,
    exact: bool | None = None,
    target_recall: float = TARGET_RECALL,
    seed: int = 0,
    on_done: Callable[[int], None] | None = None,
) -> NeighbourGraph:
    """Return the graph of ``vectors``, (n, dim), by cosine; of fewer than k + 1 items everyone is a neighbour.

    Args:
        vectors: of the items; brought to unit length here.
        k: neighbours of each.
        exact: compare all with all; None: up to 20,000 items.
        target_recall: of a clustered graph; it may end above it, never below but by chance of the sample.
        seed: of the clusters and the sample.
        on_done: told of items done.

    Raises:
        ValueError: there are fewer than two items, or ``k`` is not positive.
    """
    if len(vectors) < 2 or k < 1:
        raise ValueError(f"a graph of {k} neighbours of {len(vectors)} items; expected at least 1 of at least 2")
    unit, k = to_unit_length(vectors), min(k, len(vectors) - 1)
    if exact if exact is not None else len(unit) <= EXACT_ITEMS:
        return NeighbourGraph(_exact(unit, np.arange(len(unit)), k, on_done))
    return _clustered(unit, k, target_recall, seed, on_done)


def _exact(unit: np.ndarray, rows: np.ndarray, k: int, on_done: Callable[[int], None] | None = None) -> np.ndarray:
    """Return the k nearest others of ``rows`` among all, (len(rows), k); of equally near ones the first."""
    neighbours = np.empty((len(rows), k), dtype=np.int32)
    step = max(1, _CELLS // len(unit))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        cosines = unit[block] @ unit.T
        cosines[np.arange(len(block)), block] = -np.inf
        neighbours[start : start + len(block)] = _largest(cosines, k)
        if on_done:
            on_done(len(block))
    return neighbours


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k largest values of each row, ascending; of equal values the first."""
    if values.shape[1] == k:
        return np.broadcast_to(np.arange(k), values.shape)
    least = np.partition(values, values.shape[1] - k, axis=1)[:, -k, None]
    chosen = values >= least
    for row in np.flatnonzero(chosen.sum(1) > k):  # several are equal to the least
        equal = np.flatnonzero(values[row] == least[row])
        chosen[row, equal[k - np.count_nonzero(values[row] > least[row]) :]] = False
    return np.nonzero(chosen)[1].reshape(len(values), k)


@dataclass(frozen=True)
class _Clusters:
    """``order``: positions by cluster; ``sorted_unit``: their vectors; ``near``: of each cluster, all by nearness."""

    order: np.ndarray
    sorted_unit: np.ndarray
    starts: np.ndarray
    owners: np.ndarray
    near: np.ndarray

    def members(self, cluster: int, probes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return positions and vectors of the members of the ``probes`` clusters nearest to one, itself first."""
        spans = [slice(self.starts[c], self.starts[c + 1]) for c in self.near[cluster, :probes]]
        return np.concatenate([self.order[s] for s in spans]), np.concatenate([self.sorted_unit[s] for s in spans])

    def enough(self, cluster: int, probes: int, least: int) -> int:
        """Return the number of clusters to look at: ``probes``, or more until they have ``least`` members."""
        sizes = np.cumsum(np.diff(self.starts)[self.near[cluster]])
        return max(probes, min(int(np.searchsorted(sizes, least)) + 1, len(sizes)))


def _clustered(
    unit: np.ndarray, k: int, target_recall: float, seed: int, on_done: Callable[[int], None] | None
) -> NeighbourGraph:
    clusters = _make_clusters(unit, seed)
    probes, recall = _choose_probes(unit, clusters, k, target_recall, seed)
    neighbours = np.empty((len(unit), k), dtype=np.int32)

    def fill(cluster: int) -> None:
        members = clusters.order[clusters.starts[cluster] : clusters.starts[cluster + 1]]
        if len(members):
            neighbours[members] = _within(unit, clusters, cluster, members, k, probes)
            if on_done:
                on_done(len(members))

    with ThreadPoolExecutor(_WORKERS) as workers:
        try:
            list(workers.map(fill, range(len(clusters.near))))
        except BaseException:  # Ctrl-C: what has not begun does not
            workers.shutdown(wait=False, cancel_futures=True)
            raise
    return NeighbourGraph(neighbours, "clusters", recall, probes)


def _make_clusters(unit: np.ndarray, seed: int) -> _Clusters:
    count = max(2, len(unit) // _CLUSTER_SIZE)
    rows = np.sort(np.random.default_rng(seed).choice(len(unit), min(len(unit), count * _TRAINING), replace=False))
    _, centres = k_means(unit[rows], count, seed=seed, rounds=6)
    owners = nearest_centres(unit, centres)
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(count + 1))
    near = np.argsort(-(centres @ centres.T), axis=1, kind="stable").astype(np.int32)
    near[np.arange(count), 0], near[:, 1:] = np.arange(count), _others(near)
    return _Clusters(order, unit[order], starts, owners, near)


def _others(near: np.ndarray) -> np.ndarray:
    """Return each row without the row's own number, which an equal centre may stand before."""
    is_self = near == np.arange(len(near))[:, None]
    others: np.ndarray = near[~is_self].reshape(len(near), -1)
    return others


def _choose_probes(unit: np.ndarray, clusters: _Clusters, k: int, target_recall: float, seed: int) -> tuple[int, float]:
    """Return the fewest clusters (a power of two, from 4) whose members hold the target's share, and that share."""
    sample = np.sort(np.random.default_rng(seed + 1).choice(len(unit), min(_SAMPLE, len(unit)), replace=False))
    truth = _exact(unit, sample, k)
    probes = 4
    while True:
        shares = []
        for row, true in zip(sample, truth, strict=True):
            rows = np.array([row])
            near = _within(unit, clusters, int(clusters.owners[row]), rows, k, probes)[0]
            shares.append(np.isin(true, near).mean())
        recall = float(np.mean(shares))
        if recall >= target_recall or probes >= len(clusters.near):
            return min(probes, len(clusters.near)), recall
        probes *= 2


def _within(unit: np.ndarray, clusters: _Clusters, cluster: int, rows: np.ndarray, k: int, probes: int) -> np.ndarray:
    """Return the k nearest others of rows of one cluster among the members of the clusters near to it."""
    positions, vectors = clusters.members(cluster, clusters.enough(cluster, probes, k + 1))
    neighbours = np.empty((len(rows), k), dtype=np.int32)
    step = max(1, _CELLS // len(positions))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        cosines = unit[block] @ vectors.T
        cosines[block[:, None] == positions] = -np.inf
        neighbours[start : start + step] = positions[_largest(cosines, k)]
    return neighbours
