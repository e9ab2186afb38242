"""Robustness: five paraphrases of each instruction (INSTRUCTOR paper, section 4.2): best, worst, gap, mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eval.config import EvalConfig
from eval.instructions import PARAPHRASES
from eval.plots import gaps_plot
from eval.progress import Progress
from eval.runs import Run
from eval.studies.study import Grid, Study, percent, run_variants, shared_tasks, span
from eval.tasks.base import EvalTask
from eval.units import MIN_UNITS, interval

_KEYS = ("best", "worst", "gap", "mean")
_CLUSTERINGS = 10  # of each paraphrase, as mteb's newer clustering tasks (n_clusters of AbsTaskClustering)


def run_robustness(
    config: EvalConfig, tasks: Sequence[EvalTask], source: str, progress: Progress | None = None
) -> Study:
    """Return best, worst, gap and mean over the paraphrases for each set and model.

    The mean's interval covers both: which units were drawn and which paraphrases. A clustering score is the mean over
    ten seeds of k-means unless the configuration says otherwise: the gap of five single draws is mostly their own
    (2.3 standard deviations where the instructions change nothing).
    """
    config = replace(config, cluster_seeds=config.cluster_seeds or _CLUSTERINGS)
    study = Study("robustness", f"Robustness: five paraphrases of each instruction ({source} data)")
    runs_by_model = run_variants(study, config, tasks, source, PARAPHRASES, progress)
    for model, runs in runs_by_model.items():
        rows = {name: _row(name, runs, config) for name in shared_tasks(runs)}
        study.values.setdefault("models", {})[model] = rows
        columns = ("set", *_KEYS, "95 % interval")
        lines = [(name, *(percent(r[key]) for key in _KEYS), span(*r["interval_95"])) for name, r in rows.items()]
        if rows:
            averages = {key: float(np.mean([r[key] for r in rows.values()])) for key in _KEYS}
            study.values.setdefault("averages", {})[model] = averages
            lines.append((f"average of {len(rows)}", *map(percent, averages.values()), ""))
        study.grids.append(Grid(model, columns, lines))
    if study.values:
        study.svg = gaps_plot(study.values["models"])
    return study


def _row(name: str, runs: dict[str, Run], config: EvalConfig) -> dict[str, Any]:
    scores = {variant: runs[variant].results[name].score for variant in PARAPHRASES}
    mean = float(np.mean(list(scores.values())))
    units = [runs[variant].results[name].units() for variant in PARAPHRASES]
    low: float | None = None
    high: float | None = None
    if all(u and u.num_units >= MIN_UNITS for u in units):
        # the same draws of units for every paraphrase, then a draw of paraphrases
        drawn = np.array([u.resample(config.num_resamples, config.seed) for u in units if u])  # (5, resamples)
        chosen = np.random.default_rng(config.seed).integers(len(drawn), size=drawn.shape)
        low, high = interval(np.take_along_axis(drawn, chosen, axis=0).mean(axis=0))
    best, worst = max(scores.values()), min(scores.values())
    return {
        "scores": scores,
        "best": best,
        "worst": worst,
        "gap": best - worst,
        "mean": mean,
        "interval_95": [low, high],
    }
