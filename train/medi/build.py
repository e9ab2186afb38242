"""Raw tasks -> triples -> a mixture's folder."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.engines import Engine, LocalEngine
from instructor_search.files import atomic_folder, remove_parts
from instructor_search.instructions import InstructedText
from train.examples import (
    MixtureError,
    TaskFacts,
    TrainingExample,
    file_name,
    without_surrogates,
    write_manifest,
    write_task,
)
from train.medi.contamination import EvaluationTexts
from train.medi.mining import by_class, by_output, is_classification
from train.medi.sources import RawTask

if TYPE_CHECKING:
    from instructor_search.encoder.protocol import Encoder

_MAX_NEGATIVES = 3
_MAX_CHARACTERS = 4000  # of a text: longer than any window


@dataclass
class BuildReport:
    """What a build did."""

    folder: str
    tasks: list[TaskFacts] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # task -> reason


@dataclass(frozen=True)
class BuildPlan:
    """How each raw task becomes examples. The same plan, encoder and tasks give the same bytes.

    ``against``: rows that hold an evaluation text are removed, or with ``refuse`` end the build.
    """

    encoder: Encoder
    max_rows: int = 8000
    seed: int = 0
    against: EvaluationTexts | None = None
    refuse: bool = False


@dataclass(frozen=True)
class MadeTask:
    """A task's examples, what was dropped for which reason, and how many texts were cut."""

    task: RawTask
    examples: list[TrainingExample]
    dropped: Counter[str]
    num_cut: int


def build(
    tasks: Iterable[RawTask],
    folder: Path,
    plan: BuildPlan,
    *,
    overwrite: bool = False,
    settings: dict[str, Any] | None = None,
    left_out: dict[str, str] | None = None,
    engine: Engine | None = None,
) -> BuildReport:
    """Write the mixture of ``tasks`` to ``folder``, all of it or nothing, and return what was done.

    ``left_out``: what the sources did not give, and why; read when ``tasks`` ends. ``engine`` makes the examples; None:
    this process.

    Raises:
        MixtureError: the folder exists, two tasks have one name, nothing is left, or ``refuse`` found something.
    """
    folder = folder.resolve()
    if folder.exists() and not (overwrite and (folder / "manifest.json").is_file()):
        raise MixtureError(
            f"{folder} exists; choose another folder" + (" (it is no mixture)" if overwrite else ", or --overwrite")
        )
    report = BuildReport(str(folder))
    remove_parts(folder)
    with atomic_folder(folder, overwrite=overwrite) as part:
        for made_task in (engine or LocalEngine()).map(partial(make_task, plan), _named(tasks)):
            _write(made_task, part, report)
        report.skipped = {**(left_out or {}), **report.skipped}
        if not report.tasks:
            raise MixtureError(
                "no examples are left: " + ("; ".join(f"{k}: {v}" for k, v in report.skipped.items()) or "no tasks")
            )
        encoder = plan.encoder
        recorded_settings = {"encoder": encoder.fingerprint, "precision": encoder.precision, "seed": plan.seed}
        recorded_settings |= {"max_rows": plan.max_rows} | (settings or {})
        write_manifest(part, report.tasks, settings=recorded_settings, skipped=report.skipped)
    return report


def _named(tasks: Iterable[RawTask]) -> Iterator[RawTask]:
    """Yield the tasks by the names of their files, and say which one is next.

    Raises:
        MixtureError: two tasks have one name.
    """
    names: dict[str, str] = {}  # of the files, and what the tasks were called
    for task in tasks:
        if task.name in names.values():
            raise MixtureError(f"two tasks are called {task.name!r}; leave one out (--exclude)")
        name = file_name(task.name, names)
        names[name] = task.name
        sys.stderr.write(f"{name}: {len(task.rows):,} rows\n")
        yield replace(task, name=name)


def make_task(plan: BuildPlan, task: RawTask) -> MadeTask:
    """Return a task's examples. Evaluation texts go before pairs are mined and texts cut: no clean row is lost.

    Raises:
        MixtureError: (``refuse``) it holds a text of the evaluation data.
    """
    clean = task if plan.against is None else plan.against.without(task)
    removed = len(task.rows) - len(clean.rows)
    if removed and plan.refuse:
        raise MixtureError(
            f"{task.name}: {removed} rows hold a text of the evaluation data; remove them (--contamination remove) or "
            "leave the task out (--exclude)"
        )
    # Of all rows: a sample of a task with many classes would look like one of texts.
    labelled = task.kind == "super-ni" and is_classification([str(row[1]) for row in clean.rows])
    task = clean.sample(plan.max_rows, plan.seed)
    examples, dropped = triples(task, plan.encoder, labelled=labelled)
    dropped.update({"evaluation text": removed, **task.dropped})
    cut = sum(len(str(text)) > _MAX_CHARACTERS for row in task.rows for text in row[:2]) if task.kind != "ready" else 0
    return MadeTask(task, examples, dropped, cut)


def _write(made_task: MadeTask, folder: Path, report: BuildReport) -> None:
    """Write a task's file, or say why there is none."""
    task = made_task.task
    if not made_task.examples:
        report.skipped[task.name] = f"no examples are left ({dict(made_task.dropped)})"
        return
    report.tasks.append(
        write_task(
            folder,
            made_task.examples,
            name=task.name,
            licence=task.licence,
            source=task.source,
            symmetric=task.symmetric,
            query_instruction=task.query_instruction,
            document_instruction=task.document_instruction,
            kind="pairs" if task.kind == "ready" else task.kind,
            notes=task.notes,
            settings={
                "dropped": {k: v for k, v in sorted(made_task.dropped.items()) if v},
                "cut_texts": made_task.num_cut,
            },
        )
    )


def triples(
    task: RawTask, encoder: Encoder, *, labelled: bool | None = None
) -> tuple[list[TrainingExample], Counter[str]]:
    """Return a task's examples, and how many rows were dropped for which reason.

    ``labelled``: whether a Super-NI task's outputs are classes; None: told from its rows.
    """
    if task.kind == "ready":
        return [row[0] for row in task.rows], Counter()
    if task.kind == "pairs":
        return _pairs(task)
    kept = [i for i, row in enumerate(task.rows) if all(str(cell).strip() for cell in row[:2])]
    dropped = Counter({"empty text": len(task.rows) - len(kept)})
    rows = [(_cut(task.rows[i][0]), _cut(task.rows[i][1])) for i in kept]
    given = [task.instructions[i] if task.instructions else task.query_instruction for i in kept]
    inputs, outputs = [r[0] for r in rows], [r[1] for r in rows]
    if not rows:
        return [], dropped
    vectors = _embed(encoder, inputs)
    if task.kind == "classification" or labelled is None:
        labelled = task.kind == "classification" or is_classification(outputs)
    if labelled:
        positives, negatives = by_class(inputs, outputs, vectors)
    else:
        positives, negatives = by_output(inputs, outputs, vectors, _embed(encoder, outputs))
    examples = []
    for i, (positive, negative) in enumerate(zip(positives.tolist(), negatives.tolist(), strict=True)):
        if positive < 0:
            dropped["no positive"] += 1
            continue
        wrong = (InstructedText(given[i], inputs[negative]),) if negative >= 0 else ()
        label = outputs[i] if labelled else None
        query, right = InstructedText(given[i], inputs[i]), InstructedText(given[i], inputs[positive])
        examples.append(TrainingExample(query, right, wrong, label))
    return examples, dropped


def _pairs(task: RawTask) -> tuple[list[TrainingExample], Counter[str]]:
    examples, dropped = [], Counter[str]()
    seen: set[tuple[str, str]] = set()
    for i, (query, positive, negatives) in enumerate(task.rows):
        if reason := _unfit(query) or _unfit(positive):
            dropped[reason] += 1
            continue
        if (str(query), str(positive)) in seen:
            dropped["the same pair again"] += 1
            continue
        seen.add((str(query), str(positive)))
        given = task.instructions[i] if task.instructions else task.query_instruction
        wrong = [n for n in negatives if not _unfit(n) and n != positive][:_MAX_NEGATIVES]
        examples.append(
            TrainingExample(
                InstructedText(given, _cut(query)),
                InstructedText(task.document_instruction, _cut(positive)),
                tuple(InstructedText(task.document_instruction, _cut(n)) for n in wrong),
            )
        )
    return examples, dropped


def _unfit(text: Any) -> str:
    """Return why a cell is no text to train on; a number is one."""
    if text is None or text != text or (isinstance(text, str) and not text.strip()):  # a table's nothing is NaN
        return "empty text"
    return "" if isinstance(text, (str, int, float)) else "no text but a list or an object"


def _cut(text: Any) -> str:
    return without_surrogates(str(text)[:_MAX_CHARACTERS])


def _embed(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """Return unit embeddings without an instruction, (n, dim)."""
    return to_unit_length(encoder.encode([InstructedText("", text) for text in texts]))
