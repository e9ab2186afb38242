"""Vote-k: which items of an unlabelled pool to annotate.

(Su et al., "Selective annotation makes language models better few-shot learners", arXiv 2209.01975, section 2.1.)
An item is voted for by those that have it among their nearest neighbours; a vote counts the less, the more neighbours
of the voter are chosen already. Scores are whole numbers (the paper's, times a power of rho), so nothing is rounded,
and as they only fall, an item's last score is a bound: only items at the top are counted again (lazy greedy).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

import numpy as np

from instructor_search.in_context.neighbours import NeighbourGraph

RHO = 10  # by which a vote is divided for each chosen neighbour of the voter


class _Votes:
    """The state of a selection: who is chosen, and how many chosen neighbours each voter has."""

    def __init__(self, graph: NeighbourGraph, count: int, rho: int) -> None:
        self.who, self.starts = graph.supporters()
        self.num_chosen = np.zeros(len(graph.neighbours), dtype=np.int64)  # neighbours of each voter that are chosen
        self.is_chosen = np.zeros(len(graph.neighbours), dtype=bool)
        self.weights = [rho ** (count - times) for times in range(count + 1)]  # of a vote, times rho ** count

    def first(self) -> np.ndarray:
        """Return how many vote for each item before anything is chosen, (n,)."""
        return np.diff(self.starts)

    def score(self, item: int) -> int:
        """Return the item's score: sum of rho ** -(chosen neighbours) over its voters that are not chosen, scaled."""
        voters = self.who[self.starts[item] : self.starts[item + 1]]
        times = np.bincount(self.num_chosen[voters[~self.is_chosen[voters]]])
        return sum(int(n) * self.weights[t] for t, n in enumerate(times) if n)

    def choose(self, item: int) -> None:
        """Take an item."""
        self.is_chosen[item] = True
        self.num_chosen[self.who[self.starts[item] : self.starts[item + 1]]] += 1


def fast_vote_k(graph: NeighbourGraph, count: int, *, rho: int = RHO) -> list[int]:
    """Return ``count`` items in the order chosen: each time the one with the highest score; of equal ones the first.

    Raises:
        ValueError: there are not so many items, or ``rho`` is no whole number above 1.
    """
    _check(graph, count, rho)
    votes = _Votes(graph, count, rho)
    return _greedy(votes, count)


def vote_k(
    graph: NeighbourGraph, count: int, confidence: Callable[[list[int]], np.ndarray], *, rho: int = RHO
) -> list[int]:
    """Return ``count`` items: a tenth by ``fast_vote_k``, the others spread over the language model's confidence.

    ``confidence`` is given the first tenth, which the caller annotates and prompts the model with, and returns how sure
    the model is of its answer to each item, (n,): in the paper the mean log-likelihood of the answer's tokens. The
    other items are ranked from the least sure and cut into ``count`` buckets; the nine tenths of least confidence each
    give their item of the highest score (algorithm 1).

    Raises:
        ValueError: there are not so many items, or the confidences are not one finite number an item.
    """
    _check(graph, count, rho)
    votes = _Votes(graph, count, rho)
    chosen = _greedy(votes, max(1, count // 10))
    sure = np.asarray(confidence(list(chosen)), dtype=np.float64)
    if sure.shape != votes.is_chosen.shape or not np.isfinite(sure).all():
        raise ValueError(f"confidences of shape {sure.shape}; expected {votes.is_chosen.shape}, all of them finite")
    ranked = np.argsort(sure, kind="stable")
    ranked = ranked[~votes.is_chosen[ranked]]
    for bucket in np.array_split(ranked, min(count, len(ranked)))[: count - len(chosen)]:
        best = max(bucket.tolist(), key=lambda item: (votes.score(item), -item))
        votes.choose(best)
        chosen.append(best)
    return chosen


def _check(graph: NeighbourGraph, count: int, rho: int) -> None:
    if not 1 <= count <= len(graph.neighbours):
        raise ValueError(f"count is {count} and there are {len(graph.neighbours)} items; expected 1 to that many")
    if not isinstance(rho, int) or rho < 2:
        raise ValueError(f"rho is {rho!r}; expected a whole number of at least 2")


def _greedy(votes: _Votes, count: int) -> list[int]:
    """Choose ``count`` items, each of the highest score, and return them.

    Items never looked at stand in the order of their first scores; those looked at are in a heap under their last one.
    """
    first = votes.first()
    fresh = iter(np.lexsort((np.arange(len(first)), -first)).tolist())
    heap: list[tuple[int, int]] = []  # (minus a bound of the score, item)
    upcoming = _entry(fresh, first, votes.weights[0])
    chosen: list[int] = []
    while len(chosen) < count:
        if upcoming is not None and (not heap or upcoming < heap[0]):
            _, item = upcoming
            upcoming = _entry(fresh, first, votes.weights[0])
        else:
            _, item = heapq.heappop(heap)
        entry = (-votes.score(item), item)
        if (heap and heap[0] < entry) or (upcoming is not None and upcoming < entry):
            heapq.heappush(heap, entry)
            continue
        votes.choose(item)
        chosen.append(item)
    return chosen


def _entry(fresh: Iterable[int], first: np.ndarray, weight: int) -> tuple[int, int] | None:
    for item in fresh:
        return -int(first[item]) * weight, item
    return None
