"""A collection as a program uses it: made with defaults, and filled with texts that are cut, embedded and stored."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from instructor_search.chunking import Chunker, default_chunk_tokens
from instructor_search.encoder import load_encoder
from instructor_search.encoder.protocol import Encoder
from instructor_search.instruction_rule import GivenInstruction, resolve
from instructor_search.records import Block, Chunk, Document
from instructor_search.store import maintenance
from instructor_search.store.embedding import WriteCounts
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
    num_unchanged: int  # stored before, or given twice, with the same text, title and metadata
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
        collection.use_encoder(made_by)
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

        A text is a document of its own. ``ids`` None: made of text, title and metadata. One that was added before
        replaces its text; where all three are the same, nothing is done. ``metadata``: a mapping a text, for filters.

        Raises:
            ValueError: a text is empty, an id stands twice, or there are more or fewer of something than texts.
            StoreError: the collection has no view yet, or the model of a view is not here or another one now.
            LockedError: another process is writing to the collection.
        """
        documents = _documents(texts, metadata, ids, titles)
        with self.writing():
            known = self.sources()
            options = f"added {self.manifest.chunk_tokens} {self.manifest.chunk_overlap}"
            new = {}  # of equal documents one
            for document in documents:
                record = _record(document, options)
                if not _is_stored(known.get(record.source), record):
                    new[record.source] = (record, document)
            chunker = self._chunker()
            counts = self.write(
                (record, ((document, chunk) for chunk in chunker.chunks(document))) for record, document in new.values()
            )
        names = tuple(document.document_id for document in documents)
        return Added(names, len(new), len(names) - len(new), counts.embedded + counts.kept, counts.cut)

    def write(self, sources: Iterable[tuple[SourceRecord, Iterable[tuple[Document, Chunk]]]]) -> WriteCounts:
        """Embed the chunks of sources in every view, store them, and bring the indexes up to date; under ``writing()``.

        Raises:
            ViewMismatchError: the model of a view is another one now.
        """
        writer = CollectionWriter(self, self._encoders_of_views())
        try:
            for record, rows in sources:
                writer.begin(record)
                seen = set()
                for document, chunk in rows:
                    seen.add(document.document_id)
                    writer.add(document, chunk)
                writer.finish(len(seen))
            writer.flush()
        finally:
            writer.stop()
        maintenance.maintain(self)
        return writer.counts

    def use_encoder(self, encoder: Encoder) -> None:
        """Embed with an encoder that is loaded already, in the views that it made."""
        self._encoders[encoder.fingerprint] = encoder

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
    texts: Sequence[str],
    metadata: Sequence[Mapping[str, Any]] | None,
    ids: Sequence[str] | None,
    titles: Sequence[str] | None,
) -> list[Document]:
    """Return a document a text, in their order.

    Raises:
        ValueError: see ``Collection.add``.
    """
    if isinstance(texts, str):
        raise ValueError("texts is one string; expected a sequence of texts")
    for name, given in (("metadata", metadata), ("ids", ids), ("titles", titles)):
        if given is not None and len(given) != len(texts):
            raise ValueError(f"{len(given)} {name} for {len(texts)} texts; expected one each")
    for name, values in (("text", texts), ("id", ids or ())):
        for number, value in enumerate(values):
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"{name} {number} is {value!r:.40}; expected a text that is not empty")
    if ids is not None and len(set(ids)) < len(ids):
        raise ValueError(f"the id {Counter(ids).most_common(1)[0][0]!r} stands twice; expected others")
    metadata_of_each = [dict(one) for one in metadata or [{}] * len(texts)]
    heads = titles or [""] * len(texts)
    names = ids or [_digest(*content)[:16] for content in zip(texts, heads, metadata_of_each, strict=True)]
    return [
        Document(name, f"{_SOURCE}/{name}", title, "text/plain", [Block(text)], fields)
        for name, text, title, fields in zip(names, texts, heads, metadata_of_each, strict=True)
    ]


def _digest(text: str, title: str, metadata: Mapping[str, Any]) -> str:
    content = json.dumps([text, title, dict(metadata)], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _record(document: Document, options: str) -> SourceRecord:
    """Return what says whether a document is stored as it is."""
    text = "".join(block.text for block in document.blocks)
    digest = _digest(text, document.title, document.metadata)
    size = len(text.encode("utf-8", "surrogatepass"))
    return SourceRecord(document.source, size, time.time_ns(), digest, options)


def _is_stored(known: SourceRecord | None, record: SourceRecord) -> bool:
    return known is not None and (known.hash, known.options) == (record.hash, record.options)
