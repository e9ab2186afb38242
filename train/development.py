"""A score while training goes on: how often a held-out query finds its positive first among its task's positives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from train.examples import Mixture, TrainingExample


def split(mixture: Mixture, count: int) -> tuple[Mixture, dict[str, list[TrainingExample]]]:
    """Return the mixture without, and by task, ``count`` examples (a tenth at most), evenly spaced over the task.

    Examples that hold the query of a held-out one are left out of the mixture.
    """
    tasks, held_out = {}, {}
    for name, rows in mixture.tasks.items():
        size = min(count, len(rows) // 10)
        chosen = set(np.linspace(0, len(rows) - 1, size, dtype=int).tolist())
        last = [rows[i] for i in sorted(chosen)]
        texts = {e.query.text for e in last}
        rest = (e for i, e in enumerate(rows) if i not in chosen)
        tasks[name] = [e for e in rest if e.query.text not in texts and e.positive.text not in texts]
        held_out[name] = last
    return Mixture(tasks, mixture.facts), {name: rows for name, rows in held_out.items() if rows}


def accuracy(encoder: Any, held_out: Mapping[str, list[TrainingExample]]) -> dict[str, float]:
    """Return by task the share of queries whose nearest positive is theirs (or of their label), and the "average"."""
    scores = {}
    for name, rows in held_out.items():
        queries, positives = (
            np.asarray(encoder.encode(side, normalize_embeddings=True), dtype=np.float32)
            for side in ([e.query for e in rows], [e.positive for e in rows])
        )
        nearest = (queries @ positives.T).argmax(1)
        right = [
            rows[i].positive.text == rows[j].positive.text
            or (rows[i].label is not None and rows[i].label == rows[j].label)
            for i, j in enumerate(nearest)
        ]
        scores[name] = float(np.mean(right))
    return scores | {"average": float(np.mean(list(scores.values())))} if scores else {}
