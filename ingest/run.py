"""Runs a plan: files are read and cut, and only the writer, which holds the collection's lock, stores anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from ingest.changes import state_of, strict_refusal
from ingest.config import IngestConfig
from ingest.cutting import CutFile, Seconds, cut_file
from ingest.plan import Plan, prepare
from ingest.progress import Progress
from ingest.readers import is_table
from ingest.report import IngestReport
from ingest.target import seen_of
from instructor_search.encoder.protocol import Encoder
from instructor_search.engines import Engine, LocalEngine
from instructor_search.errors import MissingExtraError, ReaderError
from instructor_search.store import maintenance
from instructor_search.store.embedding import fill_view
from instructor_search.store.manifest import View
from instructor_search.store.schema import SourceRecord
from instructor_search.store.table import CollectionTable
from instructor_search.store.writer import CollectionWriter

OnCommit = Callable[[list[SourceRecord]], None]
_PARTS = ("loading the model", "reading", "chunking", "embedding", "writing")  # of a run's seconds, in this order


def ingest(
    config: IngestConfig,
    *,
    progress: Progress | None = None,
    on_commit: OnCommit | None = None,
    encoder: Encoder | None = None,
    engine: Engine | None = None,
) -> IngestReport:
    """Bring a collection up to date with files and return what was done: ``prepare``, then ``run_plan``.

    ``on_commit`` is told of sources once all their chunks are stored. ``encoder`` replaces the one of ``config.model``.
    ``engine`` reads and cuts the files; None: this process.

    Raises:
        ReaderError: there is nothing to read, or (``strict``) a file that cannot be read.
        StoreError: the collection refuses: another model, another folder of the same name, a second writer.
    """
    plan = prepare(config, encoder)
    return run_plan(plan, progress=progress, on_commit=on_commit, engine=engine)


def run_plan(
    plan: Plan, *, progress: Progress | None = None, on_commit: OnCommit | None = None, engine: Engine | None = None
) -> IngestReport:
    """Do what was planned, and return what was done; where the collection was changed since, it is planned anew.

    Raises:
        ReaderError: (``strict``) a file cannot be read; what was read before it is stored.
        StoreError: another process writes to the collection, or it was made or changed so that it refuses now.
    """
    is_new = plan.target.existing is None
    collection = plan.target.existing or _make(plan)
    with collection.writing():
        if not is_new and seen_of(collection) != plan.target.seen:
            plan = plan.anew()
        try:
            report = _Run(plan, collection, engine or LocalEngine(), progress or Progress(), on_commit).run()
        except ReaderError:
            if is_new:
                _discard_empty(collection)
            raise
        if is_new and report.failed and not report.interrupted:
            report.is_dropped = _discard_empty(collection)
    return report


def _make(plan: Plan) -> CollectionTable:
    chunker = plan.cutting.chunker
    return CollectionTable.create_empty(
        plan.target.name, plan.target.store, chunk_tokens=chunker.max_tokens, chunk_overlap=chunker.overlap
    )


def _discard_empty(collection: CollectionTable) -> bool:
    """Delete a new collection if nothing was stored in it: a slip leaves none behind. Return whether it was."""
    if collection.num_chunks() or collection.sources():
        return False
    collection.discard()
    return True


class _Run:
    """The part of a run that holds the lock."""

    def __init__(
        self, plan: Plan, collection: CollectionTable, engine: Engine, progress: Progress, on_commit: OnCommit | None
    ) -> None:
        self.plan, self.collection, self.engine = plan, collection, engine
        self.progress, self.on_commit, self.encoders = progress, on_commit, plan.target.encoders
        self.seconds = Seconds(dict.fromkeys(_PARTS, 0.0) | plan.changes.seconds)
        view = self._adopt()
        self.report = IngestReport(collection.name, view.name, view.model, view.document_instruction)
        self.under_way: dict[str, CutFile] = {}
        self.writer = CollectionWriter(
            collection, self.encoders.by_fingerprint, on_commit=self._committed, on_embedded=progress.embedded
        )

    def _adopt(self) -> View:
        """Write into the manifest what the plan says, make the view if there is none, and return it."""
        plan, collection, options = self.plan, self.collection, self.plan.cutting.options
        if options.examples is not None:
            collection.update_manifest(examples={k: v for k, v in asdict(options.examples).items() if v is not None})
        view = plan.target.view.made_in(collection, self.encoders)
        chunker, names = plan.cutting.chunker, plan.changes.names
        collection.update_manifest(
            chunk_tokens=chunker.max_tokens, chunk_overlap=chunker.overlap, source_names=names.as_dict()
        )
        return view

    def run(self) -> IngestReport:
        """Read, embed, store, prune, and fill the report (also when interrupted: with what is stored by then)."""
        changes, report = self.plan.changes, self.report
        report.skipped += changes.skipped
        report.unchanged = changes.unchanged
        try:
            self._store_files()
            self._prune()
            self._fill_views()
            with self.seconds.timed("writing"):
                report.made = maintenance.maintain(self.collection)
        except KeyboardInterrupt:
            report.interrupted = True
        except ReaderError:  # strict
            self.writer.flush()  # what was read before it is stored
            raise
        finally:
            self.writer.stop()
            self.progress.close()
            self._fill_report()
        return report

    def _store_files(self) -> None:
        changes, collection = self.plan.changes, self.collection
        for _, source, reason in changes.failed:
            self._failed(source, reason)
        with self.seconds.timed("writing"):
            collection.touch_sources(changes.touched)
        files = changes.to_read
        if files or any(collection.missing_vectors(v) for v in collection.manifest.views.values()):
            self.encoders.load_all()
        self.progress.start(len(files), sum(file.record.size for file in files))
        for cut in self.engine.map(partial(cut_file, self.plan.cutting), files):
            self._store_file(cut)
        self.writer.flush()

    def _store_file(self, cut: CutFile) -> None:
        file, source, writer = cut.file, cut.file.record.source, self.writer
        try:
            if writer.knows(source):  # make sure that it can be read before any of its stored chunks is replaced
                cut.check()
            writer.begin(file.record)
            for document, chunk in cut:
                writer.add(document, chunk)
            if state_of(file.path) != file.state:
                raise ReaderError("changed while it was read; the next run reads it again")
        except (ReaderError, MissingExtraError, OSError) as error:
            writer.abandon()
            if self.plan.strict:
                raise strict_refusal(file.path, error) from error
            self._failed(source, str(error))
            return
        finally:
            for part, seconds in cut.seconds.items():
                self.seconds[part] += seconds
        self._finish(cut)

    def _finish(self, cut: CutFile) -> None:
        file, source = cut.file, cut.file.record.source
        if not cut.num_chunks:
            self.report.skipped.append((source, "no text in it" if file.record.size else "empty file"))
            if not self.writer.knows(source):
                self.writer.abandon()
                return
        fields = list(self.plan.cutting.options.text_fields)
        if is_table(file.path) and fields and fields != self.collection.manifest.text_fields:
            self.collection.update_manifest(text_fields=fields)  # they were found: remember them
        self.under_way[source] = cut
        self.writer.finish(cut.num_documents)
        self.progress.read(file.record.size, cut.num_documents, cut.num_chunks)

    def _failed(self, source: str, reason: str) -> None:
        self.report.failed.append((source, reason))
        self.progress.say(f"could not read {source}: {reason}")

    def _committed(self, records: list[SourceRecord]) -> None:
        """Count what is stored now, and nothing before."""
        for record in records:
            cut = self.under_way.pop(record.source)
            self.report.documents += cut.num_documents
            self.report.rows_left_out += cut.num_left_out
            self.report.added += not cut.file.is_known
            self.report.changed += cut.file.is_known
        if self.on_commit:
            self.on_commit(records)

    def _prune(self) -> None:
        """Delete the chunks of files that are gone, if asked; else say which they are."""
        gone = self.plan.changes.gone
        if not self.plan.prune:
            self.report.missing = gone
            return
        with self.seconds.timed("writing"):
            self.report.chunks_deleted += self.collection.delete_sources(gone)
            self.report.removed = len(gone)

    def _fill_views(self) -> None:
        for view in self.collection.manifest.views.values():
            encoder = self.encoders.of_view(view)
            fill_view(self.collection, view, encoder, self.writer.counts, self.progress.embedded)

    def _fill_report(self) -> None:
        report, counts = self.report, self.writer.counts
        report.chunks_embedded, report.chunks_kept, report.texts_cut = counts.embedded, counts.kept, counts.cut
        report.chunks_deleted += counts.deleted
        report.chunks_total = self.collection.num_chunks()
        self.seconds["loading the model"] = self.encoders.seconds
        self.seconds["embedding"] += counts.embed_seconds
        self.seconds["writing"] += counts.write_seconds
        report.seconds = {**self.seconds, "total": time.perf_counter() - self.plan.started}
