"""Domain shift: is the gain of instructions larger on domain-specific sets (INSTRUCTOR paper, section 4.5)?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.config import EvalConfig
from eval.plots import groups_plot
from eval.progress import Progress
from eval.runs import Run
from eval.studies.study import Grid, Study, percent, run_variants, shared_tasks, signed, span
from eval.tasks.base import EvalTask
from eval.units import MIN_UNITS, interval

GROUPS = ("specialised", "general")


def run_domain_shift(
    config: EvalConfig, tasks: Sequence[EvalTask], source: str, progress: Progress | None = None
) -> Study:
    """Return for domain-specific and for general sets the mean score without and with instructions, and the gain."""
    study = Study("domain-shift", f"Domain shift: domain-specific and general sets ({source} data)")
    is_special = {task.info.name: task.info.is_specialised for task in tasks}
    domains = {task.info.name: task.info.domain for task in tasks}
    runs_by_model = run_variants(study, config, tasks, source, ("none", "default"), progress)
    for model, runs in runs_by_model.items():
        names = shared_tasks(runs)
        rows = []
        for group in GROUPS:
            group_names = [name for name in names if is_special[name] == (group == "specialised")]
            if not group_names:
                study.notes.append(f"no {group} set was chosen")
                continue
            values = _group(group_names, runs, config) | {"sets": {name: domains[name] for name in group_names}}
            study.values.setdefault("models", {}).setdefault(model, {})[group] = values
            rows.append(
                (
                    group,
                    str(len(group_names)),
                    percent(values["without"]),
                    percent(values["with"]),
                    signed(values["gain"]),
                    span(*values["interval_95"], sign=True),
                )
            )
        study.grids.append(Grid(model, ("domains", "sets", "without", "with", "gain", "95 % interval"), rows))
    if study.values:
        study.svg = groups_plot(study.values["models"], GROUPS)
        study.notes.append(_named(study.values["models"]))
    return study


def _group(names: list[str], runs: dict[str, Run], config: EvalConfig) -> dict[str, Any]:
    """Return the means and the gain; its interval where all sets have units enough for one."""
    without, with_ = ([runs[v].results[name].score for name in names] for v in ("none", "default"))
    gain = float(np.mean(with_) - np.mean(without))
    drawn = []
    for number, name in enumerate(names):
        pair = runs["none"].results[name].units(), runs["default"].results[name].units()
        if pair[0] and pair[1] and pair[1].num_units >= MIN_UNITS:
            seed = config.seed + number
            drawn.append(pair[1].resample(config.num_resamples, seed) - pair[0].resample(config.num_resamples, seed))
    bounds = interval(np.mean(drawn, axis=0)) if len(drawn) == len(names) else (None, None)
    return {
        "without": float(np.mean(without)),
        "with": float(np.mean(with_)),
        "gain": gain,
        "interval_95": list(bounds),
    }


def _named(models: dict[str, dict[str, dict[str, dict[str, str]]]]) -> str:
    special = next(iter(models.values())).get("specialised", {}).get("sets", {})
    return "domain-specific: " + ", ".join(f"{name} ({domain})" for name, domain in special.items())
