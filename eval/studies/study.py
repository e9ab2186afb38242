"""What the studies share: running a model under several variants, and showing a table and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eval.config import EvalConfig
from eval.progress import Progress
from eval.runner import run
from eval.runs import Run, distinct_labels
from eval.tasks.base import EvalTask


@dataclass(frozen=True)
class Grid:
    """A table: a heading, the names of its columns, and rows of words."""

    heading: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def as_text(self) -> str:
        """Return the table for a terminal."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        texts = ["  ".join(w.ljust(n) for w, n in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([self.heading, "", texts[0], "-" * len(max(texts, key=len)), *texts[1:]])

    def as_markdown(self) -> str:
        """Return the table in Markdown."""
        head = [f"### {self.heading}", "", f"| {' | '.join(self.columns)} |", "|" + "---|" * len(self.columns)]
        return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in self.rows)])


@dataclass
class Study:
    """The outcome of a study. ``values``: the numbers behind the tables; ``svg``: the plot."""

    name: str
    title: str
    grids: list[Grid] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    svg: str = ""
    notes: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    why_empty: str = "no task has a score under every variant"  # told where there is nothing to show

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show: all tasks failed, or it was interrupted."""
        return not any(grid.rows for grid in self.grids)

    def as_text(self) -> str:
        """Return title, tables and notes for a terminal."""
        return "\n\n".join([self.title, *(grid.as_text() for grid in self.grids), *self.notes])

    def as_json(self) -> dict[str, Any]:
        """Return the numbers."""
        return {"study": self.name, **self.values, "failures": self.failures, "interrupted": self.interrupted}

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.md, NAME.json and NAME.svg; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        plot = f"![{self.name}]({self.name}.svg)"
        parts = [
            f"## {self.title}",
            *(grid.as_markdown() for grid in self.grids),
            *([plot] if self.svg else []),
            *self.notes,
        ]
        texts = {"md": "\n\n".join(parts) + "\n", "json": json.dumps(self.as_json(), indent=1), "svg": self.svg}
        written = []
        for suffix, text in texts.items():
            if text:
                path = folder / f"{self.name}.{suffix}"
                path.write_text(text, encoding="utf-8")
                written.append(path)
        return written


def bases(config: EvalConfig) -> list[str]:
    """Return the models of a configuration, each of which must take instructions and bring no variant of its own.

    Raises:
        ValueError: one does not, or does.
    """
    if config.instructions != "default":
        raise ValueError(f"--instructions {config.instructions}: a study chooses the variants itself; leave it out")
    for model in config.models:
        if "@" in model:
            raise ValueError(
                f"--models {model}: a study chooses the variants itself; leave @{model.rpartition('@')[2]} out"
            )
        if model in ("bm25", "random") or model.startswith("st:"):
            raise ValueError(f"--models {model}: it takes no instructions, so there is nothing to study")
    return list(config.models)


def run_variants(
    study: Study,
    config: EvalConfig,
    tasks: Sequence[EvalTask],
    source: str,
    variants: Sequence[str],
    progress: Progress | None,
) -> dict[str, dict[str, Run]]:
    """Return model (by a label that no other has) -> variant -> run, of the models that have run under all variants.

    Failures and an interruption go into ``study``.
    """
    # all variants of one model before the next: its embeddings of shared texts are known by then
    places = {_specification(model, variant): (model, variant) for model in bases(config) for variant in variants}
    summary = run(replace(config, models=tuple(places)), tasks, source, progress)
    study.failures |= summary.failures
    study.interrupted = study.interrupted or summary.interrupted
    by_model: dict[str, dict[str, Run]] = {}
    for one in summary.runs:
        model, variant = places[one.specification]
        by_model.setdefault(model, {})[variant] = one
    whole = {model: runs for model, runs in by_model.items() if len(runs) == len(variants)}
    labels = distinct_labels([runs[variants[-1]] for runs in whole.values()])
    return {label.replace(f"@{variants[-1]}", "", 1): runs for label, runs in zip(labels, whole.values(), strict=True)}


def _specification(model: str, variant: str) -> str:
    if variant == "default":
        return model
    if model.startswith("collection:"):
        body, separator, inner = model.partition("=")
        return f"{body}={inner if separator else 'default'}@{variant}"
    return f"{model}@{variant}"


def shared_tasks(runs: dict[str, Run]) -> list[str]:
    """Return the tasks that all variants have a score of, in the order of the first."""
    return [name for name in next(iter(runs.values())).results if all(name in run.results for run in runs.values())]


def percent(value: float) -> str:
    """Return a score from 0 to 1 as words, x 100."""
    return f"{100 * value:.2f}"


def signed(value: float) -> str:
    """Return a difference of scores as words, x 100."""
    return f"{100 * value:+.2f}"


def span(low: float | None, high: float | None, *, sign: bool = False) -> str:
    """Return an interval as words, x 100; nothing where there is none."""
    if low is None or high is None:
        return ""
    form = "+.2f" if sign else ".2f"
    return f"[{100 * low:{form}}, {100 * high:{form}}]"
