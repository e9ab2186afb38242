"""Reads and cuts one file: a pure function of the file and of how it is cut, which another process can do as well."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ingest.readers import READER_VERSION, ReadOptions, is_table, read_file
from instructor_search.chunking import Chunker
from instructor_search.records import Chunk, Document
from instructor_search.store.schema import SourceRecord


class Seconds(dict[str, float]):
    """Seconds spent on the parts of a run, by their names."""

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add what the block takes to a part."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self[part] = self.get(part, 0.0) + time.perf_counter() - started


@dataclass(frozen=True)
class SourceFile:
    """A file that has to be read. ``state``: what tells that it changes while it is read."""

    path: Path
    record: SourceRecord
    is_known: bool
    state: tuple[int, ...]


@dataclass(frozen=True)
class Cutting:
    """How files become chunks: what their readers are told, and the size of the chunks."""

    options: ReadOptions
    chunker: Chunker

    def hash_for(self, path: Path) -> str:
        """Return a hash of how a file is read and cut: another way makes it a changed file."""
        fields = self.options.text_fields if is_table(path) else ()
        settings: list[Any] = [READER_VERSION, fields, self.chunker.max_tokens, self.chunker.overlap]
        if self.options.examples:
            settings = [READER_VERSION, asdict(self.options.examples)]  # examples are not cut
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]

    def is_readable(self, file: SourceFile) -> None:
        """Read a file to its end and keep nothing.

        Raises:
            ReaderError, MissingExtraError, OSError: it cannot be read.
        """
        for document in read_file(file.path, file.record.source, self.options):
            for _ in document.blocks:
                pass


@dataclass
class CutFile:
    """The chunks of a file, read while one goes through them; then what was counted on the way."""

    file: SourceFile
    cutting: Cutting
    num_documents: int = 0
    num_chunks: int = 0
    num_left_out: int = 0  # rows without an input or an output
    seconds: Seconds = field(default_factory=Seconds)

    def __iter__(self) -> Iterator[tuple[Document, Chunk]]:
        """Yield each chunk with its document.

        Raises:
            ReaderError, MissingExtraError, OSError: the file cannot be read (any further).
        """
        documents = iter(read_file(self.file.path, self.file.record.source, self.cutting.options))
        while True:
            with self.seconds.timed("reading"):
                document = next(documents, None)
            if document is None:
                return
            self.num_documents += 1
            yield from self._chunks(document)

    def _chunks(self, document: Document) -> Iterator[tuple[Document, Chunk]]:
        whole = self.cutting.options.examples is not None
        chunks = self._example(document) if whole else iter(self.cutting.chunker.chunks(document))
        while True:
            with self.seconds.timed("chunking"):
                chunk = next(chunks, None)
            if chunk is None:
                return
            self.num_chunks += 1
            yield document, chunk

    def _example(self, document: Document) -> Iterator[Chunk]:
        """Yield an example as one chunk; what is longer than the window is counted when it is embedded."""
        text = "".join(block.text for block in document.blocks)
        if not text:
            self.num_left_out += 1
            return
        tokens = self.cutting.chunker.tokenizer.count_tokens(text)
        yield Chunk(document.document_id, text, 0, len(text), tokens, (), None)
