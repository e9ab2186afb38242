"""Tunes a FAISS index to a recall: the least effort that finds enough of what exact search finds."""

from __future__ import annotations

import numpy as np

from instructor_search.store.indexes.exact import exact
from instructor_search.store.indexes.faiss import FaissIndex, Setting, ladder


def recall(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the mean share of the expected positions, (q, k) each, that were found; -1 counts on neither side."""
    shares = [len(np.intersect1d(f, e[e >= 0])) / max(1, (e >= 0).sum()) for f, e in zip(found, expected, strict=True)]
    return float(np.mean(shares)) if shares else 1.0


def tune(
    index: FaissIndex, queries: np.ndarray, target: float, k: int = 10, own: np.ndarray | None = None
) -> tuple[Setting, float]:
    """Return the least effort whose recall@k on ``queries`` reaches ``target``, else the greatest; and its recall.

    ``own``: positions of the queries among the vectors, where they are from there: finding oneself does not count.
    """
    depth = k if own is None else k + 1
    expected = _without(exact(queries, index.vectors, depth, None)[1], own)
    best = (Setting(0, 1), 1.0)
    for setting in ladder(index.kind, len(index.vectors)):
        positions = _without(index.search(queries, depth, setting=setting)[1], own)
        best = setting, recall(positions, expected)
        if best[1] >= target:
            break
    return best


def _without(positions: np.ndarray, query_positions: np.ndarray | None) -> np.ndarray:
    return positions if query_positions is None else np.where(positions == query_positions[:, None], -1, positions)
