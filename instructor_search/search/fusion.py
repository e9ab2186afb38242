"""Puts several rankings together: by ranks, or by weighted scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RRF_K = 60  # Cormack, Clarke and Buettcher (SIGIR 2009)
LEAST = {"dense": -1.0, "text": 0.0}  # the lowest score that there can be: of a cosine, and of BM25


def reciprocal_rank_fusion(rankings: Mapping[str, Sequence[str]], k: int = RRF_K) -> dict[str, float]:
    """Return id -> sum over the rankings of 1 / (k + rank), ranks from 1; an id counts where it occurs.

    Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods".
    """
    scores: dict[str, float] = {}
    for ranking in rankings.values():
        for rank, name in enumerate(ranking, 1):
            scores[name] = scores.get(name, 0.0) + 1.0 / (k + rank)
    return scores


def weighted_fusion(scores: Mapping[str, Mapping[str, float]], weights: Mapping[str, float]) -> dict[str, float]:
    """Return id -> weighted sum of its scores, each ranking's scaled to 0..1; where an id is missing it counts 0.

    The scale goes from the lowest score that there can be to the highest that was found: "TM2C2" of Bruch, Gai and
    Ingber, "An analysis of fusion functions for hybrid retrieval" (arXiv 2210.11934), section 4.
    """
    fused: dict[str, float] = {}
    for name, ranking in scores.items():
        least, highest = LEAST[name], max(ranking.values(), default=0.0)
        scale = weights[name] / (highest - least) if highest > least else 0.0
        for key, score in ranking.items():
            fused[key] = fused.get(key, 0.0) + scale * (score - least)
    return fused
