"""Complexity: no instruction, a tag, a short one, the detailed one (INSTRUCTOR paper, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.config import EvalConfig
from eval.instructions import LADDER
from eval.plots import ladder_plot
from eval.progress import Progress
from eval.records import Category
from eval.runs import Run
from eval.studies.study import Grid, Study, percent, run_variants, shared_tasks
from eval.tasks.base import EvalTask


def run_complexity(
    config: EvalConfig, tasks: Sequence[EvalTask], source: str, progress: Progress | None = None
) -> Study:
    """Return the score of each set and category at each step of detail."""
    study = Study("complexity", f"Complexity: less and more detailed instructions ({source} data)")
    runs_by_model = run_variants(study, config, tasks, source, LADDER, progress)
    for model, runs in runs_by_model.items():
        names = shared_tasks(runs)
        scores = {name: [runs[step].results[name].score for step in LADDER] for name in names}
        averages = _averages(names, scores, runs)
        study.values.setdefault("models", {})[model] = {"steps": LADDER, "sets": scores, "averages": averages}
        rows = [(name, *map(percent, values)) for name, values in (scores | averages).items()]
        study.grids.append(Grid(model, ("set", *LADDER), rows))
    if study.values:
        study.svg = ladder_plot(study.values["models"], LADDER)
    return study


def _averages(names: list[str], scores: dict[str, list[float]], runs: dict[str, Run]) -> dict[str, list[float]]:
    first = runs[LADDER[0]]
    averages: dict[str, list[float]] = {}
    for category in Category:
        category_scores = [scores[name] for name in names if first.results[name].category is category]
        if category_scores:
            averages[f"{category} ({len(category_scores)})"] = np.mean(category_scores, axis=0).tolist()
    if len(averages) > 1:
        averages["average of categories"] = np.mean(list(averages.values()), axis=0).tolist()
    return averages
