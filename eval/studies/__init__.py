"""The paper's studies of instructions: with and without, paraphrased, more and less detailed, in other domains, drawn.

Each is a set of ordinary runs under other instructions (kept, resumed and compared like any run), a table and a plot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eval.config import EvalConfig
from eval.progress import Progress
from eval.studies.study import Study
from eval.tasks.base import EvalTask


def run_study(
    name: str, config: EvalConfig, tasks: Sequence[EvalTask], source: str, progress: Progress | None = None
) -> Study:
    """Run a study by its name (eval.suites.STUDIES).

    Raises:
        ValueError: a model of ``config`` takes no instructions.
    """
    from eval.studies import annotation, complexity, domain_shift, instructions, projection, robustness

    studies: dict[str, Callable[[EvalConfig, Sequence[EvalTask], str, Progress | None], Study]] = {
        "instructions": instructions.run_instructions,
        "robustness": robustness.run_robustness,
        "complexity": complexity.run_complexity,
        "domain-shift": domain_shift.run_domain_shift,
        "projection": projection.run_projection,
        "annotation": annotation.run_annotation,
    }
    return studies[name](config, tasks, source, progress)
