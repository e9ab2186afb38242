"""Training examples of a collection: hits that were judged, else titles and headings with the passages under them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from instructor_search.instruction_library import query_instruction_for
from instructor_search.instructions import InstructedText
from train.config import TrainConfig
from train.examples import Mixture, MixtureError, TaskFacts, TrainingExample, from_row

if TYPE_CHECKING:
    from instructor_search.store.collection import Collection

_LEAST = 20  # examples to train on


def from_collection(name: str, store: str | None = None) -> Mixture:
    """Return a mixture of one task: relevant hits of queries (``judgments``) with those judged not relevant to them.

    While fewer than twenty hits were judged relevant, or none of them is a negative of another: the title and headings
    of each chunk, and its text.

    Raises:
        MixtureError: fewer than twenty chunks have a title, too.
    """
    from instructor_search.store.collection import Collection
    from instructor_search.store.judgments import medi_rows, read_judgments

    collection = Collection.open(name, store)
    judged = [
        from_row(row | {"label": "\0".join(row["query"])}, f"judgment {number} of {name!r}")
        for number, row in enumerate(medi_rows(read_judgments(collection)), 1)
    ]
    negatives = len({example.query for example in judged}) > 1 or any(example.negatives for example in judged)
    if len(judged) >= _LEAST and negatives:
        document_instruction = judged[0].positive.instruction
        return _mixture(f"{name}-judgments", judged, judged[0].query.instruction, document_instruction)
    if judged:
        needed = f"{_LEAST} are needed" if len(judged) < _LEAST else "all to one query, and none not relevant"
        sys.stderr.write(f"{len(judged)} hits of {name!r} were judged relevant, {needed}: training on its titles\n")
    return _of_titles(collection)


def fitted(config: TrainConfig, mixture: Mixture, num_processes: int) -> TrainConfig:
    """Return the configuration for a collection's examples, which may be few; what is changed is told on stderr.

    With each that is held out go all others of its query: none is held out where that leaves less than half. A batch
    is as large as what is left at most.
    """
    from train.dev_evaluation import split

    ((name, rows),) = mixture.tasks.items()
    left = len(rows)
    if not config.eval_tasks:
        rest = len(split(mixture, config.eval_examples)[0].tasks[name])
        if 2 * rest >= left:
            left = rest
        else:
            config = replace(config, eval_examples=0)
            sys.stderr.write(f"{name}: none of {left} examples is held out for scores: few queries have most of them\n")
    size = left // num_processes
    if 0 < size < config.per_device_train_batch_size:
        sys.stderr.write(
            f"{name}: {left} examples to train on: --per_device_train_batch_size is {size} instead of "
            f"{config.per_device_train_batch_size}\n"
        )
        config = replace(config, per_device_train_batch_size=size)
    return config


def _of_titles(collection: Collection) -> Mixture:
    """Texts are under the document instruction of the default view, titles under the query's that goes with it.

    Chunks whose title says nothing (a file's name, a row's number) are left out.
    """
    view = collection.view()
    query_instruction = query_instruction_for(view.document_instruction)
    columns = ["title", "heading", "text", "source"]
    rows = collection.fetch(collection.chunks.search().select(columns).limit(collection.num_chunks()))
    examples = []
    for row in sorted(rows, key=lambda r: (r["source"], r["text"])):
        head = " ".join((row["heading"] or row["title"] or "").split())
        body = _without_head(row["text"], head)
        if len(head.split()) >= 2 and Path(row["source"]).name not in head and len(body.split()) >= 5:
            query = InstructedText(query_instruction, head)
            examples.append(TrainingExample(query, InstructedText(view.document_instruction, body)))
    if len(examples) < _LEAST:
        raise MixtureError(
            f"collection {collection.name!r} has {len(examples)} chunks with a title or heading of their own; expected "
            f"at least {_LEAST}, or as many hits judged relevant (judge, or the application)"
        )
    return _mixture(collection.name, examples, query_instruction, view.document_instruction)


def _mixture(name: str, examples: list[TrainingExample], query_instruction: str, document_instruction: str) -> Mixture:
    task_facts = TaskFacts(
        name=name,
        file="",
        rows=len(examples),
        sha256="",
        licence="your own",
        source=f"collection {name}",
        symmetric=False,
        query_instruction=query_instruction,
        document_instruction=document_instruction,
    )
    return Mixture({name: examples}, {name: task_facts})


def _without_head(text: str, head: str) -> str:
    """Return the text without its first line, if that is the title or heading, which would give the answer away."""
    first, _, rest = text.strip().partition("\n")
    heading = first.strip(" #*=-").lower()
    return rest.strip() if heading and heading in head.lower() else text
