"""Query -> hits: the query is embedded under its own instruction and compared with one view of a collection."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import numpy as np

from instructor_search.encoder.protocol import Encoder
from instructor_search.errors import MissingExtraError, StoreError
from instructor_search.instructions import DEFAULT_QUERY_INSTRUCTION, InstructedText
from instructor_search.records import Hit, Query
from instructor_search.search.filters import compile_filter
from instructor_search.search.fusion import reciprocal_rank_fusion
from instructor_search.search.reranking import Reranker
from instructor_search.search.snippets import lexical_scores, shortlist, snippet_around, split_sentences
from instructor_search.store.collection import Collection
from instructor_search.store.lancedb_lightly import MatchQuery
from instructor_search.store.manifest import View
from instructor_search.store.schema import HEADING_SEPARATOR
from instructor_search.store.view_encoder import load_view_encoder
from instructor_search.store.view_index import ViewIndex, open_index

CANDIDATES = 100  # of each ranking that go into a fusion, at least
MAX_TOP_K = 10_000
REFINE_FACTOR = 5  # candidates of a quantised index that are compared exactly, for each hit
MIN_EF = 128  # nodes that a search of the graph looks at, at least
MAX_EMBEDDED_HITS = 20  # hits whose best sentence is found by meaning; that of later ones by words
MAX_QUERY_CHARACTERS = 100_000
_COLUMNS = ["id", "document_id", "source", "title", "mime", "heading", "page", "row", "mtime", "metadata", "text",
            "start", "end"]  # fmt: skip


class Mode(StrEnum):
    """How candidates are found: by vector, by words, or by both with reciprocal rank fusion."""

    DENSE = "dense"
    TEXT = "text"
    HYBRID = "hybrid"


class Searcher:
    """Searches one view of a collection with the encoder that made it."""

    def __init__(self, collection: Collection, encoder: Encoder | None = None, view: str | None = None) -> None:
        """``encoder`` None: the view's own model is loaded when it is first needed.

        Raises:
            ViewMismatchError: ``encoder`` did not make the view.
            StoreError: there is no such view.
        """
        self.collection = collection
        self.view: View = collection.view(view)
        self._encoder = encoder
        self.seconds: dict[str, float] = {}  # of the last search
        self._index: ViewIndex | None = None
        self._looked_at = -1  # version of the table in which an index was looked for
        self.num_query_tokens_cut = 0  # of the last query: it was longer than the window
        if encoder is not None:
            collection.check_encoder(self.view, encoder)

    @property
    def encoder(self) -> Encoder:
        """The view's encoder.

        Raises:
            ViewMismatchError: the view's model has changed since the view was made.
        """
        if self._encoder is None:
            view = self.view
            encoder = load_view_encoder(view)
            self.collection.check_encoder(view, encoder)
            self._encoder = encoder
        return self._encoder

    def search(
        self,
        query: Query | str,
        *,
        instruction: str = DEFAULT_QUERY_INSTRUCTION,
        where: str | None = None,
        top_k: int = 10,
        mode: str = Mode.DENSE,
        reranker: Reranker | None = None,
        rerank_depth: int = CANDIDATES,
        snippets: bool = True,
    ) -> list[Hit]:
        """Return the best ``top_k`` chunks, best first; equal scores are ordered by chunk id.

        Scores: cosine similarity (dense), BM25 (text), reciprocal rank fusion (hybrid); with a ``reranker`` its own,
        given to the best ``rerank_depth`` candidates (or ``top_k``, if that is more). ``snippets`` False leaves them
        empty, which saves embedding the hits' sentences.

        Raises:
            ValueError: the query is empty or too long, ``top_k`` or ``mode`` is not allowed.
            FilterError: ``where`` cannot be understood.
        """
        asked = query if isinstance(query, Query) else Query(query, instruction, where)
        mode = _check(asked, top_k, mode)
        compiled = compile_filter(asked.where, self.collection.manifest.fields) if asked.where else None
        self.seconds = {}
        vector = self._embed(asked) if mode is not Mode.TEXT else None
        rankings: dict[str, list[dict[str, Any]]] = {}
        num_candidates = max(top_k, rerank_depth) if reranker else top_k
        depth = num_candidates if mode is not Mode.HYBRID else max(CANDIDATES, 2 * num_candidates)
        started = time.perf_counter()
        if vector is not None:
            rankings["dense"] = self.nearest(vector, depth, compiled)
        if mode is not Mode.DENSE:
            rankings["text"] = self._text(asked.text, depth, compiled)
        self.seconds["find"] = time.perf_counter() - started
        ranked = _rank(rankings, mode)[:num_candidates]
        if reranker:
            started = time.perf_counter()
            ranked = _rerank(asked.text, ranked, reranker)
            self.seconds["rerank"] = time.perf_counter() - started
        ranked = ranked[:top_k]
        started = time.perf_counter()
        texts = [row["text"] for row, _, _ in ranked]
        shown = self._snippets(asked, vector, texts) if snippets else [""] * len(texts)
        self.seconds["snippets"] = time.perf_counter() - started
        return [
            _hit(rank, score, row, signals, snippet)
            for rank, ((row, score, signals), snippet) in enumerate(zip(ranked, shown, strict=True), 1)
        ]

    def _embed(self, query: Query) -> np.ndarray:
        encoder = self.encoder
        started = time.perf_counter()
        encoder.load()
        self.seconds["load"] = time.perf_counter() - started
        started = time.perf_counter()
        asked = [InstructedText(query.instruction, query.text)]
        self.num_query_tokens_cut = encoder.tokenizer.encode_batch(asked)[0].num_cut
        vector = np.asarray(encoder.encode(asked), dtype=np.float32)[0]
        self.seconds["embed"] = time.perf_counter() - started
        if not np.isfinite(vector).all() or not np.linalg.norm(vector):
            raise ValueError(f"the query {query.text[:60]!r} has no usable embedding under this instruction")
        return vector

    def nearest(self, vector: np.ndarray, depth: int, where: str | None = None) -> list[dict[str, Any]]:
        """Return the chunks nearest to ``vector``, (dim,), by the view's index; ``where``: a compiled filter."""
        index = self._view_index()
        if index is not None:
            return _sorted(index.chunks(vector[None], depth, _COLUMNS, where=where)[0])
        search: Any = self.collection.chunks.search(vector, vector_column_name=self.view.column)
        search = (
            search.distance_type("cosine")
            .select([*_COLUMNS, "_distance"])
            .limit(depth)
            .refine_factor(REFINE_FACTOR)
            .ef(
                max(MIN_EF, REFINE_FACTOR * depth)
            )  # the index gives depth x refine factor candidates, and needs as many
        )
        if where:
            search = search.where(where, prefilter=True)
        rows = self.collection.fetch(search)
        for row in rows:
            row["score"] = 1.0 - row.pop("_distance")
        return _sorted(rows)

    def _view_index(self) -> ViewIndex | None:
        """Return the view's FAISS index, None where it has none; looked for again when the table has changed."""
        version = self.collection.chunks.version
        if self._index is None and version != self._looked_at:
            self._looked_at = version
            try:
                self._index = open_index(self.collection, self.view)
            except MissingExtraError as error:
                sys.stderr.write(f"searching without the index of view {self.view.name}: {error}\n")
        return self._index

    def _text(self, text: str, depth: int, where: str | None) -> list[dict[str, Any]]:
        if not any(index.columns == ["text"] for index in self.collection.chunks.list_indices()):
            if not self.collection.num_chunks():
                return []
            raise StoreError(f"{self.collection.name!r} has no full-text index yet; run its ingest again to its end")
        match: Any = MatchQuery  # its stub takes every field for required
        search: Any = self.collection.chunks.search(match(text, "text"), query_type="fts")
        search = search.select([*_COLUMNS, "_score"]).limit(depth)
        if where:
            search = search.where(where, prefilter=True)
        rows = self.collection.fetch(search)
        for row in rows:
            row["score"] = row.pop("_score")
        return _sorted(rows)

    def _snippets(self, query: Query, vector: np.ndarray | None, texts: Sequence[str]) -> list[str]:
        """Return a snippet a text, around the sentence nearest to the query (by words where there is no vector)."""
        parts = [split_sentences(text) or [text] for text in texts]
        if vector is None:
            return [snippet_around(s, int(np.argmax(lexical_scores(query.text, s)))) for s in parts]
        chosen = [shortlist(query.text, sentences) for sentences in parts[:MAX_EMBEDDED_HITS]]
        instruction = self.view.document_instruction
        flat = [InstructedText(instruction, s[i]) for s, picks in zip(parts, chosen, strict=False) for i in picks]
        vectors = np.asarray(self.encoder.encode(flat), dtype=np.float32).reshape(-1, self.view.dim)
        scores = iter(vectors @ vector / np.maximum(np.linalg.norm(vectors, axis=1), 1e-12))
        best = [max(zip([next(scores) for _ in picks], picks, strict=True), key=lambda x: x[0])[1] for picks in chosen]
        best += [int(np.argmax(lexical_scores(query.text, s))) for s in parts[MAX_EMBEDDED_HITS:]]
        return [snippet_around(s, i) for s, i in zip(parts, best, strict=True)]


def _check(query: Query, top_k: int, mode: str) -> Mode:
    if not query.text.strip():
        raise ValueError("the query is empty; expected a text to search for")
    if any("\ud800" <= character <= "\udfff" for character in query.text + query.instruction):
        raise ValueError("the query is not valid text; expected characters in the terminal's encoding (UTF-8)")
    if len(query.text) > MAX_QUERY_CHARACTERS:
        raise ValueError(f"the query has {len(query.text)} characters; expected at most {MAX_QUERY_CHARACTERS}")
    if not 1 <= top_k <= MAX_TOP_K:
        raise ValueError(f"top_k is {top_k}; expected 1 to {MAX_TOP_K}")
    if mode not in list(Mode):
        raise ValueError(f"mode is {mode!r}; expected one of {', '.join(Mode)}")
    return Mode(mode)


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (-row["score"], row["id"]))


def _rank(
    rankings: dict[str, list[dict[str, Any]]], mode: Mode
) -> list[tuple[dict[str, Any], float, dict[str, float]]]:
    """Return (row, score, signals), best first."""
    signals: dict[str, dict[str, float]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name, found in rankings.items():
        for rank, row in enumerate(found, 1):
            rows.setdefault(row["id"], row)
            signals.setdefault(row["id"], {}).update({name: row["score"], f"{name}_rank": rank})
    if mode is Mode.HYBRID:
        scores = reciprocal_rank_fusion({name: [row["id"] for row in found] for name, found in rankings.items()})
    else:
        scores = {name: row["score"] for name, row in rows.items()}
    order = sorted(scores, key=lambda name: (-scores[name], name))
    return [(rows[name], scores[name], signals[name]) for name in order]


def _rerank(
    query: str, ranked: list[tuple[dict[str, Any], float, dict[str, float]]], reranker: Reranker
) -> list[tuple[dict[str, Any], float, dict[str, float]]]:
    """Return the candidates by the reranker's score; what they had before stays in their signals."""
    scores: Any = reranker.score(query, [row["text"] for row, _, _ in ranked]) if ranked else []
    again = [
        (row, float(score), {**signals, "rerank": float(score)})
        for (row, _, signals), score in zip(ranked, scores, strict=True)
    ]
    return sorted(again, key=lambda item: (-item[1], item[0]["id"]))


def _hit(rank: int, score: float, row: dict[str, Any], signals: dict[str, float], snippet: str) -> Hit:
    metadata = json.loads(row["metadata"]) if row["metadata"] else {}
    extra = {k: row[k] for k in ("mime", "row") if row[k] is not None}
    if row["mtime"]:
        extra["mtime"] = datetime.fromtimestamp(row["mtime"], UTC).isoformat(timespec="seconds")
    return Hit(
        rank=rank,
        score=float(score),
        chunk_id=row["id"],
        document_id=row["document_id"],
        source=row["source"],
        title=row["title"],
        text=row["text"],
        snippet=snippet,
        start=row["start"],
        end=row["end"],
        heading=tuple(row["heading"].split(HEADING_SEPARATOR)) if row["heading"] else (),
        page=row["page"],
        metadata={**extra, **metadata},
        signals=signals,
    )
