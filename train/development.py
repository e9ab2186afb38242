"""Scores while training goes on: on held-out examples of the mixture, or on evaluation sets.

The best checkpoint is chosen by them. Sets that it was chosen on are no test of it: take others for a final table.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from instructor_search.errors import MissingExtraError
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


class EvaluationSets:
    """Scores encoders on evaluation sets, by the protocols of ``python -m eval``, under the sets' own instructions."""

    def __init__(self, names: Sequence[str], data: str = "auto") -> None:
        """``names``: sets or suites; ``data``: "auto", "hub", "bundled" or a folder.

        Raises:
            EvalDataError: there is no such data, or none of that name in it.
            MissingExtraError: the packages of evaluation are not installed.
        """
        try:
            from eval.sources import choose_source
            from eval.suites import select
        except ImportError as error:
            raise MissingExtraError(str(error.name), "eval", "--eval_tasks") from error
        source = choose_source(data)
        if source.is_offline:
            os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
        self.tasks = select(names, source.tasks).tasks

    def __call__(self, encoder: Any) -> dict[str, float]:
        """Return main scores, from 0 to 1, by set, and as "average" the mean over categories of their sets' means."""
        from eval.systems import System
        from eval.tasks.base import Context
        from instructor_search.integrations.mteb import model_meta

        system = System(encoder.name, "default", model_meta(encoder), encoder)
        scores: dict[str, float] = {}
        categories: dict[str, list[float]] = {}
        for task in self.tasks:
            with tempfile.TemporaryDirectory() as folder:
                found = task.evaluate(system, system.sides(task.info), Context(folder=Path(folder)))
            scores[task.info.name] = float(found.scores["main_score"])
            categories.setdefault(task.info.category, []).append(scores[task.info.name])
        return scores | {"average": float(np.mean([np.mean(own) for own in categories.values()]))}


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
