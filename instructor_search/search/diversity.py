"""Thins out a ranking: near-copies are dropped, or hits are chosen to be unlike one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def without_near_copies(vectors: np.ndarray, threshold: float) -> list[int]:
    """Return the positions that stay, in order: one whose cosine with an earlier one reaches ``threshold`` goes.

    ``vectors``: unit, (n, dim), best first.
    """
    kept: list[int] = []
    for position, vector in enumerate(vectors):
        if not kept or (vectors[kept] @ vector).max() < threshold:
            kept.append(position)
    return kept


def maximal_marginal_relevance(scores: Sequence[float], vectors: np.ndarray, balance: float, count: int) -> list[int]:
    """Return ``count`` positions in the order chosen (Carbonell and Goldstein, SIGIR 1998).

    Each time it is the one with the greatest balance * score - (1 - balance) * largest cosine with those chosen.
    ``scores``: relevance on the scale of cosines. ``vectors``: unit, (n, dim). ``balance``: 1 keeps the ranking.
    """
    relevance = np.asarray(scores, dtype=np.float64)
    chosen: list[int] = []
    nearest = np.zeros(len(relevance))  # largest cosine with a chosen one; nothing is chosen yet
    left = np.ones(len(relevance), dtype=bool)
    while len(chosen) < min(count, len(relevance)):
        value = np.where(left, balance * relevance - (1 - balance) * nearest, -np.inf)
        best = int(value.argmax())
        cosines = vectors @ vectors[best]
        nearest = cosines if not chosen else np.maximum(nearest, cosines)
        left[best] = False
        chosen.append(best)
    return chosen
