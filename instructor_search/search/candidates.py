"""Finds candidates: by vector through whichever index the view has, and by words."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from instructor_search.errors import MissingExtraError, StoreError
from instructor_search.store import vector_index
from instructor_search.store.collection import Collection
from instructor_search.store.exact import exact_search
from instructor_search.store.lancedb_lightly import MatchQuery
from instructor_search.store.manifest import View
from instructor_search.store.view_index import ViewIndex, open_index

REFINE_FACTOR = 5  # candidates of LanceDB's own index that are compared exactly, for each hit
MIN_EF = 128  # nodes that a search of its graph looks at, at least
COLUMNS = ["id", "document_id", "source", "title", "mime", "heading", "page", "row", "mtime", "metadata", "text",
           "start", "end"]  # fmt: skip
NO_ROW = 2**64 - 1


class CandidateFinder:
    """Rows of one view, best first, each with its "score"; equal scores are ordered by chunk id."""

    def __init__(self, collection: Collection, view: View) -> None:
        """The view's FAISS index, if it has one, is opened with the first search."""
        self.collection, self.view = collection, view
        self._index: ViewIndex | None = None
        self._looked_at = -1  # version of the table in which an index was looked for

    def nearest(self, vector: np.ndarray, depth: int, where: str | None = None) -> list[dict[str, Any]]:
        """Return the ``depth`` chunks nearest to ``vector``, (dim,), with cosines; ``where``: a compiled filter."""
        index = self.view_index()
        if index is not None:
            return by_score(index.chunks(vector[None], depth, COLUMNS, where=where)[0])
        search: Any = self.collection.chunks.search(vector, vector_column_name=self.view.column)
        search = search.distance_type("cosine").select([*COLUMNS, "_distance"]).limit(depth)
        # LanceDB's index gives depth x refine factor candidates, and its graph needs as many
        search = search.refine_factor(REFINE_FACTOR).ef(max(MIN_EF, REFINE_FACTOR * depth))
        rows = self.collection.fetch(search.where(where, prefilter=True) if where else search)
        for row in rows:
            row["score"] = 1.0 - row.pop("_distance")
        return by_score(rows)

    def nearest_many(self, vectors: np.ndarray, depth: int, where: str | None = None) -> list[list[dict[str, Any]]]:
        """Return what ``nearest`` does for each of ``vectors``, (q, dim): the table is read once, not q times."""
        index = self.view_index()
        if index is not None:
            return [by_score(rows) for rows in index.chunks(vectors, depth, COLUMNS, where=where)]
        if vector_index.has_vector_index(self.collection.chunks, self.view.column):
            return [self.nearest(vector, depth, where) for vector in vectors]
        table = self.collection.open_chunks()
        scores, rows = exact_search(table, self.view, vectors, depth, where=where)
        wanted = [row for row in np.unique(rows).tolist() if row != NO_ROW]
        found = table.take_row_ids(wanted).with_row_id().select(COLUMNS).to_list() if wanted else []
        by_row = {row.pop("_rowid"): row for row in found}
        return [
            by_score([{**by_row[r], "score": float(s)} for s, r in zip(*pair, strict=True) if r != NO_ROW])
            for pair in zip(scores.tolist(), rows.tolist(), strict=True)
        ]

    def matching(self, text: str, depth: int, where: str | None = None) -> list[dict[str, Any]]:
        """Return the chunks that share words with ``text``, with BM25 scores.

        Raises:
            StoreError: the collection has chunks and no full-text index.
        """
        if not any(index.columns == ["text"] for index in self.collection.chunks.list_indices()):
            if not self.collection.num_chunks():
                return []
            raise StoreError(f"{self.collection.name!r} has no full-text index yet; run its ingest again to its end")
        match: Any = MatchQuery  # its stub takes every field for required
        search: Any = self.collection.chunks.search(match(text, "text"), query_type="fts")
        search = search.select([*COLUMNS, "_score"]).limit(depth)
        rows = self.collection.fetch(search.where(where, prefilter=True) if where else search)
        for row in rows:
            row["score"] = row.pop("_score")
        return by_score(rows)

    def vectors_of(self, ids: list[str]) -> dict[str, np.ndarray]:
        """Return the stored vectors of chunks, by id; one without a vector has none."""
        rows = self.collection.rows_by_id(ids, ["id", self.view.column]).to_pylist()
        return {r["id"]: np.asarray(r[self.view.column], np.float32) for r in rows if r[self.view.column] is not None}

    def view_index(self) -> ViewIndex | None:
        """Return the view's FAISS index, None where it has none; looked for again when the table has changed."""
        version = self.collection.chunks.version
        if self._index is None and version != self._looked_at:
            self._looked_at = version
            try:
                self._index = open_index(self.collection, self.view)
            except MissingExtraError as error:
                sys.stderr.write(f"searching without the index of view {self.view.name}: {error}\n")
        return self._index


def by_score(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows, the highest "score" first; equal ones by id."""
    return sorted(rows, key=lambda row: (-row["score"], row["id"]))
