"""Makes a pool, and adds examples to it, from a program; files of examples go through ``python -m ingest``."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path

from instructor_search.encoder import load_encoder
from instructor_search.encoder.protocol import Encoder
from instructor_search.in_context.pool import OUTPUT, TASK, ExamplePool
from instructor_search.instruction_rule import GivenInstruction, resolve
from instructor_search.records import Block, Chunk, Demonstration, Document
from instructor_search.store.collection import Collection
from instructor_search.store.schema import SourceRecord

_SOURCE = "added"  # first part of the sources of what a program added


def create_pool(
    name: str,
    examples: Iterable[Demonstration] = (),
    *,
    store: str | Path | None = None,
    instruction: GivenInstruction = "",
    encoder: Encoder | None = None,
) -> ExamplePool:
    """Return a new pool with ``examples``, their inputs embedded under ``instruction``; encoder None: the default one.

    ``instruction``: see ``instruction_rule.resolve``; "@name" is the document's of the pair.

    Raises:
        StoreError: the name is not allowed or taken.
        ValueError: an example lacks its input or its output.
    """
    items = list(examples)
    _check(items)
    made_by = encoder or load_encoder()
    sentence = resolve(instruction, "document")
    budget = made_by.tokenizer.text_budget(sentence)
    collection = Collection.create_empty(name, store, chunk_tokens=budget, chunk_overlap=0)
    with collection.writing():
        collection.add_view(made_by, sentence, "default")
        collection.update_manifest(examples={"input_field": "input", "output_field": "output", "embed": "input"})
    pool = ExamplePool(collection, encoder=made_by)
    add_examples(pool, items)
    return pool


def add_examples(pool: ExamplePool, examples: Iterable[Demonstration]) -> int:
    """Embed and store examples in every view of the pool; return how many. The same ones twice are stored once.

    Raises:
        ValueError: an example lacks its input or its output; nothing is stored then.
        LockedError: another process is writing to the pool.
    """
    items = list(examples)
    _check(items)
    if not items:
        return 0
    content = json.dumps([[d.input, d.output, d.task, dict(d.metadata)] for d in items], default=str).encode()
    digest = hashlib.sha256(content).hexdigest()
    record = SourceRecord(f"{_SOURCE}/{digest[:16]}", len(content), time.time_ns(), digest, "examples")
    collection = pool.collection
    encoder = pool.searcher.encoder
    collection.use_encoder(encoder)
    with collection.writing():
        collection.write([(record, [_row(record.source, n, example, encoder) for n, example in enumerate(items, 1)])])
    return len(items)


def _row(source: str, number: int, example: Demonstration, encoder: Encoder) -> tuple[Document, Chunk]:
    document_id, text = f"{source}#row={number}", example.input
    example_fields = {OUTPUT: example.output} | ({TASK: example.task} if example.task else {})
    document = Document(
        document_id,
        source,
        f"example {number}",
        "application/json",
        [Block(text)],
        dict(example.metadata) | example_fields,
        number,
    )
    return document, Chunk(document_id, text, 0, len(text), encoder.tokenizer.count_tokens(text), (), None)


def _check(examples: Iterable[Demonstration]) -> None:
    for number, example in enumerate(examples, 1):
        if not example.input.strip() or not example.output.strip():
            raise ValueError(f"example {number} has no {'output' if example.input.strip() else 'input'}: {example[:2]}")
