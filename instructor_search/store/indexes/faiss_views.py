"""Makes the FAISS index of a view when it is due, keeps its files up to date, and checks them."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.errors import MissingExtraError, StoreError
from instructor_search.store.indexes import lance, policy
from instructor_search.store.indexes.faiss import FaissIndex, Kind
from instructor_search.store.indexes.policy import EXACT, IndexConfig
from instructor_search.store.indexes.protocol import Findings
from instructor_search.store.indexes.row_batches import write_vectors
from instructor_search.store.indexes.saved_index import (
    IndexFacts,
    checksums_of,
    column_folder,
    drop_index,
    mapped_vectors,
    saved_indexes,
    write_index,
)
from instructor_search.store.indexes.tuning import tune
from instructor_search.store.indexes.view_index import ViewIndex, damaged_vectors, open_index
from instructor_search.store.manifest import View
from instructor_search.store.table import CollectionTable

REBUILD_SHARE = 0.2  # of changed rows, from which an index is made anew
_SAMPLE = 200  # vectors that stand for queries when a recall is measured


class FaissOfView:
    """The FAISS index of a view, as an ``Index``."""

    def __init__(self, collection: CollectionTable, view: View) -> None:
        """Nothing is read yet."""
        self._collection, self._view = collection, view

    def open(self) -> ViewIndex | None:
        """Return the newest whole one, up to date."""
        return open_index(self._collection, self._view)

    def sync(self) -> list[str]:
        """Make it or bring it up to date, if it is the index that the view is to have; else delete it."""
        config, kind = (
            policy.index_config(self._collection, self._view),
            policy.index_kind(self._collection, self._view),
        )
        try:
            return ensure_faiss_index(self._collection, self._view, config, kind)
        except MissingExtraError as error:  # what is saved stays, and is searched where FAISS is installed
            return [f"the index of view {self._view.name} was not brought up to date: {error}"]

    def drop(self) -> None:
        """Delete all that is saved of it."""
        drop_index(self._collection, self._view)

    def verify(self) -> Findings:
        """Compare its files with their checksums, and its vectors with theirs."""
        view, again = self._view, "make it again: python -m instructor_search index"
        try:
            index = self.open()
        except MissingExtraError as error:
            return Findings(notes=(f"the index of view {view.name} was not looked at: {error}",))
        if index is None:
            is_saved = any(True for _ in saved_indexes(self._collection, view))
            return Findings((f"the index of view {view.name} cannot be opened; {again}",) if is_saved else ())
        problems = []
        if has_damaged_files(index):
            problems.append(f"the index of view {view.name} is not what was written; {again}")
        if damaged := damaged_vectors(index):
            problems.append(
                f"{len(damaged)} vectors of the index of view {view.name} that differ from their checksum; {again}"
            )
        return Findings(tuple(problems))


def ensure_faiss_index(
    collection: CollectionTable, view: View, config: IndexConfig, kind: str, *, queries: Any = None, anew: bool = False
) -> list[str]:
    """Make the FAISS index of ``view`` or bring its files up to date, if ``kind`` says so; else delete it.

    It is made anew when a fifth of its vectors has changed since it was made, when another kind or recall is wanted, or
    with ``anew``. ``queries``: vectors to measure its recall with, (q, dim). LanceDB's index goes when it is there.

    Raises:
        MissingExtraError: it is to be made, and FAISS is not installed.
    """
    if kind not in list(Kind):
        drop_index(collection, view)
        if kind == EXACT:
            lance.drop(collection.chunks, view.column)
        return []
    index, lines = None if anew else open_index(collection, view), []
    newest = next((folder for folder, _ in saved_indexes(collection, view)), None)
    fits = index is not None and (index.facts.kind, index.facts.target_recall) == (kind, config.target_recall)
    if index is None or not fits or index.folder != newest or index.drift > REBUILD_SHARE:
        index = build_index(collection, view, Kind(kind), target_recall=config.target_recall, queries=queries)
        lines = [f"vector index of view {view.name} ({describe(index)})"]
    elif index.version != index.facts.version:
        index = index.save()
    drop_index(collection, view, keep=index.folder)
    lance.drop(collection.chunks, view.column)
    return lines


def describe(index: ViewIndex) -> str:
    """Return what a FAISS index is, in words."""
    facts = index.facts
    return f"FAISS {facts.kind} over {facts.count:,} vectors, recall@10 {facts.recall:.3f}, {facts.seconds:.1f} s"


def build_index(
    collection: CollectionTable,
    view: View,
    kind: Kind,
    *,
    target_recall: float = 0.95,
    queries: np.ndarray | None = None,
) -> ViewIndex:
    """Make the index of ``view`` anew, tune it to a recall@10 and save it; under the writer's lock.

    ``queries``: vectors to measure the recall with, (q, dim); None: vectors of the view itself. Memory: FAISS's part,
    and a sample of the vectors.

    Raises:
        StoreError: the view has no vectors.
        MissingExtraError: FAISS is not installed.
    """
    started = time.perf_counter()
    table = collection.open_chunks()
    version = collection.chunks.version
    table.checkout(version)
    generation = column_folder(collection, view) / f"{int(time.time() * 1e6):x}"
    generation.mkdir(parents=True)
    try:
        rows = write_vectors(table, view, generation / "vectors.f32")
        if not len(rows):
            raise StoreError(f"view {view.name!r} of {collection.name!r} has no vectors; nothing to index")
        vectors = mapped_vectors(generation / "vectors.f32", len(rows), view.dim)
        index = FaissIndex.build(kind, vectors)
        sample = None
        if queries is None:
            sample = np.random.default_rng(0).choice(len(rows), min(_SAMPLE, len(rows)), replace=False)
        asked = vectors[sample] if sample is not None else to_unit_length(queries)  # type: ignore[arg-type]
        index.setting, reached = tune(index, asked, target_recall, own=sample)
        facts = IndexFacts(
            kind=kind,
            setting=(index.setting.effort, index.setting.factor),
            count=len(rows),
            built=len(rows),
            dim=view.dim,
            version=version,
            fingerprint=view.fingerprint,
            view_created=view.created,
            recall=reached,
            target_recall=target_recall,
            queries="given" if sample is None else "vectors of the view",
            seconds=time.perf_counter() - started,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        folder, facts = write_index(generation, index, rows, facts)
    except BaseException:
        shutil.rmtree(generation, ignore_errors=True)
        raise
    return ViewIndex(collection, view, folder, facts)


def has_damaged_files(index: ViewIndex) -> bool:
    """Whether the saved files of an index are not what was written."""
    return checksums_of(index.folder) != index.facts.checksums
