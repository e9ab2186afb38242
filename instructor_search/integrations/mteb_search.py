"""A collection as a search model of the mteb package: what a user's search finds, in place of an encoder's vectors."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mteb.models.model_meta import ModelMeta
from mteb.types import PromptType

from instructor_search.encoder.protocol import Encoder
from instructor_search.integrations.mteb import InstructionFor, default_instruction, model_meta
from instructor_search.records import Block, Chunk, Document, Hit
from instructor_search.search.ranking import Mode
from instructor_search.search.reranking import Reranker
from instructor_search.search.searcher import Searcher
from instructor_search.store.collection import Collection
from instructor_search.store.indexes import fulltext, lance, policy
from instructor_search.store.schema import SourceRecord
from instructor_search.store.writer import CollectionWriter

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata


class CollectionSearch:
    """mteb's Search protocol over a real collection: the table, its indexes, hybrid mode and a reranker.

    Each document of a task is one chunk (what does not fit into the window is cut, as in an encoder's evaluation), so
    that exact dense search gives an encoder's own score and every difference comes from the index or the mode.
    """

    def __init__(
        self,
        encoder: Encoder,
        instruction_for: InstructionFor = default_instruction,
        meta: ModelMeta | None = None,
        *,
        mode: str = Mode.DENSE,
        quantised: bool = False,
        reranker: Reranker | None = None,
        rerank_depth: int = 100,
        max_hits: int = 10,
        folder: Path | None = None,
    ) -> None:
        """``quantised``: search the IVF_HNSW_SQ index, whatever the size. ``folder``: where the tables go.

        ``max_hits``: how deep a query searches. Ten, as a user does and nDCG@10 needs: a quantised index looks at more
        of the collection the deeper it is asked, and hybrid mode fuses longer lists.
        """
        self.encoder = encoder
        self.instruction_for = instruction_for
        self.mteb_model_meta = meta or model_meta(encoder)  # mteb sets it, too
        self.mode = Mode(mode)
        self.quantised = quantised
        self.reranker = reranker
        self.rerank_depth = rerank_depth
        self.max_hits = max_hits
        self._parent = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._searcher: Searcher | None = None

    def index(self, corpus: Any, *, task_metadata: TaskMetadata, **kwargs: Any) -> None:
        """Make a collection of the corpus (rows with id, text and perhaps title) and its indexes."""
        self.close()
        if self._parent is not None:
            self._parent.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(prefix="collection-", dir=self._parent)
        window = self.encoder.max_tokens
        collection = Collection.create_empty("corpus", self._temporary.name, chunk_tokens=window, chunk_overlap=0)
        instruction = self.instruction_for(task_metadata.name, PromptType.document.value)
        with collection.writing():
            view = collection.add_view(self.encoder, instruction, "default")
            writer = CollectionWriter(collection, {self.encoder.fingerprint: self.encoder})
            writer.begin(SourceRecord("corpus", 0, 0, "", ""))
            for row in corpus:
                document, chunk = _as_document(row)
                writer.add(document, chunk)
            writer.finish(len(corpus))
            writer.flush()
            writer.stop()
            fulltext.ensure_words(collection)
            if self.quantised:
                lance.ensure_lance_index(collection.chunks, view, policy.LANCE_HNSW)
        self._searcher = Searcher(collection, self.encoder)

    def search(
        self, queries: Any, *, task_metadata: TaskMetadata, top_k: int, top_ranked: Any = None, **kwargs: Any
    ) -> dict[str, dict[str, float]]:
        """Return query id -> document id -> score.

        Raises:
            RuntimeError: there is no index yet.
            ValueError: a reranking task's candidates were given; a collection searches all its documents.
        """
        if self._searcher is None:
            raise RuntimeError("call index() first")
        if top_ranked is not None:
            raise ValueError("a collection searches all its documents; it cannot rank a task's own candidates")
        instruction = self.instruction_for(task_metadata.name, PromptType.query.value)
        depth = min(top_k, self.max_hits)
        results: dict[str, dict[str, float]] = {}
        for query in queries:
            scores: dict[str, float] = {}
            hits = self._hits(query["text"], instruction, depth) if query["text"].strip() else []
            for hit in hits:  # best first: a document counts with its best chunk
                scores.setdefault(hit.document_id, hit.score)
            results[query["id"]] = scores
        self.close()
        return results

    def _hits(self, text: str, instruction: str, depth: int) -> list[Hit]:
        assert self._searcher is not None  # search() looked
        return self._searcher.search(
            text,
            instruction=instruction,
            top_k=depth,
            mode=self.mode,
            reranker=self.reranker,
            rerank_depth=self.rerank_depth,
            snippets="none",
        )

    def close(self) -> None:
        """Delete the tables."""
        self._searcher = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


def _as_document(row: Mapping[str, Any]) -> tuple[Document, Chunk]:
    """Return a corpus row as a document of one chunk; its text is title and text, as mteb's encoders read it."""
    title = row.get("title") or ""
    text = f"{title} {row['text']}".strip() if title else row["text"].strip()
    document = Document(row["id"], "corpus", title, "text/plain", (Block(text),))
    return document, Chunk(row["id"], text, 0, len(text), 0, (), None)
