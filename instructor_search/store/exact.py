"""Exact search: every vector of a view is compared, in batches. The oracle of all indexes."""

from __future__ import annotations

from typing import Any

import numpy as np

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.store.entries import ENTRY, NO_ROW, vector_batches
from instructor_search.store.manifest import View


def exact_search(
    table: Any, view: View, queries: np.ndarray, k: int, *, where: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and entries of the nearest chunks, (q, k) each, best first; -inf and ``NO_ROW`` for none.

    ``queries``: float32, (q, dim). ``where``: SQL of our own making. Memory: one batch, and (q, batch) scores.
    """
    queries = to_unit_length(queries)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    found = np.zeros((len(queries), k), dtype=ENTRY)
    found["row"] = NO_ROW
    for entries, vectors in vector_batches(table, view, where):
        both = np.concatenate([scores, queries @ vectors.T], axis=1)
        all_found = np.concatenate([found, np.broadcast_to(entries, (len(queries), len(entries)))], axis=1)
        best = np.argsort(-both, axis=1, kind="stable")[:, :k]
        scores, found = np.take_along_axis(both, best, 1), np.take_along_axis(all_found, best, 1)
    return scores, found
