"""Raw tasks -> triples -> a mixture's folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instructor_search.instructions import InstructedText
from train.examples import MixtureError, TaskFacts, TrainingExample, write_manifest, write_task
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


def build(
    tasks: Iterable[RawTask],
    folder: Path,
    encoder: Encoder,
    *,
    max_rows: int = 8000,
    seed: int = 0,
    against: EvaluationTexts | None = None,
    refuse: bool = False,
    overwrite: bool = False,
    settings: dict[str, Any] | None = None,
) -> BuildReport:
    """Write the mixture of ``tasks`` to ``folder``, all of it or nothing, and return what was done.

    The same tasks, encoder and seed give the same bytes. ``against``: rows that hold an evaluation text are removed, or
    with ``refuse`` end the build.

    Raises:
        MixtureError: the folder exists, two tasks have one name, nothing is left, or ``refuse`` found something.
    """
    if folder.exists() and not (overwrite and (folder / "manifest.json").is_file()):
        raise MixtureError(
            f"{folder} exists; choose another folder" + (" (it is no mixture)" if overwrite else ", or --overwrite")
        )
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    report = BuildReport(str(folder))
    try:
        names: set[str] = set()
        for task in tasks:
            if task.name in names:
                raise MixtureError(f"two tasks are called {task.name!r}; leave one out (--exclude)")
            names.add(task.name)
            sys.stderr.write(f"{task.name}: {len(task.rows):,} rows\n")
            _one_task(task.sample(max_rows, seed), part, encoder, against, refuse, report)
        if not report.tasks:
            raise MixtureError(
                "no examples are left: " + ("; ".join(f"{k}: {v}" for k, v in report.skipped.items()) or "no tasks")
            )
        facts = {"encoder": encoder.fingerprint, "seed": seed, "max_rows": max_rows, **(settings or {})}
        write_manifest(part, report.tasks, settings=facts, skipped=report.skipped)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return report


def _one_task(
    task: RawTask, folder: Path, encoder: Encoder, against: EvaluationTexts | None, refuse: bool, report: BuildReport
) -> None:
    examples, dropped = triples(task, encoder)
    if against is not None:
        clean = [e for e in examples if e not in against]
        if refuse and len(clean) < len(examples):
            raise MixtureError(
                f"{task.name}: {len(examples) - len(clean)} rows hold a text of the evaluation data; remove them "
                "(--contamination remove) or leave the task out (--exclude)"
            )
        dropped["evaluation text"] = len(examples) - len(clean)
        examples = clean
    if not examples:
        report.skipped[task.name] = f"no examples are left ({dict(dropped)})"
        return
    report.tasks.append(
        write_task(
            folder, examples, name=task.name, licence=task.licence, source=task.source, symmetric=task.symmetric,
            query_instruction=task.query_instruction, document_instruction=task.document_instruction,
            kind="pairs" if task.kind == "ready" else task.kind, notes=task.notes,
            settings={"dropped": {k: v for k, v in sorted(dropped.items()) if v}},
        )
    )  # fmt: skip


def triples(task: RawTask, encoder: Encoder) -> tuple[list[TrainingExample], Counter[str]]:
    """Return a task's examples, and how many rows were dropped for which reason."""
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
    for query, positive, negatives in task.rows:
        if not str(query or "").strip() or not str(positive or "").strip():
            dropped["empty text"] += 1
            continue
        wrong = [n for n in negatives if str(n or "").strip() and n != positive][:_MAX_NEGATIVES]
        examples.append(
            TrainingExample(
                InstructedText(task.query_instruction, _cut(query)),
                InstructedText(task.document_instruction, _cut(positive)),
                tuple(InstructedText(task.document_instruction, _cut(n)) for n in wrong),
            )
        )
    return examples, dropped


def _cut(text: Any) -> str:
    return str(text)[:_MAX_CHARACTERS]


def _embed(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """Return unit embeddings without an instruction, (n, dim)."""
    vectors = np.asarray(encoder.encode([InstructedText("", text) for text in texts]), dtype=np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
