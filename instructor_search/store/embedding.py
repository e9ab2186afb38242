"""Texts of chunks -> vectors of a view: embeds, checks, counts, and fills a view whose chunks have none yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from instructor_search.encoder.protocol import Encoder, check_vectors
from instructor_search.engines import Engine, LocalEngine
from instructor_search.errors import StoreError
from instructor_search.instructions import InstructedText
from instructor_search.store.manifest import View
from instructor_search.store.table import CollectionTable

FIRST_BATCH, LAST_BATCH = 256, 4096  # chunks of a write; grows while one takes less than TARGET_SECONDS
TARGET_SECONDS = 5.0


@dataclass
class WriteCounts:
    """What a writer did, and where its time went."""

    embedded: int = 0  # vectors made and stored: chunks x views
    kept: int = 0  # vectors that were there already
    deleted: int = 0
    cut: int = 0  # texts that did not fit into a view's window beside its instruction
    embed_seconds: float = 0.0
    write_seconds: float = 0.0

    def add(self, made: Embedded) -> None:
        """Count what embedding told."""
        self.cut += made.num_cut
        self.embed_seconds += made.seconds


@dataclass(frozen=True)
class Embedded:
    """Vectors of texts, float32 (n, dim); how many texts did not fit into the window; the seconds it took."""

    vectors: np.ndarray
    num_cut: int
    seconds: float


def embed(encoder: Encoder, view: View, texts: list[str], on_embedded: Callable[[int], None] | None = None) -> Embedded:
    """Return the vectors of ``texts`` in ``view``, checked to be finite and not zero.

    Raises:
        StoreError: the encoder returned vectors of another shape.
        ModelError: it returned vectors that could not be searched.
    """
    started = time.perf_counter()
    limit = encoder.tokenizer.text_budget(view.document_instruction)
    pairs = [InstructedText(view.document_instruction, text) for text in texts]
    vectors = np.asarray(encoder.encode(pairs, on_batch=on_embedded), dtype=np.float32)
    seconds = time.perf_counter() - started
    if vectors.shape != (len(texts), view.dim):
        raise StoreError(
            f"encoder {encoder.name} gave {vectors.shape}, view {view.name!r} needs ({len(texts)}, {view.dim})"
        )
    num_cut = sum(n > limit for n in encoder.tokenizer.count_many(texts))
    return Embedded(check_vectors(vectors, encoder.name), num_cut, seconds)


def fill_view(
    collection: CollectionTable,
    view: View,
    encoder: Encoder,
    counts: WriteCounts,
    on_embedded: Callable[[int], None] | None = None,
    engine: Engine | None = None,
) -> None:
    """Embed the chunks that ``view`` has no vector for, in batches, each stored at once. Safe to interrupt.

    ``engine`` embeds the batches; None: this process.
    """
    batches = _growing(collection.batches_without_vector(view, FIRST_BATCH))
    for ids, embedded in (engine or LocalEngine()).map(partial(_embed_rows, encoder, view, on_embedded), batches):
        started = time.perf_counter()
        collection.set_vectors(view, ids, embedded.vectors)
        counts.add(embedded)
        counts.embedded += len(ids)
        counts.write_seconds += time.perf_counter() - started


def _growing(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables to larger ones, as long as one keeps the caller for less than TARGET_SECONDS."""
    size, waiting = FIRST_BATCH, list[pa.Table]()
    for table in tables:
        waiting.append(table)
        if sum(part.num_rows for part in waiting) >= size:
            started = time.perf_counter()
            yield pa.concat_tables(waiting)
            waiting = []
            if time.perf_counter() - started < TARGET_SECONDS:
                size = min(size * 2, LAST_BATCH)
    if waiting:
        yield pa.concat_tables(waiting)


def _embed_rows(
    encoder: Encoder, view: View, on_embedded: Callable[[int], None] | None, rows: pa.Table
) -> tuple[list[str], Embedded]:
    return rows["id"].to_pylist(), embed(encoder, view, rows["text"].to_pylist(), on_embedded)
