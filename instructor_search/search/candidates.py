"""Finds candidates: by vector through whichever index the view has, and by words. All of one version of the table."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from instructor_search.errors import MissingExtraError, StoreError
from instructor_search.store.collection import Collection
from instructor_search.store.indexes import lance
from instructor_search.store.indexes.exact import exact_search
from instructor_search.store.indexes.faiss_gpu import Spread
from instructor_search.store.indexes.fulltext import open_words, saved_words
from instructor_search.store.indexes.hit_cache import CachedHits, open_hit_cache
from instructor_search.store.indexes.linked_folder import NoScratchError
from instructor_search.store.indexes.row_batches import NO_ROW, rows_of, rows_where
from instructor_search.store.indexes.saved_index import saved_indexes
from instructor_search.store.indexes.view_index import ViewIndex, open_index
from instructor_search.store.indexes.word_index import WordIndex
from instructor_search.store.manifest import View, read_manifest
from instructor_search.store.store_errors import clear_errors

REFINE_FACTORS = {"IvfHnswSq": 5, "IvfRq": 20}  # candidates of LanceDB's indexes compared exactly, for each hit
LOOK_SECONDS = 2.0  # between looks for an index that was saved meanwhile
MIN_EF = 128  # nodes that a search of its graph looks at, at least


class Found(NamedTuple):
    """A chunk that was found: its id, its row in the version of the table that is being read, and its score."""

    id: str
    row: int
    score: float


class CandidateFinder:
    """Chunks of one view, best first; equal scores are ordered by chunk id.

    All calls stand within ``reading``, from the search to the rows: row ids are of one version of the table.
    """

    def __init__(self, collection: Collection, view: View, *, gpus: Spread | str = Spread.NONE) -> None:
        """The view's FAISS index, if it has one, is opened with the first search. ``gpus``: which cards answer then."""
        self.collection, self.view, self.gpus = collection, view, Spread(gpus)
        self._lock = RLock()
        self._looked_at = -math.inf  # time.monotonic of the last look for a newer index
        self.index: ViewIndex | None = None
        self.words: WordIndex | None = None
        self.table: Any = None
        self._version = -1
        self._changed = -1  # chunks_changed_at, when that version was the newest
        self._refine = 0  # of LanceDB's index; 0: there is none
        self._copy: CachedHits | None = None  # of what hits show

    @property
    def version(self) -> int:
        """The version of the table that was read last; -1: none yet."""
        return self._version

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Go on to the newest version of the table, and stay with it; one thread at a time.

        Raises:
            StoreError: the view is not what it was: dropped, or dropped and made again.
        """
        with self._lock:
            self._refresh()
            yield

    @clear_errors
    def _refresh(self) -> None:
        now, changed = time.monotonic(), self.collection.chunks_changed_at()
        looks = now - self._looked_at > LOOK_SECONDS
        if changed == self._changed and not looks:  # a thousandth of the time that asking for the version takes
            return
        if changed != self._changed:
            self.collection.chunks.checkout_latest()
        newest = self.collection.chunks.version
        if newest == self._version and not looks:
            self._changed = changed
            return
        if newest != self._version:
            self._check_view()
        if looks or self.index is None:
            self._looked_at = now
            self._open_newest()
        if self.index is not None:
            self.index.sync()
            self.table, newest = self.index.table, self.index.version
        elif newest != self._version:
            self.table = self.table or self.collection.open_chunks()
            self.table.checkout(newest)
        lance_index = lance.index_of(self.table, self.view.column)
        self._refine = REFINE_FACTORS.get(str(lance_index.index_type), 5) if lance_index is not None else 0
        self._copy = open_hit_cache(self.collection, self._copy)
        self._version, self._changed = newest, changed

    def _check_view(self) -> None:
        known = read_manifest(self.collection.folder).views.get(self.view.name)
        if known is None or known.created != self.view.created:
            what = "made anew" if known else "dropped"
            raise StoreError(
                f"view {self.view.name!r} of {self.collection.name!r} was {what} meanwhile; open the collection again"
            )

    def _open_newest(self) -> None:
        """Open the newest saved index, if it is another one than ours, which holds all that is newer beside it.

        Where none is saved any more, another kind was asked for: ours is given up.
        """
        newest = next((folder for folder, _ in saved_indexes(self.collection, self.view)), None)
        if newest is None:
            self.index = None
        if newest is None or (self.index is not None and newest == self.index.folder):
            return
        try:
            opened, known = open_index(self.collection, self.view), self.index
            if opened and known:
                opened.fields = known.fields  # read already
            self.index = opened or known
        except MissingExtraError as error:
            if self._version < 0:  # once
                sys.stderr.write(f"searching without the index of view {self.view.name}: {error}\n")
            return
        self._place_on_gpus()

    def _place_on_gpus(self) -> None:
        """Have the cards that were asked for answer; where they cannot, say so once and search on the CPU."""
        if self.gpus is Spread.NONE or self.index is None:
            return
        try:
            self.index.index.place_on_gpus(self.gpus)
        except StoreError as error:
            self.gpus = Spread.NONE
            sys.stderr.write(f"searching view {self.view.name} on the CPU: {error}\n")

    def nearest(self, vector: np.ndarray, depth: int, where: str | None = None) -> list[Found]:
        """Return the ``depth`` chunks nearest to ``vector``, (dim,), with cosines; ``where``: a compiled filter."""
        return self.nearest_many(vector[None], depth, where)[0]

    @clear_errors
    def nearest_many(self, vectors: np.ndarray, depth: int, where: str | None = None) -> list[list[Found]]:
        """Return what ``nearest`` does for each of ``vectors``, (q, dim); an exact scan reads the table once."""
        if self.index is not None:
            return _listed(*self.index.search(vectors, depth, where=where))
        if self._refine or len(vectors) == 1:
            return [self._by_lancedb(vector, depth, where) for vector in vectors]
        return _listed(*exact_search(self.table, self.view, vectors, depth, where=where))

    def _by_lancedb(self, vector: np.ndarray, depth: int, where: str | None) -> list[Found]:
        search: Any = self.table.search(vector, vector_column_name=self.view.column).distance_type("cosine")
        search = search.with_row_id(True).select(["id", "_distance"]).limit(depth)
        # LanceDB's index gives depth x refine factor candidates, and its graph needs as many
        if self._refine:
            search = search.refine_factor(self._refine).ef(max(MIN_EF, self._refine * depth))
        rows = (search.where(where, prefilter=True) if where else search).to_list()
        return _by_score(Found(row["id"], row["_rowid"], 1.0 - row["_distance"]) for row in rows)

    @clear_errors
    def matching(self, text: str, depth: int, where: str | None = None) -> list[Found]:
        """Return the chunks that share words with ``text``, with BM25 scores.

        Raises:
            StoreError: the collection has chunks and no full-text index.
        """
        rows = None
        if where is not None:
            rows = self.index.allowed(where) if self.index is not None else rows_where(self.table, where)
        try:
            hits = self._by_words(text, depth, rows)
        except NoScratchError:
            raise
        except StoreError:  # a writer has saved another index and deleted this one's files just now
            hits = self._by_words(text, depth, rows)
        if hits is None:
            if not self.table.count_rows():
                return []
            raise StoreError(f"{self.collection.name!r} has no full-text index yet; run its ingest again to its end")
        return hits

    def _by_words(self, text: str, depth: int, rows: np.ndarray | None) -> list[Found] | None:
        """Return what the full-text index finds at the version that is read; None where there is no index.

        Raises:
            StoreError: the index cannot be used, and is not used again.
        """
        words, self.words = self.words, None
        if words is None or words.version != self._version:
            newest = next((folder for folder, _ in saved_words(self.collection)), None)
            if words is None or newest not in (None, words.folder):
                words = open_words(self.collection) or words
            if words is None:
                return None
            words.sync(self.table, self._version)
        scores, entries = words.search(text, depth, rows)
        self.words = words
        return _listed(scores[None], entries[None])[0]

    @clear_errors
    def rows(self, rows: Iterable[int], columns: list[str]) -> dict[int, dict[str, Any]]:
        """Return the chunks of rows that were found, by row."""
        return self._copy.rows_of(self.table, rows, columns) if self._copy else rows_of(self.table, rows, columns)

    def vectors(self, rows: Iterable[int]) -> dict[int, np.ndarray]:
        """Return the stored vectors of rows that were found, by row; one without a vector has none."""
        stored = self.rows(rows, [self.view.column])
        named = {row: values[self.view.column] for row, values in stored.items()}
        return {row: np.asarray(vector, np.float32) for row, vector in named.items() if vector is not None}


def _listed(scores: np.ndarray, entries: np.ndarray) -> list[list[Found]]:
    """Return the chunks of an index's answer, (q, k) each."""
    listed = []
    for query_scores, nearest in zip(scores.tolist(), entries, strict=True):
        names, rows = nearest["id"].tolist(), nearest["row"].tolist()
        three = zip(names, rows, query_scores, strict=True)
        listed.append(_by_score(Found(n.decode(), row, score) for n, row, score in three if row != NO_ROW))
    return listed


def _by_score(hits: Iterable[Found]) -> list[Found]:
    return sorted(hits, key=lambda f: (-f.score, f.id))
