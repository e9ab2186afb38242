"""A collection as a program uses it: made with defaults, and filled with texts that are cut, embedded and stored."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from instructor_search.chunking import Chunker, default_chunk_tokens
from instructor_search.encoder import load_encoder
from instructor_search.encoder.protocol import Encoder
from instructor_search.instruction_rule import GivenInstruction, resolve
from instructor_search.records import Block, Document
from instructor_search.store import maintenance
from instructor_search.store.manifest import DEFAULT_VIEW, Manifest, View
from instructor_search.store.schema import SourceRecord
from instructor_search.store.table import CollectionTable
from instructor_search.store.view_encoder import check_encoder, load_view_encoder
from instructor_search.store.writer import CollectionWriter

_SOURCE = "added"  # first part of the sources of what a program added


class Added(NamedTuple):
    """What ``Collection.add`` did. ``ids``: of all texts given, in order; the counts are of those that were stored."""

    ids: tuple[str, ...]
    num_documents: int
    num_unchanged: int  # stored before with the same text and metadata
    num_chunks: int
    num_texts_cut: int  # chunks longer than a view's window beside its instruction: their ends are in no vector


class Collection(CollectionTable):
    """Chunks, vectors under each view's instruction, and what is known of their sources."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Use ``open`` or ``create``."""
        super().__init__(folder, manifest)
        self._encoders: dict[str, Encoder] = {}

    @classmethod
    def create(
        cls,
        name: str,
        store: str | Path | None = None,
        *,
        instruction: GivenInstruction = None,
        encoder: Encoder | None = None,
        chunk_tokens: int | None = None,
        chunk_overlap: int | None = None,
    ) -> Collection:
        """Make a collection with one view, ready for ``add``.

        ``store`` None: the folder of all commands. ``instruction``: of the documents, see ``instruction_rule.resolve``;
        None: the general one. ``encoder`` None: the default model. Chunk sizes None: what the window leaves beside the
        instruction, and an eighth of it shared by neighbours.

        Raises:
            StoreError: the name is not allowed or taken.
            ValueError: the sizes do not go together, or the instruction is none.
            InstructionTooLongError: the instruction fills the window.
        """
        made_by = encoder or load_encoder()
        sentence = resolve(instruction, "document")
        size = chunk_tokens or default_chunk_tokens(made_by.tokenizer, sentence)
        overlap = size // 8 if chunk_overlap is None else chunk_overlap
        Chunker(made_by.tokenizer, size, overlap)  # refuses sizes before anything is made
        collection = cls.create_empty(name, store, chunk_tokens=size, chunk_overlap=overlap)
        try:
            with collection.writing():
                collection.add_view(made_by, sentence, DEFAULT_VIEW)
        except BaseException:
            collection.drop()
            raise
        collection._encoders[made_by.fingerprint] = made_by
        return collection

    def add(
        self,
        texts: Sequence[str],
        *,
        metadata: Sequence[Mapping[str, Any]] | None = None,
        ids: Sequence[str] | None = None,
        titles: Sequence[str] | None = None,
    ) -> Added:
        """Cut texts, embed them in every view, and store them; return what was done.

        A text is a document of its own. ``ids``: None: of the text's content. One that was added before replaces its
        text; where text, title and metadata are the same, nothing is done. ``metadata``: a mapping a text, for filters.

        Raises:
            ValueError: a text is empty, an id stands twice, or there are more or fewer of something than texts.
            StoreError: the collection has no view yet, or another process made a view of a model that is not here.
            LockedError: another process is writing to the collection.
        """
        documents = list(_documents(texts, metadata, ids, titles))
        with self.writing():
            known = self.sources()
            options = f"added {self.manifest.chunk_tokens} {self.manifest.chunk_overlap}"
            records = [_record(document, options) for document in documents]
            new = [n for n, r in enumerate(records) if not _is_stored(known.get(r.source), r)]
            writer = CollectionWriter(self, self._encoders_of_views())
            chunker = self._chunker()
            try:
                for number in new:
                    writer.begin(records[number])
                    for chunk in chunker.chunks(documents[number]):
                        writer.add(documents[number], chunk)
                    writer.finish(1)
                writer.flush()
            finally:
                writer.stop()
            maintenance.maintain(self)
        num_chunks = writer.counts.embedded + writer.counts.kept
        return Added(
            tuple(d.document_id for d in documents), len(new), len(documents) - len(new), num_chunks, writer.counts.cut
        )

    def remove(self, ids: Iterable[str]) -> int:
        """Delete what was added under these ids, and return how many chunks that were.

        Raises:
            LockedError: another process is writing to the collection.
        """
        with self.writing():
            count = self.delete_sources([f"{_SOURCE}/{name}" for name in ids])
            maintenance.maintain(self)
        return count

    def _encoders_of_views(self) -> dict[str, Encoder]:
        """Return an encoder for each view, by fingerprint."""
        for view in self.manifest.views.values():
            self._encoder_of(view)
        return self._encoders

    def _encoder_of(self, view: View) -> Encoder:
        if view.fingerprint not in self._encoders:
            encoder = load_view_encoder(view)
            check_encoder(self, view, encoder)
            self._encoders[view.fingerprint] = encoder
        return self._encoders[view.fingerprint]

    def _chunker(self) -> Chunker:
        tokenizer = self._encoder_of(self.view(None)).tokenizer
        return Chunker(tokenizer, self.manifest.chunk_tokens, self.manifest.chunk_overlap)


def _documents(
    texts: Sequence[str], metadata: Sequence[Mapping[str, Any]] | None, ids: Sequence[str] | None,
    titles: Sequence[str] | None,
) -> Iterable[Document]:  # fmt: skip
    """Yield the documents.

    Raises:
        ValueError: see ``Collection.add``.
    """
    if isinstance(texts, str):
        raise ValueError("texts is one string; expected a sequence of texts")
    for name, given in (("metadata", metadata), ("ids", ids), ("titles", titles)):
        if given is not None and len(given) != len(texts):
            raise ValueError(f"{len(given)} {name} for {len(texts)} texts; expected one each")
    names = list(ids) if ids is not None else [_id_of(text) for text in texts]
    if ids is None:
        kept = {name: n for n, name in reversed(list(enumerate(names)))}  # of equal texts the first one
    else:
        kept = {name: n for n, name in enumerate(names)}
        if len(kept) < len(names):
            raise ValueError(f"the id {next(n for n in names if names.count(n) > 1)!r} stands twice; expected others")
    for number, (name, text) in enumerate(zip(names, texts, strict=True)):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"text {number} is {text!r:.40}; expected a text that is not empty")
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"id {number} is {name!r:.40}; expected a text that is not empty")
        if kept[name] == number:
            title = titles[number] if titles is not None else ""
            facts = dict(metadata[number]) if metadata is not None else {}
            yield Document(name, f"{_SOURCE}/{name}", title, "text/plain", [Block(text)], facts)


def _id_of(text: object) -> str:
    return hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _record(document: Document, options: str) -> SourceRecord:
    """Return what says whether a document is stored as it is."""
    text = "".join(block.text for block in document.blocks)
    content = json.dumps([text, document.title, dict(document.metadata)], sort_keys=True, default=str).encode()
    return SourceRecord(document.source, len(content), time.time_ns(), hashlib.sha256(content).hexdigest(), options)


def _is_stored(known: SourceRecord | None, record: SourceRecord) -> bool:
    return known is not None and (known.hash, known.options) == (record.hash, record.options)
