"""With and without: each set under its instruction and under none (INSTRUCTOR paper, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from eval.compare import Difference, compare
from eval.config import EvalConfig
from eval.plots import differences_plot
from eval.progress import Progress
from eval.records import EvalDataError
from eval.studies.study import Grid, Study, run_variants
from eval.tasks.base import EvalTask

VARIANTS = ("none", "default")


def run_instructions(
    config: EvalConfig, tasks: Sequence[EvalTask], source: str, progress: Progress | None = None
) -> Study:
    """Return the gain of the instruction on each set, with paired intervals and Holm's correction."""
    study = Study("instructions", f"With and without instructions ({source} data)")
    runs_by_model = run_variants(study, config, tasks, source, VARIANTS, progress)
    for model, runs in runs_by_model.items():
        try:
            result = compare(
                runs["none"], runs["default"], num_resamples=max(config.num_resamples, 2000), seed=config.seed
            )
        except EvalDataError as error:
            study.notes.append(f"{model}: {error}")
            continue
        study.values.setdefault("models", {})[model] = {
            "sets": [asdict(d) for d in result.tasks],
            "averages": [asdict(d) for d in result.averages],
        }
        columns = ("set", "without", "with", "gain", "95 % interval", "significant")
        study.grids.append(Grid(model, columns, [_words(d) for d in [*result.tasks, *result.averages]]))
    if study.notes:
        study.why_empty = "; ".join(study.notes)
    if study.values:
        study.svg = differences_plot(study.values["models"], "gain by the instruction (points)")
    return study


def _words(d: Difference) -> tuple[str, ...]:
    bounds = f"[{d.low:+.2f}, {d.high:+.2f}]"
    return (
        d.name,
        f"{d.first:.2f}",
        f"{d.second:.2f}",
        f"{d.difference:+.2f}",
        bounds,
        "yes" if d.is_significant else "no",
    )
