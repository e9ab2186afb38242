"""Which examples go into a prompt: selectors over candidates that were found for an input.

Candidates come best first, with their cosines to the input, their unit vectors and their outputs. Every function
returns positions among them in the order chosen; all are deterministic for a seed, and ties go to the earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.in_context.choices import Selector
from instructor_search.in_context.clustering import k_means
from instructor_search.search.diversity import maximal_marginal_relevance

_BLOCK = 512  # queries compared with the pool at a time
MIN_CANDIDATES = 100  # that a selector chooses from, at least
_LEAST_VOLUME = 1e-9  # of the determinant's next factor; below it the rest adds nothing new


class Candidates(NamedTuple):
    """Examples to choose from, best first. ``scores``: cosines, (n,); ``vectors``: unit, (n, dim)."""

    scores: np.ndarray
    vectors: np.ndarray
    outputs: Sequence[str]


def num_candidates(selector: str, k: int) -> int:
    """Return how many candidates a selector needs to choose ``k``."""
    chooses = (Selector.MMR, Selector.LABEL_BALANCED, Selector.KMEANS, Selector.DPP)
    return max(MIN_CANDIDATES, 10 * k) if selector in chooses else k


def choose(selector: str, candidates: Candidates, k: int, *, diversity: float = 0.3, seed: int = 0) -> list[int]:
    """Return ``k`` positions by a selector, or all where there are fewer; those that only rank keep their ranking.

    ``diversity``: of mmr and dpp, 0 (near to the input) to 1 (unlike each other).
    """
    scores, vectors, outputs = candidates
    if selector == Selector.MMR:
        return maximal_marginal_relevance(scores.tolist(), vectors, 1 - diversity, k)
    if selector == Selector.LABEL_BALANCED:
        return label_balanced(outputs, k)
    if selector == Selector.KMEANS:
        return nearest_of_clusters(scores, vectors, k, seed=seed)
    if selector == Selector.DPP:
        return determinantal(scores, vectors, k, diversity=diversity)
    return list(range(min(k, len(scores))))


def check_selector(selector: str) -> None:
    """Refuse an unknown selector.

    Raises:
        ValueError: the message lists those that there are.
    """
    if selector not in list(Selector):
        raise ValueError(f"selector is {selector!r}; expected one of {', '.join(Selector)}")


def label_balanced(outputs: Sequence[str], k: int) -> list[int]:
    """Return the best of each output, then the second of each, and so on; outputs come by their best example."""
    groups: dict[str, list[int]] = {}
    for position, output in enumerate(outputs):
        groups.setdefault(output, []).append(position)
    turns = sorted(
        (turn, positions[0], position) for positions in groups.values() for turn, position in enumerate(positions)
    )
    return [position for _, _, position in turns[:k]]


def nearest_of_clusters(scores: np.ndarray, vectors: np.ndarray, k: int, *, seed: int = 0) -> list[int]:
    """Return the best of each of ``k`` clusters, best first; clusters that came out empty are made up by the best rest.

    (Zhang et al., "Automatic chain of thought prompting", take one of each cluster; theirs is the nearest to its
    centre, this one the nearest to the input.)
    """
    k = min(k, len(scores))
    if k == 0:
        return []
    owners, _ = k_means(vectors, k, seed=seed)
    firsts = {owner: position for position, owner in reversed(list(enumerate(owners.tolist())))}
    chosen = sorted(firsts.values())
    rest = [p for p in range(len(scores)) if p not in set(chosen)]
    return [*chosen, *rest[: k - len(chosen)]]


def determinantal(scores: np.ndarray, vectors: np.ndarray, k: int, *, diversity: float = 0.3) -> list[int]:
    """Return the greedy MAP of a determinantal point process, by Cholesky updates (Chen et al., 2018, algorithm 1).

    Its kernel is diag(q) S diag(q) with S the cosines and q = exp(a * score), a = (1 - diversity) / (2 * diversity)
    (section 5 there): each step takes what raises (1 - diversity) * sum of scores + diversity * log det S most.
    Cost: O(k^2 n). Where nothing adds volume any more (copies), the best of the rest follow.
    """
    count = min(k, len(scores))
    if not diversity:
        return list(range(count))
    weight = (1 - diversity) / (2 * diversity)
    quality = np.exp(weight * (np.asarray(scores, np.float64) - np.max(scores, initial=-1.0)))  # (n,)
    unit = np.asarray(vectors, np.float64)
    volume = quality**2 * (unit**2).sum(1)  # (n,) d^2 of the paper
    factors = np.zeros((count, len(scores)))
    chosen: list[int] = []
    while len(chosen) < count:
        best = int(np.argmax(np.where(np.isin(np.arange(len(scores)), chosen), -np.inf, volume)))
        if volume[best] < _LEAST_VOLUME * quality[best] ** 2:
            rest = [p for p in range(len(scores)) if p not in chosen]
            return [*chosen, *rest[: count - len(chosen)]]
        kernel = quality * quality[best] * (unit @ unit[best])  # (n,)
        done = len(chosen)
        factors[done] = (kernel - factors[:done, best] @ factors[:done]) / np.sqrt(volume[best])
        volume = volume - factors[done] ** 2
        chosen.append(best)
    return chosen


def nearest(
    queries: np.ndarray, pool: np.ndarray, k: int, *, forbidden: list[set[int]] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in the pool and cosine similarities of each query's nearest examples, both (n, k), best first.

    Ties go to the earlier example. ``forbidden``: for each query the positions it must not get (itself, its copies);
    where fewer than ``k`` are left, the row ends with positions of -1 and similarities of -inf.

    Raises:
        ValueError: ``k`` is not between 1 and the size of the pool.
    """
    if not 1 <= k <= len(pool):
        raise ValueError(f"k is {k} and the pool has {len(pool)} examples; expected 1 to {len(pool)}")
    unit_pool = to_unit_length(pool)
    positions = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), _BLOCK):
        similarity = to_unit_length(queries[start : start + _BLOCK]) @ unit_pool.T
        for row, values in enumerate(similarity):
            for place in forbidden[start + row] if forbidden else ():
                values[place] = -np.inf
            best = np.argsort(-values, kind="stable")[:k]
            positions[start + row], scores[start + row] = best, values[best]
    positions[np.isneginf(scores)] = -1
    return positions, scores
