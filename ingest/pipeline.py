"""Files -> documents -> chunks -> instructed texts -> vectors -> collection, only for what changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingest.chunking import Chunker, default_chunk_tokens
from ingest.discovery import FoundFile, SkippedFile, discover
from ingest.readers import READER_VERSION, ReadOptions, read_file
from ingest.report import IngestReport
from instructor_search.encoder import load_encoder
from instructor_search.encoder.protocol import Encoder
from instructor_search.errors import CollectionNotFoundError, MissingExtraError, ReaderError, StoreError
from instructor_search.instructions import Instruction
from instructor_search.store.collection import Collection
from instructor_search.store.manifest import DEFAULT_VIEW, View
from instructor_search.store.schema import SourceRecord
from instructor_search.store.writer import CollectionWriter, fill_view


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """One run. ``instruction`` None: bring every view up to date, or plain embedding for a new collection."""

    paths: tuple[Path, ...]
    collection: str | None = None
    store: str | None = None
    instruction: str | None = None
    view: str | None = None
    new_view_name: str | None = None  # for a view that has to be made, if ``view`` does not name it
    model: str | None = None
    dialect: str | None = None
    device: str | None = None
    allow_pickle: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    text_fields: tuple[str, ...] = ()
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None
    prune: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without opening anything."""
        missing = [str(p) for p in self.paths if not p.exists()]
        if not self.paths or missing:
            what = f"no such file or folder: {', '.join(missing)}" if missing else "no file or folder was given"
            raise ReaderError(f"{what}; expected: python -m ingest FOLDER --instruction")

    @property
    def collection_name(self) -> str:
        """The name asked for, or that of the first folder."""
        first = self.paths[0].resolve()
        return self.collection or (first.name if first.is_dir() else first.parent.name) or "collection"


@dataclass
class _Job:
    """A file that has to be read."""

    file: FoundFile
    record: SourceRecord
    is_new: bool


class Progress:
    """What a run tells while it goes on; the command line draws a bar from it. This one says nothing."""

    def start(self, num_files: int, num_bytes: int) -> None:
        """The number of files to read and their size."""

    def read(self, num_bytes: int, num_documents: int, num_chunks: int) -> None:
        """A file was read and cut."""

    def embedded(self, num_texts: int) -> None:
        """Texts were embedded."""

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
    Raises ReaderError under ``strict`` for the first file that cannot be read, StoreError if the collection refuses.
    """
    return _Run(config, progress or Progress(), on_commit, encoder).run()


class _Run:
    def __init__(self, config: IngestConfig, progress: Progress,
                 on_commit: Callable[[list[SourceRecord]], None] | None, encoder: Encoder | None) -> None:  # fmt: skip
        self.config, self.progress, self.on_commit = config, progress, on_commit
        self.encoders: dict[str, Encoder] = {encoder.fingerprint: encoder} if encoder else {}
        self.given = encoder
        self.seconds = dict.fromkeys(("loading the model", "reading", "chunking", "embedding", "writing"), 0.0)
        self.started = time.perf_counter()

    def run(self) -> IngestReport:
        found = list(discover(self.config.paths, self.config.include, self.config.exclude))
        files = [f for f in found if isinstance(f, FoundFile)]
        existing = self._open()
        if not files and not (existing and self.config.prune):
            where = ", ".join(str(p) for p in self.config.paths)
            why = f" ({len(found)} passed over)" if found else ""
            raise ReaderError(
                f"nothing to read in {where}{why}; expected at least one document, see --include/--exclude"
            )
        target = self._target_encoder(existing)
        instruction = self._instruction(existing)
        chunk_tokens = self._chunk_tokens(existing, target, instruction)
        overlap = self.config.chunk_overlap if self.config.chunk_overlap is not None else chunk_tokens // 8
        chunker = Chunker(target.tokenizer, chunk_tokens, overlap)  # refuses bad sizes before anything is made
        collection = existing or Collection.create(
            self.config.collection_name, self.config.store, chunk_tokens=chunk_tokens, chunk_overlap=chunker.overlap
        )
        with collection.writing():
            if existing and self.config.chunk_overlap is None and self.config.chunk_tokens is None:
                chunker = Chunker(target.tokenizer, chunk_tokens, collection.manifest.chunk_overlap)
            collection.update_manifest(chunk_tokens=chunker.max_tokens, chunk_overlap=chunker.overlap,
                                       roots=self._roots(collection, files))  # fmt: skip
            view = self._ensure_view(collection, target, instruction)
            self._check_and_load(collection)
            report = IngestReport(collection.name, view.name, view.model, view.document_instruction)
            report.skipped = [(f.path, f.reason) for f in found if isinstance(f, SkippedFile)]
            self._write(collection, chunker, files, report)
        return report

    # -- what the run is about -------------------------------------------------------------------------------------

    def _open(self) -> Collection | None:
        try:
            return Collection.open(self.config.collection_name, self.config.store)
        except CollectionNotFoundError:
            return None

    def _target_encoder(self, existing: Collection | None) -> Encoder:
        if self.given is not None:
            return self.given
        if existing and existing.manifest.views and self.config.model is None:
            names = existing.manifest.views
            return self._encoder_of(names.get(self.config.view or DEFAULT_VIEW) or next(iter(names.values())))
        encoder = load_encoder(
            self.config.model,
            device=self.config.device,
            dialect=self.config.dialect or "pypi",
            allow_pickle=self.config.allow_pickle,
        )
        self.encoders[encoder.fingerprint] = encoder
        return encoder

    def _encoder_of(self, view: View) -> Encoder:
        """Load the encoder that made a view."""
        if view.fingerprint not in self.encoders:
            encoder = load_encoder(
                view.model,
                device=self.config.device,
                dialect=view.dialect,
                max_seq_length=view.max_tokens,
                allow_pickle=view.allow_pickle,
            )
            self.encoders[encoder.fingerprint] = encoder
            if encoder.fingerprint != view.fingerprint:
                raise StoreError(
                    f"view {view.name!r} was made by {view.model} (fingerprint {view.fingerprint}), and {view.model} "
                    f"now has {encoder.fingerprint}: the model changed; restore it, or ingest into a new --collection"
                )
        return self.encoders[view.fingerprint]

    def _check_and_load(self, collection: Collection) -> None:
        for view in collection.manifest.views.values():
            self._encoder_of(view)

    def _instruction(self, existing: Collection | None) -> str:
        if self.config.instruction is not None:
            return self.config.instruction
        if existing and existing.manifest.views:
            named = self.config.view is None or self.config.view in existing.manifest.views
            return existing.view(self.config.view if named else None).document_instruction
        return ""

    def _chunk_tokens(self, existing: Collection | None, encoder: Encoder, instruction: str) -> int:
        budget = encoder.tokenizer.text_budget(instruction)
        if self.config.chunk_tokens is None:
            return existing.manifest.chunk_tokens if existing else default_chunk_tokens(encoder.tokenizer, instruction)
        if self.config.chunk_tokens > budget:
            raise StoreError(
                f"--chunk-tokens {self.config.chunk_tokens} does not fit: the window of {encoder.max_tokens} tokens "
                f"leaves {budget} for text beside this instruction"
            )
        return self.config.chunk_tokens

    def _roots(self, collection: Collection, files: list[FoundFile]) -> dict[str, str]:
        """Remember where each root lies; two folders of one name in one collection would mix their files."""
        roots = dict(collection.manifest.roots)
        for root in sorted({f.root for f in files} | {p.resolve() for p in self.config.paths if p.is_dir()}):
            name = root.name or "root"
            known = roots.get(name)
            if known and known != str(root) and Path(known).is_dir():
                raise StoreError(
                    f"collection {collection.name!r} holds files of another folder called {name!r} ({known}); use "
                    f"--collection NAME for {root}, or rename it"
                )
            roots[name] = str(root)
        return roots

    def _ensure_view(self, collection: Collection, encoder: Encoder, instruction: str) -> View:
        views = collection.manifest.views
        found = collection.find_view(encoder.fingerprint, instruction)
        if found and self.config.view in (None, found.name):
            return found
        name = self.config.view or (DEFAULT_VIEW if not views else self._new_name(views, instruction))
        if name in views:
            other = views[name]
            raise StoreError(
                f"view {name!r} of {collection.name!r} has the instruction {other.document_instruction!r} and the "
                f"model {other.model} (fingerprint {other.fingerprint}), not {instruction!r} and {encoder.name} "
                f"({encoder.fingerprint}); give a new --view name"
            )
        if views and self.config.view is None and all(v.fingerprint != encoder.fingerprint for v in views.values()):
            first = next(iter(views.values()))
            raise StoreError(
                f"collection {collection.name!r} was made with {first.model} (fingerprint {first.fingerprint}), not "
                f"with {encoder.name} ({encoder.fingerprint}); add --view NAME, or use another --collection"
            )
        return collection.add_view(
            encoder,
            instruction,
            name,
            model=self._model_name(collection, encoder),
            allow_pickle=self.config.allow_pickle,
        )

    def _model_name(self, collection: Collection, encoder: Encoder) -> str:
        """Return what will load this encoder again: a folder's absolute path, or a hub id."""
        if self.config.model is None:
            known = {v.fingerprint: v.model for v in collection.manifest.views.values()}
            return known.get(encoder.fingerprint, encoder.name)
        folder = Path(self.config.model).expanduser()
        return str(folder.resolve()) if folder.is_dir() else self.config.model

    def _new_name(self, views: dict[str, View], instruction: str) -> str:
        words = self.config.new_view_name or Instruction.parse(instruction).task_objective or instruction or "plain"
        base = "-".join("".join(c if c.isalnum() else " " for c in words).lower().split()[:4]) or "view"
        name, number = base, 2
        while name in views:
            name, number = f"{base}-{number}", number + 1
        return name

    # -- doing it --------------------------------------------------------------------------------------------------

    def _write(self, collection: Collection, chunker: Chunker, files: list[FoundFile], report: IngestReport) -> None:
        known = collection.sources()
        writer = CollectionWriter(
            collection, self.encoders, on_commit=self.on_commit, on_embedded=self.progress.embedded
        )
        try:
            jobs = self._jobs(files, known, chunker, report)
            if jobs or any(collection.missing_vectors(v) for v in collection.manifest.views.values()):
                self._load_models(collection)
            self.progress.start(len(jobs), sum(job.record.size for job in jobs))
            for job in jobs:
                self._one_file(job, chunker, writer, report)
            writer.flush()
            self._prune(collection, files, known, report)
            for view in collection.manifest.views.values():
                fill_view(collection, view, self.encoders[view.fingerprint], writer.counts, self.progress.embedded)
            with self._timed("writing"):
                report.made = collection.maintain()
        except KeyboardInterrupt:
            report.interrupted = True
        finally:
            self.progress.close()
            counts = writer.counts
            report.chunks_embedded, report.chunks_kept = counts.embedded, counts.kept
            report.chunks_deleted += counts.deleted
            report.texts_cut = counts.cut
            report.chunks_total = collection.num_chunks()
            self.seconds["embedding"] += counts.embed_seconds
            self.seconds["writing"] += counts.write_seconds
            report.seconds = {**self.seconds, "total": time.perf_counter() - self.started}

    def _load_models(self, collection: Collection) -> None:
        """Load the weights now, so that their time is not counted as embedding."""
        started = time.perf_counter()
        for view in collection.manifest.views.values():
            self.encoders[view.fingerprint].load()
        self.seconds["loading the model"] = time.perf_counter() - started

    def _jobs(
        self, files: list[FoundFile], known: dict[str, SourceRecord], chunker: Chunker, report: IngestReport
    ) -> list[_Job]:
        """Return the files that are new or changed: by size and time first, by content where those differ."""
        settings = [READER_VERSION, self.config.text_fields, chunker.max_tokens, chunker.overlap]
        options = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
        jobs = []
        for file in files:
            old = known.get(file.source)
            try:
                with self._timed("reading"):
                    state = file.path.stat()
                    same = old and (old.size, old.mtime_ns, old.options) == (state.st_size, state.st_mtime_ns, options)
                    digest = old.hash if same and old else _digest(file.path)
            except OSError as error:
                self._fail(report, file, error.strerror or str(error))
                continue
            if old and (old.hash, old.options) == (digest, options):
                report.unchanged += 1
            elif state.st_size == 0:
                report.skipped.append((file.source, "empty file"))
            else:
                record = SourceRecord(file.source, state.st_size, state.st_mtime_ns, digest, options)
                jobs.append(_Job(file, record, old is None))
        return jobs

    def _one_file(self, job: _Job, chunker: Chunker, writer: CollectionWriter, report: IngestReport) -> None:
        documents = chunks = 0
        writer.begin(job.record)
        busy = writer.counts.embed_seconds + writer.counts.write_seconds
        started = time.perf_counter()
        chunking = 0.0
        try:
            for document in read_file(job.file.path, job.file.source, ReadOptions(self.config.text_fields)):
                documents += 1
                cut_started = time.perf_counter()
                cut_busy = writer.counts.embed_seconds + writer.counts.write_seconds
                for chunk in chunker.chunks(document):
                    chunks += 1
                    writer.add(document, chunk)
                spent = writer.counts.embed_seconds + writer.counts.write_seconds - cut_busy
                chunking += time.perf_counter() - cut_started - spent
        except (ReaderError, MissingExtraError, UnicodeError) as error:
            writer.abandon()
            self._fail(report, job.file, str(error))
            return
        finally:
            spent = writer.counts.embed_seconds + writer.counts.write_seconds - busy
            self.seconds["chunking"] += chunking
            self.seconds["reading"] += time.perf_counter() - started - spent - chunking
        if not chunks:
            writer.abandon()
            report.skipped.append((job.file.source, "no text in it"))
            return
        writer.finish(documents)
        report.documents += documents
        report.added += job.is_new
        report.changed += not job.is_new
        self.progress.read(job.record.size, documents, chunks)

    def _fail(self, report: IngestReport, file: FoundFile, reason: str) -> None:
        if self.config.strict:
            raise ReaderError(f"{file.path}: {reason} (--strict stops at the first such file)")
        report.failed.append((file.source, reason))
        self.progress.say(f"could not read {file.source}: {reason}")

    def _prune(self, collection: Collection, files: list[FoundFile], known: dict[str, SourceRecord],
               report: IngestReport) -> None:  # fmt: skip
        """Find stored sources under the given paths whose file is gone (or excluded now); delete them if asked."""
        present = {f.source for f in files}
        prefixes = [_prefix(p) for p in self.config.paths]
        stored = set(known) | collection.sources_with_rows()
        gone = {s for s in stored - present if any(s == p or s.startswith(p + "/") for p in prefixes)}
        if not self.config.prune:
            report.missing = sorted(s for s in gone if self._file_is_gone(s, collection))
            return
        with self._timed("writing"):
            report.chunks_deleted += collection.delete_sources(gone)
            report.removed = len(gone)

    def _file_is_gone(self, source: str, collection: Collection) -> bool:
        name, _, rest = source.partition("/")
        return not Path(collection.manifest.roots.get(name, name), rest).exists()

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - started


def _prefix(path: Path) -> str:
    start = path.resolve()
    return (start.name or "root") if start.is_dir() else f"{start.parent.name or 'root'}/{start.name}"


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
