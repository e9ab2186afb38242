"""Which examples go into a prompt."""

from __future__ import annotations

import numpy as np

from instructor_search.encoder.protocol import to_unit_length

_BLOCK = 512  # queries compared with the pool at a time


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
