"""Files -> documents -> chunks -> instructed texts -> vectors -> collection, and only for what changed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingest.chunking import Chunker, default_chunk_tokens
from ingest.config import IngestConfig
from ingest.discovery import SkippedPath, discover
from ingest.readers import READER_VERSION, ExampleFields, ReadOptions, is_table, read_file
from ingest.report import IngestReport
from ingest.roots import Roots
from ingest.views import Encoders, choose_instruction, ensure_view
from instructor_search.encoder.protocol import Encoder
from instructor_search.errors import CollectionNotFoundError, MissingExtraError, ReaderError, StoreError
from instructor_search.files import file_hash
from instructor_search.records import Chunk, Document
from instructor_search.store import maintenance
from instructor_search.store.collection import Collection
from instructor_search.store.folders import store_folder
from instructor_search.store.schema import SourceRecord
from instructor_search.store.writer import CollectionWriter, fill_view

__all__ = ["IngestConfig", "Progress", "ingest"]


@dataclass
class _Job:
    """A file that has to be read. ``state``: what tells that it changes while it is read."""

    path: Path
    record: SourceRecord
    is_known: bool
    state: tuple[int, ...]
    num_documents: int = 0
    num_left_out: int = 0  # rows without an input or an output


class Progress:
    """What a run tells while it goes on; the command line draws a bar from it. This one says nothing."""

    def start(self, num_files: int, num_bytes: int) -> None:
        """The number of files to read and their size."""

    def read(self, num_bytes: int, num_documents: int, num_chunks: int) -> None:
        """A file was read and cut."""

    def embedded(self, num_texts: int) -> None:
        """Texts were embedded; called from another thread than the rest."""

    def say(self, line: str) -> None:
        """A line for the person who waits."""

    def close(self) -> None:
        """The run is over."""


def ingest(
    config: IngestConfig,
    *,
    progress: Progress | None = None,
    on_commit: Callable[[list[SourceRecord]], None] | None = None,
    encoder: Encoder | None = None,
) -> IngestReport:
    """Bring a collection up to date with files and return what was done.

    ``on_commit`` is told of sources once all their chunks are stored. ``encoder`` replaces the one of ``config.model``.

    Raises:
        ReaderError: there is nothing to read, or (``strict``) a file that cannot be read.
        StoreError: the collection refuses: another model, another folder of the same name, a second writer.
    """
    started = time.perf_counter()
    found = list(discover(config.paths, config.include, config.exclude, store_folder(config.store).resolve()))
    existing = _open(config)
    if not any(isinstance(f, Path) for f in found) and not (existing and config.prune):
        where = ", ".join(str(p) for p in config.paths)
        why = f" ({len(found)} passed over: {found[0].reason}, ...)" if found and not isinstance(found[0], Path) else ""
        raise ReaderError(f"nothing to read in {where}{why}; expected at least one document, see --include/--exclude")
    if existing is None and not all(path.exists() for path in config.paths):
        raise ReaderError(f"no such file or folder: {', '.join(str(p) for p in config.paths if not p.exists())}")
    encoders = Encoders(config, encoder, existing)
    instruction = choose_instruction(config, existing)
    chunker = _chunker(config, existing, encoders.target, instruction)  # refuses bad sizes before anything is made
    examples = _example_fields(config, existing)
    collection = existing or Collection.create(
        config.collection_name, config.store, chunk_tokens=chunker.max_tokens, chunk_overlap=chunker.overlap
    )
    with collection.writing():
        try:
            if examples is not None:
                collection.update_manifest(examples={k: v for k, v in asdict(examples).items() if v is not None})
            roots = Roots(collection.manifest.roots, config.paths, collection.name)
            _check_missing(config, collection, roots)
            view = ensure_view(collection, encoders, instruction)
            for other in collection.manifest.views.values():
                encoders.of_view(other)
            collection.update_manifest(
                chunk_tokens=chunker.max_tokens, chunk_overlap=chunker.overlap, roots=roots.as_dict()
            )
            report = IngestReport(collection.name, view.name, view.model, view.document_instruction)
            told = progress or Progress()
            options = ReadOptions(config.text_fields or tuple(collection.manifest.text_fields), examples)
            _Run(config, options, collection, encoders, chunker, roots, report, told, on_commit, started).run(found)
        except ReaderError:
            if existing is None:
                _discard_empty(collection)
            raise
        if existing is None and report.failed and not report.interrupted:
            report.is_dropped = _discard_empty(collection)
    return report


def _open(config: IngestConfig) -> Collection | None:
    try:
        return Collection.open(config.collection_name, config.store)
    except CollectionNotFoundError:
        return None


def _discard_empty(collection: Collection) -> bool:
    """Delete a new collection if nothing was stored in it: a slip leaves none behind. Return whether it was."""
    if collection.num_chunks() or collection.sources():
        return False
    collection.discard()
    return True


def _example_fields(config: IngestConfig, existing: Collection | None) -> ExampleFields | None:
    """Return the columns of an example pool, given or remembered by it; None where it is none.

    Raises:
        StoreError: a collection of documents was to become one.
    """
    known = existing.manifest.examples if existing else {}
    if config.examples and existing and not known and existing.num_chunks():
        raise StoreError(f"collection {existing.name!r} holds documents and no examples; give another --collection")
    return config.example_fields(known)


def _check_missing(config: IngestConfig, collection: Collection, roots: Roots) -> None:
    """Refuse a path that is not there, unless something of it is stored that can be pruned."""
    missing = [p for p in config.paths if not p.exists()]
    stored = set(collection.sources()) | collection.sources_with_rows() if missing else set()
    unknown = [str(p) for p in missing if not roots.under(stored, [p])]
    if unknown:
        raise ReaderError(f"no such file or folder, and nothing stored of it: {', '.join(unknown)}")


def _chunker(config: IngestConfig, existing: Collection | None, encoder: Encoder, instruction: str) -> Chunker:
    """Return the chunker: the sizes given, else the collection's, else those of the window."""
    budget = encoder.tokenizer.text_budget(instruction)
    known = existing.manifest if existing and config.chunk_tokens is None else None
    size = config.chunk_tokens or (
        known.chunk_tokens if known else default_chunk_tokens(encoder.tokenizer, instruction)
    )
    if config.chunk_tokens is not None and size > budget:
        raise StoreError(
            f"--chunk-tokens {size} does not fit: the window of {encoder.max_tokens} tokens leaves {budget} for text "
            "beside this instruction"
        )
    overlap = config.chunk_overlap
    if overlap is None:
        overlap = known.chunk_overlap if known else size // 8
    return Chunker(encoder.tokenizer, size, overlap)


class _Run:
    """The part of a run that holds the lock."""

    def __init__(
        self,
        config: IngestConfig,
        options: ReadOptions,
        collection: Collection,
        encoders: Encoders,
        chunker: Chunker,
        roots: Roots,
        report: IngestReport,
        progress: Progress,
        on_commit: Callable[[list[SourceRecord]], None] | None,
        started: float,
    ) -> None:
        self.config, self.collection, self.encoders, self.chunker = config, collection, encoders, chunker
        self.roots, self.report, self.progress, self.on_commit = roots, report, progress, on_commit
        self.seconds = dict.fromkeys(("loading the model", "reading", "chunking", "embedding", "writing"), 0.0)
        self.started = started
        self.options = options
        self.known = collection.sources()
        self.under_way: dict[str, _Job] = {}
        self.writer = CollectionWriter(
            collection, encoders.by_fingerprint, on_commit=self._committed, on_embedded=progress.embedded
        )

    def run(self, found: list[Path | SkippedPath]) -> None:
        """Read, embed, store, prune, and fill the report (also when interrupted: with what is stored by then)."""
        collection, report = self.collection, self.report
        closed = [f.path for f in found if isinstance(f, SkippedPath) and f.failed]
        for skipped in (f for f in found if isinstance(f, SkippedPath)):
            if skipped.failed:
                self._fail(skipped.path, str(skipped), skipped.reason)
            else:
                report.skipped.append((str(skipped), skipped.reason))
        try:
            jobs = self._jobs([f for f in found if isinstance(f, Path)])
            if jobs or any(collection.missing_vectors(v) for v in collection.manifest.views.values()):
                self.encoders.load_all(collection)
            self.progress.start(len(jobs), sum(job.record.size for job in jobs))
            for job in jobs:
                self._one_file(job)
            self.writer.flush()
            self._prune(closed)
            for view in collection.manifest.views.values():
                fill_view(collection, view, self.encoders.of_view(view), self.writer.counts, self.progress.embedded)
            with self._timed("writing"):
                report.made = maintenance.maintain(collection)
        except KeyboardInterrupt:
            report.interrupted = True
        except ReaderError:  # strict
            self.writer.flush()  # what was read before it is stored
            raise
        finally:
            self.writer.stop()
            self.progress.close()
            self._fill_report()

    def _fill_report(self) -> None:
        report, counts = self.report, self.writer.counts
        report.chunks_embedded, report.chunks_kept, report.texts_cut = counts.embedded, counts.kept, counts.cut
        report.chunks_deleted += counts.deleted
        report.chunks_total = self.collection.num_chunks()
        self.seconds["loading the model"] = self.encoders.seconds
        self.seconds["embedding"] += counts.embed_seconds
        self.seconds["writing"] += counts.write_seconds
        report.seconds = {**self.seconds, "total": time.perf_counter() - self.started}

    def _committed(self, records: list[SourceRecord]) -> None:
        """Count what is stored now, and nothing before."""
        for record in records:
            job = self.under_way.pop(record.source)
            self.report.documents += job.num_documents
            self.report.rows_left_out += job.num_left_out
            self.report.added += not job.is_known
            self.report.changed += job.is_known
        if self.on_commit:
            self.on_commit(records)

    def _jobs(self, files: list[Path]) -> list[_Job]:
        """Return the files that are new or changed: by size and time first, by content where those differ."""
        jobs, touched = [], []
        for path in files:
            source = self.roots.source_of(path)
            if self.options.examples and not is_table(path):
                self.report.skipped.append((source, "not a table, whose rows could be examples"))
                continue
            old = self.known.get(source)
            options = self._options_hash(path)
            try:
                with self._timed("reading"):
                    state = _state(path)
                    size, mtime_ns = state[:2]
                    same = old is not None and (old.size, old.mtime_ns, old.options) == (size, mtime_ns, options)
                    digest = old.hash if same and old else file_hash(path)
            except OSError as error:
                self._fail(path, source, error.strerror or str(error))
                continue
            record = SourceRecord(source, size, mtime_ns, digest, options)
            if old and (old.hash, old.options) == (digest, options):
                self.report.unchanged += 1
                if not same:
                    touched.append(
                        SourceRecord(
                            **record.__dict__ | {"num_documents": old.num_documents, "num_chunks": old.num_chunks}
                        )
                    )
            elif size == 0 and not self.writer.knows(source):
                self.report.skipped.append((source, "empty file"))
            else:
                jobs.append(_Job(path, record, old is not None, state))
        with self._timed("writing"):
            self.collection.touch_sources(touched)
        return jobs

    def _options_hash(self, path: Path) -> str:
        """Return a hash of how a file is read and cut: another way makes it a changed file."""
        fields = self.options.text_fields if is_table(path) else ()
        settings: list[Any] = [READER_VERSION, fields, self.chunker.max_tokens, self.chunker.overlap]
        if self.options.examples:
            settings = [READER_VERSION, asdict(self.options.examples)]  # examples are not cut
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]

    def _one_file(self, job: _Job) -> None:
        source, writer = job.record.source, self.writer
        options = self.options
        chunks = 0
        try:
            if writer.knows(source):  # make sure that it can be read before any of its stored chunks is replaced
                with self._timed("reading"):
                    for document in read_file(job.path, source, options):
                        for _ in document.blocks:
                            pass
            writer.begin(job.record)
            for document, chunk in self._chunks(job, options):
                chunks += 1
                writer.add(document, chunk)
            if _state(job.path) != job.state:
                raise ReaderError("changed while it was read; the next run reads it again")
        except (ReaderError, MissingExtraError, OSError) as error:
            writer.abandon()
            self._fail(job.path, source, str(error))
            return
        if not chunks:
            self.report.skipped.append((source, "no text in it" if job.record.size else "empty file"))
            if not writer.knows(source):
                writer.abandon()
                return
        if is_table(job.path) and self.config.text_fields:  # they were found: remember them
            self.collection.update_manifest(text_fields=list(self.options.text_fields))
        self.under_way[source] = job
        writer.finish(job.num_documents)
        self.progress.read(job.record.size, job.num_documents, chunks)

    def _chunks(self, job: _Job, options: ReadOptions) -> Iterator[tuple]:
        """Yield (document, chunk) of a file; its time is counted as reading and as chunking."""
        documents = iter(read_file(job.path, job.record.source, options))
        while True:
            with self._timed("reading"):
                document = next(documents, None)
            if document is None:
                return
            chunks = self._whole(document, job) if options.examples else iter(self.chunker.chunks(document))
            job.num_documents += 1
            while True:
                with self._timed("chunking"):
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                yield document, chunk

    def _whole(self, document: Document, job: _Job) -> Iterator[Chunk]:
        """Yield an example as one chunk; what is longer than the window is counted when it is embedded."""
        text = "".join(block.text for block in document.blocks)
        if not text:
            job.num_left_out += 1
            return
        yield Chunk(document.document_id, text, 0, len(text), self.chunker.tokenizer.count_tokens(text), (), None)

    def _fail(self, path: Path, source: str, reason: str) -> None:
        if self.config.strict:
            raise ReaderError(f"{path}: {reason} (--strict stops at the first such file)")
        self.report.failed.append((source, reason))
        self.progress.say(f"could not read {source}: {reason}")

    def _prune(self, closed: list[Path]) -> None:
        """Find stored sources under the given paths whose file is gone; delete their chunks if asked."""
        stored = set(self.known) | self.collection.sources_with_rows()
        gone = sorted(s for s in self.roots.under(stored, self.config.paths) if _is_gone(self.roots.path_of(s), closed))
        if not self.config.prune:
            self.report.missing = gone
            return
        with self._timed("writing"):
            self.report.chunks_deleted += self.collection.delete_sources(gone)
            self.report.removed = len(gone)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - started


def _is_gone(path: Path, closed: list[Path]) -> bool:
    """Whether nothing is at ``path``; what lies in a folder that cannot be looked into is not known to be gone."""
    if any(folder == path or folder in path.parents for folder in closed):
        return False
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)  # a folder or a link in a file's place is another thing
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def _state(path: Path) -> tuple[int, ...]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino
