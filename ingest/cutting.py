"""Reads and cuts one file: a pure function of the file and of how it is cut, which another process can do as well."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.readers import READER_VERSION, ExampleFields, ReadOptions, is_table, read_file
from instructor_search.chunking import Chunker, default_chunk_tokens
from instructor_search.errors import MissingExtraError, ReaderError, StoreError
from instructor_search.records import Chunk, Document
from instructor_search.store.schema import SourceRecord

if TYPE_CHECKING:
    from ingest.config import IngestConfig
    from ingest.target import Target
    from instructor_search.store.manifest import Manifest


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


def cut_file(cutting: Cutting, file: SourceFile) -> CutFile:
    """Return the chunks of a file: what an engine maps over the files of a plan."""
    return CutFile(file, cutting)


@dataclass
class CutFile:
    """The chunks of a file, read while one goes through them; then what was counted on the way.

    Sent to another process it is read to its end first: there it brings its chunks, and what ended the reading.
    """

    file: SourceFile
    cutting: Cutting | None
    num_documents: int = 0
    num_chunks: int = 0
    num_left_out: int = 0  # rows without an input or an output
    seconds: Seconds = field(default_factory=Seconds)
    kept: list[tuple[Document, Chunk]] | None = None  # all of it, where it was read elsewhere
    error: Exception | None = None  # which ended the reading elsewhere

    def __iter__(self) -> Iterator[tuple[Document, Chunk]]:
        """Yield each chunk with its document.

        Raises:
            ReaderError, MissingExtraError, OSError: the file cannot be read (any further).
        """
        if self.cutting is not None:
            yield from self._read(self.cutting)
            return
        yield from self.kept or ()
        if self.error is not None:
            raise self.error

    def check(self) -> None:
        """Make sure that the file can be read to its end; nothing of it is kept.

        Raises:
            ReaderError, MissingExtraError, OSError: it cannot.
        """
        if self.error is not None:
            raise self.error
        if self.cutting is None:
            return
        with self.seconds.timed("reading"):
            for document in read_file(self.file.path, self.file.record.source, self.cutting.options):
                for _ in document.blocks:
                    pass

    def __getstate__(self) -> dict[str, Any]:
        """Read what is left, for another process: its chunks, what was counted, and what went wrong."""
        kept: list[tuple[Document, Chunk]] = []
        error = None
        try:
            kept += ((replace(document, blocks=()), chunk) for document, chunk in self)
        except (ReaderError, MissingExtraError, OSError) as problem:
            error = problem
        return self.__dict__ | {"cutting": None, "kept": kept, "error": error}

    def _read(self, cutting: Cutting) -> Iterator[tuple[Document, Chunk]]:
        documents = iter(read_file(self.file.path, self.file.record.source, cutting.options))
        while True:
            with self.seconds.timed("reading"):
                document = next(documents, None)
            if document is None:
                return
            self.num_documents += 1
            yield from self._chunks(document, cutting)

    def _chunks(self, document: Document, cutting: Cutting) -> Iterator[tuple[Document, Chunk]]:
        whole = cutting.options.examples is not None
        chunks = self._example(document, cutting) if whole else iter(cutting.chunker.chunks(document))
        while True:
            with self.seconds.timed("chunking"):
                chunk = next(chunks, None)
            if chunk is None:
                return
            self.num_chunks += 1
            yield document, chunk

    def _example(self, document: Document, cutting: Cutting) -> Iterator[Chunk]:
        """Yield an example as one chunk; what is longer than the window is counted when it is embedded."""
        text = "".join(block.text for block in document.blocks)
        if not text:
            self.num_left_out += 1
            return
        tokens = cutting.chunker.tokenizer.count_tokens(text)
        yield Chunk(document.document_id, text, 0, len(text), tokens, (), None)


def choose_cutting(config: IngestConfig, target: Target) -> Cutting:
    """Return how the files of a run are read and cut: as given, else as in the collection, else as the window allows.

    Raises:
        StoreError: chunks of that size do not fit, or documents and examples would be mixed.
        ReaderError: the columns of a pool of examples are not known.
    """
    known = target.existing.manifest if target.existing else None
    fields = config.text_fields or (tuple(known.text_fields) if known else ())
    if config.examples and target.existing and known and not known.examples and target.existing.num_chunks():
        raise StoreError(f"collection {target.name!r} holds documents and no examples; give another --collection")
    columns = known.examples if known else {}
    examples = None
    if config.examples or columns:
        if config.text_fields:
            raise ReaderError("--text-field is for documents, and this collection is a pool of examples: --input-field")
        examples = _example_fields(columns | config.given_example_fields)
    chunker = _chunker(config.chunk_tokens, config.chunk_overlap, known, target)
    return Cutting(ReadOptions(fields, examples), chunker)


def _example_fields(columns: Mapping[str, str]) -> ExampleFields:
    """Return the columns of a pool of examples.

    Raises:
        ReaderError: the input's or the output's is not known, or they are one.
    """
    missing = [f"--{name.replace('_', '-')}" for name in ("input_field", "output_field") if name not in columns]
    if missing:
        raise ReaderError(f"--examples needs {' and '.join(missing)}: the column that holds it")
    if columns["input_field"] == columns["output_field"]:
        raise ReaderError(f"--input-field and --output-field are both {columns['input_field']!r}; expected two columns")
    return ExampleFields(**columns)


def _chunker(size: int | None, overlap: int | None, known: Manifest | None, target: Target) -> Chunker:
    """Return the chunker: the sizes given, else the collection's, else those of the window."""
    tokenizer, instruction = target.encoders.target.tokenizer, target.view.instruction
    budget, remembered = tokenizer.text_budget(instruction), known if size is None else None
    if size is not None and size > budget:
        raise StoreError(
            f"--chunk-tokens {size} does not fit: the window of {target.encoders.target.max_tokens} tokens leaves "
            f"{budget} for text beside this instruction"
        )
    size = size or (remembered.chunk_tokens if remembered else default_chunk_tokens(tokenizer, instruction))
    if overlap is None:
        overlap = remembered.chunk_overlap if remembered else size // 8
    return Chunker(tokenizer, size, overlap)
