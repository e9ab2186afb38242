"""Scores while training goes on: on held-out examples of the mixture, or on evaluation sets.

The best checkpoint is chosen by them. Sets that it was chosen on are no test of it: take others for a final table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from instructor_search.encoder.saving import save_checkpoint
from train.examples import Mixture, TrainingExample, are_of_one_text
from train.lora import plain_state


def split(mixture: Mixture, count: int) -> tuple[Mixture, dict[str, list[TrainingExample]]]:
    """Return the mixture without, and by task, ``count`` examples (a tenth at most), evenly spaced over the task.

    Examples that hold the query of a held-out one are left out of the mixture. Of tasks of similarity and of
    wordings none are held out.
    """
    tasks, held_out = {}, {}
    for name, rows in mixture.tasks.items():
        size = 0 if are_of_one_text(rows) else min(count, len(rows) // 10)
        chosen = set(np.linspace(0, len(rows) - 1, size, dtype=int).tolist())
        last = [rows[i] for i in sorted(chosen)]
        texts = {e.query.text for e in last}
        rest = (e for i, e in enumerate(rows) if i not in chosen)
        tasks[name] = [e for e in rest if e.query.text not in texts and e.positive.text not in texts]
        held_out[name] = last
    return Mixture(tasks, mixture.facts), {name: rows for name, rows in held_out.items() if rows}


class EvaluationSets:
    """Scores encoders on evaluation sets, each under its own instructions, by running ``python -m eval``."""

    def __init__(self, names: Sequence[str], data: str = "auto") -> None:
        """``names``: sets or suites; ``data``: what ``--data`` of eval takes.

        Raises:
            ValueError: there is no such data, or none of that name in it, or eval's packages are missing.
        """
        self.names, self.data = list(names), data
        listed = _eval("--list", "--data", data)
        known = {*listed["suites"], *(task["name"] for task in listed["tasks"])}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"eval_tasks: no {', '.join(unknown)} in this data; there is: {', '.join(sorted(known))}")

    def __call__(self, encoder: Any) -> dict[str, float]:
        """Return main scores, from 0 to 1, by set, and as "average" the mean over categories of their sets' means.

        Raises:
            ValueError: a set could not be scored.
        """
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            save_checkpoint(encoder, model, backbone_state=plain_state(encoder.model.backbone))
            report = _eval(
                "--suite",
                ",".join(self.names),
                "--data",
                self.data,
                "--models",
                str(model),
                "--output",
                folder,
                "--no-cache",
                "--runtime",
                "torch",
                "--device",
                str(encoder.device),
            )
        results = report["runs"][0]["results"]
        categories: dict[str, list[float]] = {}
        for result in results.values():
            categories.setdefault(result["category"], []).append(result["score"])
        average = float(np.mean([np.mean(scores) for scores in categories.values()]))
        return {name: float(result["score"]) for name, result in results.items()} | {"average": average}


def _eval(*arguments: str) -> Any:
    """Return what ``python -m eval`` prints as JSON: the rooms know one another by their commands only."""
    environment = {k: v for k, v in os.environ.items() if (k, v) != ("OMP_NUM_THREADS", "1")}
    command = [sys.executable, "-m", "eval", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ValueError(f"eval_tasks: {lines[-1] if lines else 'python -m eval failed'}")
    return json.loads(done.stdout)


def accuracy(encoder: Any, held_out: Mapping[str, list[TrainingExample]]) -> dict[str, float]:
    """Return by task the share of queries whose nearest positive is right, and the "average".

    Right is their own, another one of the same query, and any of their label.
    """
    scores = {}
    for name, rows in held_out.items():
        queries, positives = (
            np.asarray(encoder.encode(side, normalize_embeddings=True), dtype=np.float32)
            for side in ([e.query for e in rows], [e.positive for e in rows])
        )
        nearest = (queries @ positives.T).argmax(1)
        right = [
            rows[i].positive.text == rows[j].positive.text
            or rows[i].query == rows[j].query
            or (rows[i].label is not None and rows[i].label == rows[j].label)
            for i, j in enumerate(nearest)
        ]
        scores[name] = float(np.mean(right))
    return scores | {"average": float(np.mean(list(scores.values())))} if scores else {}
