"""Query -> hits: the query is embedded under its own instruction and compared with one view of a collection."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Unpack

import numpy as np

from instructor_search.encoder.protocol import Encoder, to_unit_length
from instructor_search.errors import StoreError
from instructor_search.instruction_rule import GivenInstruction
from instructor_search.instructions import InstructedText
from instructor_search.records import Hit, Query
from instructor_search.search.asked import Asked, asked_of, check_page, check_query, check_vectors
from instructor_search.search.candidates import CandidateFinder, Found
from instructor_search.search.diversity import maximal_marginal_relevance, without_near_copies
from instructor_search.search.filters import compile_filter
from instructor_search.search.hits import hits_of, passage_of
from instructor_search.search.ranking import Candidate, Mode, Ranking, RankingOptions, fuse
from instructor_search.search.reranking import Reranker
from instructor_search.search.sentences import Passage, SentenceFinder
from instructor_search.search.snippets import Snippets, lexical_scores, shown_around, snippets_kind, split_sentences
from instructor_search.store.collection import Collection
from instructor_search.store.manifest import View
from instructor_search.store.schema import SHOWN_COLUMNS
from instructor_search.store.view_encoder import check_encoder, load_view_encoder

MAX_EMBEDDED_HITS = 20  # hits whose best sentence is found by meaning; that of later ones by words
SNIPPET_SECONDS = 0.25  # what embedding sentences may take of a search with snippets="auto"


class Searcher:
    """Searches one view of a collection with the encoder that made it."""

    def __init__(
        self, collection: Collection, encoder: Encoder | None = None, view: str | None = None, *, gpus: str = "none"
    ) -> None:
        """``encoder`` None: the view's own model is loaded when it is first needed.

        ``gpus``: "none"; "replicate" or "shard": a FAISS index answers on all NVIDIA GPUs, each with all vectors or a
        part; what has a filter, and where there are no GPUs, on the CPU.

        Raises:
            ViewMismatchError: ``encoder`` did not make the view.
            StoreError: there is no such view.
            ValueError: ``gpus`` is none of these.
        """
        self.collection = collection
        self.view: View = collection.view(view)
        self.finder = CandidateFinder(collection, self.view, gpus=gpus)
        self._encoder = encoder
        self._sentences: SentenceFinder | None = None
        self.seconds: dict[str, float] = {}  # of the last search
        self.num_query_tokens_cut = 0  # of the last query: it was longer than the window
        if encoder is not None:
            check_encoder(collection, self.view, encoder)

    @property
    def encoder(self) -> Encoder:
        """The view's encoder.

        Raises:
            ViewMismatchError: the view's model has changed since the view was made.
        """
        if self._encoder is None:
            view = self.view
            encoder = load_view_encoder(view)
            check_encoder(self.collection, view, encoder)
            self._encoder = encoder
        return self._encoder

    def search(
        self,
        query: Query | str,
        *,
        instruction: GivenInstruction = None,
        where: str | None = None,
        top_k: int = 10,
        offset: int = 0,
        snippets: str = Snippets.WORDS,
        **ranking: Unpack[RankingOptions],
    ) -> list[Hit]:
        """Return the best ``top_k`` chunks after the first ``offset``, best first; of equal scores the lower chunk id.

        Scores: cosine similarity (dense), BM25 (text), reciprocal rank fusion or a weighted sum (hybrid); with a
        reranker its own. ``instruction``: see ``instruction_rule.resolve``; None: what goes with the view.
        ``snippets``: how the sentence that is shown is found. ``ranking``: fields of ``Ranking``.

        Raises:
            ValueError: the query is empty or too long, a number or mode is not allowed, the instruction is none, or a
                ``Query`` brings another instruction or filter than the arguments do.
            FilterError: ``where`` cannot be understood.
        """
        asked = asked_of(query, instruction, where, documents_under=self.view.document_instruction)
        how = Ranking(**ranking)
        shown = snippets_kind(snippets)
        check_query(asked, top_k, offset)
        compiled = self._compile(asked.where)
        self.seconds = {}
        depth = how.depth(offset + top_k)
        vector = self._embed(asked) if how.mode != Mode.TEXT else None
        rankings: dict[str, list[Found]] = {}
        with self.finder.reading():
            with self._timed("find"):
                if vector is not None:
                    rankings["dense"] = self.finder.nearest(vector, depth, compiled)
                if how.mode != Mode.DENSE:
                    rankings["text"] = self.finder.matching(asked.text, depth, compiled)
            ranked = self._ranked(asked.text, rankings, how, offset + top_k)[offset:]
            with self._timed("fetch"):
                rows = self.finder.rows([c.row for c in ranked], SHOWN_COLUMNS)
        with self._timed("snippets"):
            parts = self._snippets(asked, vector, [passage_of(rows[c.row]) for c in ranked], shown)
        return hits_of(ranked, rows, parts, offset)

    def search_many(
        self,
        queries: Sequence[Query | str],
        *,
        instruction: GivenInstruction = None,
        where: str | None = None,
        top_k: int = 10,
        **ranking: Unpack[RankingOptions],
    ) -> list[list[Hit]]:
        """Return the hits of each query as ``search`` does, without snippets; thousands of queries at a time.

        They are embedded together, and an exact search reads the table once for all queries of one filter.
        """
        how = Ranking(**ranking)
        asked = [
            asked_of(query, instruction, where, documents_under=self.view.document_instruction) for query in queries
        ]
        for query in asked:
            check_query(query, top_k, 0)
        if not asked:
            return []
        depth = how.depth(top_k)
        pairs = [InstructedText(q.instruction, q.text) for q in asked]
        vectors = np.asarray(self.encoder.encode(pairs), dtype=np.float32) if how.mode != Mode.TEXT else None
        if vectors is not None:
            check_vectors(vectors, asked)
        with self.finder.reading():
            dense = self._nearest_of_each(asked, vectors, depth) if vectors is not None else [[]] * len(asked)
            results = []
            for query, near in zip(asked, dense, strict=True):
                rankings = {"dense": near} if how.mode != Mode.TEXT else {}
                if how.mode != Mode.DENSE:
                    rankings["text"] = self.finder.matching(query.text, depth, self._compile(query.where))
                results.append(self._ranked(query.text, rankings, how, top_k))
            rows = self.finder.rows([c.row for ranked in results for c in ranked], SHOWN_COLUMNS)
        return [hits_of(ranked, rows, [("", "")] * len(ranked), 0) for ranked in results]

    def _nearest_of_each(self, asked: Sequence[Asked], vectors: np.ndarray, depth: int) -> list[list[Found]]:
        """Return the nearest chunks of each query; those with the same filter are searched together."""
        rankings: list[list[Found]] = [[] for _ in asked]
        for condition in dict.fromkeys(q.where for q in asked):
            positions = [i for i, q in enumerate(asked) if q.where == condition]
            together = self.finder.nearest_many(vectors[positions], depth, self._compile(condition))
            for position, nearest in zip(positions, together, strict=True):
                rankings[position] = nearest
        return rankings

    def best_scores(self, vectors: np.ndarray, where: str | None = None, *, at_least: int = 1) -> np.ndarray:
        """Return the best cosine of each of ``vectors``, (q, dim), in the view; none where fewer chunks can be found.

        Raises:
            FilterError: ``where`` cannot be understood.
        """
        with self.finder.reading():
            rankings = self.finder.nearest_many(vectors, at_least, self._compile(where))
        return np.array([near[0].score for near in rankings if len(near) >= at_least])

    def more_like(
        self,
        chunk_id: str,
        *,
        where: str | None = None,
        top_k: int = 10,
        drop_copies: float | None = None,
        diversity: float = 0.0,
    ) -> list[Hit]:
        """Return the chunks whose vectors are nearest to that of a chunk, which is not among them.

        Raises:
            StoreError: there is no such chunk, or it has no vector in this view.
            ValueError: a number is not allowed.
        """
        how = Ranking(drop_copies=drop_copies, diversity=diversity)
        check_page(top_k, 0)
        vectors = self.collection.vectors_of(self.view, [chunk_id])
        if chunk_id not in vectors:
            raise StoreError(
                f"{self.collection.name!r} has no chunk {chunk_id!r} with a vector in view {self.view.name!r}"
            )
        with self.finder.reading():
            near = self.finder.nearest(vectors[chunk_id], how.depth(top_k) + 1, self._compile(where))
            ranked = self._ranked("", {"dense": [f for f in near if f.id != chunk_id]}, how, top_k)
            rows = self.finder.rows([c.row for c in ranked], SHOWN_COLUMNS)
        texts = [rows[c.row]["text"] for c in ranked]
        return hits_of(ranked, rows, [shown_around(split_sentences(t) or [t], 0) for t in texts], 0)

    def _compile(self, where: str | None) -> str | None:
        return compile_filter(where, self.collection.manifest.fields) if where else None

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    def _embed(self, query: Asked) -> np.ndarray:
        encoder = self.encoder
        with self._timed("load"):
            encoder.load()
        with self._timed("embed"):
            asked = [InstructedText(query.instruction, query.text)]
            self.num_query_tokens_cut = encoder.tokenizer.num_cut(asked[0])
            vector: np.ndarray = np.asarray(encoder.encode(asked), dtype=np.float32)[0]
        check_vectors(vector[None], [query])
        return vector

    def _ranked(self, text: str, rankings: dict[str, list[Found]], how: Ranking, count: int) -> list[Candidate]:
        """Return the best ``count`` of the candidates: fused, reranked and thinned out."""
        ranked = fuse(rankings, how)
        if how.reranker:
            with self._timed("rerank"):
                ranked = self._rerank(text, ranked[: max(count, how.rerank_depth)], how.reranker)
        if how.thins_out and ranked:
            with self._timed("thin out"):
                ranked = self._thin_out(ranked, how, count)
        return ranked[:count]

    def _rerank(self, query: str, ranked: list[Candidate], reranker: Reranker) -> list[Candidate]:
        """Return the candidates by the reranker's score; what they had before stays in their signals."""
        texts = self.finder.rows((c.row for c in ranked), ["text"])
        scores: Any = reranker.score(query, [texts[c.row]["text"] for c in ranked]) if ranked else []
        again = [
            c._replace(score=float(score), signals={**c.signals, "rerank": float(score)})
            for c, score in zip(ranked, scores, strict=True)
        ]
        return sorted(again, key=lambda c: (-c.score, c.id))

    def _thin_out(self, ranked: list[Candidate], how: Ranking, count: int) -> list[Candidate]:
        stored = self.finder.vectors(c.row for c in ranked)
        none = np.zeros(self.view.dim, np.float32)  # a chunk without a vector yet is like no other
        vectors = to_unit_length(np.stack([stored.get(c.row, none) for c in ranked]))
        if how.drop_copies is not None:
            kept = without_near_copies(vectors, how.drop_copies)
            ranked, vectors = [ranked[i] for i in kept], vectors[kept]
        if not how.diversity:
            return ranked
        scores = np.array([c.score for c in ranked])
        if how.mode != Mode.DENSE or how.reranker:  # on the scale of cosines
            scores = (scores - scores.min()) / max(float(np.ptp(scores)), 1e-12)
        order = maximal_marginal_relevance(scores.tolist(), vectors, 1 - how.diversity, count)
        return [ranked[i] for i in order]

    def _snippets(
        self, query: Asked, vector: np.ndarray | None, passages: Sequence[Passage], kind: Snippets
    ) -> list[tuple[str, str]]:
        """Return a snippet a passage, and the sentence in it that suits the query best."""
        if kind == Snippets.NONE:
            return [("", "")] * len(passages)
        best: list[int] = []
        if vector is not None and kind in (Snippets.MEANING, Snippets.AUTO):
            seconds = SNIPPET_SECONDS if kind == Snippets.AUTO else None
            unit = vector / max(float(np.linalg.norm(vector)), 1e-12)
            best = self._sentence_finder().nearest(unit, query.text, passages[:MAX_EMBEDDED_HITS], seconds)
        parts = [passage.sentences for passage in passages]
        best += [int(np.argmax(lexical_scores(query.text, s, query.instruction))) for s in parts[len(best) :]]
        return [shown_around(s, i) for s, i in zip(parts, best, strict=True)]

    def _sentence_finder(self) -> SentenceFinder:
        if self._sentences is None:
            self._sentences = SentenceFinder(self.encoder, self.view.document_instruction)
        return self._sentences
