"""Puts several rankings together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RRF_K = 60  # Cormack, Clarke and Buettcher (SIGIR 2009)


def reciprocal_rank_fusion(rankings: Mapping[str, Sequence[str]], k: int = RRF_K) -> dict[str, float]:
    """Return id -> sum over the rankings of 1 / (k + rank), ranks from 1; an id counts where it occurs.

    Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods".
    """
    scores: dict[str, float] = {}
    for ranking in rankings.values():
        for rank, name in enumerate(ranking, 1):
            scores[name] = scores.get(name, 0.0) + 1.0 / (k + rank)
    return scores
