"""What a run of ingest will do, resolved and checked before anything is written: ``python -m ingest ... --dry-run``."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.changes import Changes, find_changes, find_gone
from ingest.config import IngestConfig
from ingest.cutting import Cutting, Seconds
from ingest.discovery import SkippedPath, discover
from ingest.readers import ExampleFields, ReadOptions
from ingest.report import grouped, some
from ingest.roots import Roots
from ingest.views import Encoders, PlannedView, choose_instruction, plan_view
from instructor_search.chunking import Chunker, default_chunk_tokens
from instructor_search.commands.parser import counted
from instructor_search.encoder.protocol import Encoder
from instructor_search.errors import CollectionNotFoundError, ReaderError, StoreError
from instructor_search.store.collection import Collection
from instructor_search.store.folders import store_folder
from instructor_search.store.table import CollectionTable


@dataclass
class Plan:
    """A run: which collection and view, with which encoders, how files are cut, and which files."""

    config: IngestConfig
    existing: Collection | None
    encoders: Encoders
    view: PlannedView
    cutting: Cutting
    roots: Roots
    changes: Changes
    given: Encoder | None = None  # in place of the one of the configuration
    seen: tuple[Any, ...] = ()  # the collection as it was: another process may write before the run does
    seconds: Seconds = field(default_factory=Seconds)
    started: float = field(default_factory=time.perf_counter)

    def as_json(self) -> dict[str, Any]:
        """Return the plan for programs."""
        changes, added = self.changes, sum(not file.is_known for file in self.changes.to_read)
        chunker, options = self.cutting.chunker, self.cutting.options
        return {
            "collection": self.config.collection_name,
            "is_new": self.existing is None,
            "view": self.view.name,
            "view_is_new": self.view.is_new,
            "model": self.view.model,
            "document_instruction": self.view.instruction,
            "chunk_tokens": chunker.max_tokens,
            "chunk_overlap": chunker.overlap,
            "text_fields": list(options.text_fields),
            "examples": None if options.examples is None else vars(options.examples),
            "to_add": added,
            "to_change": len(changes.to_read) - added,
            "unchanged": changes.unchanged,
            "files": [file.record.source for file in changes.to_read],
            "skipped": changes.skipped,
            "failed": [(source, reason) for _, source, reason in changes.failed],
            "gone": changes.gone,
            "to_remove": len(changes.gone) if self.config.prune else 0,
        }

    def as_text(self) -> str:
        """Return the plan for a person."""
        facts, chunker = self.as_json(), self.cutting.chunker
        state = {True: "new", False: "there is"}
        size = "each example whole" if facts["examples"] else f"chunks of {chunker.max_tokens} tokens"
        shared = "" if facts["examples"] else f", {chunker.overlap} shared with the next"
        kinds = Counter(file.path.suffix.lower() or "no suffix" for file in self.changes.to_read)
        lines = [
            f"collection {facts['collection']} ({state[facts['is_new']]}), view {facts['view']} "
            f"({state[facts['view_is_new']]}): {facts['model']}, documents under {facts['document_instruction']!r}",
            f"cut: {size}{shared}",
            f"files: {facts['to_add']} to add, {facts['to_change']} to read again, {facts['unchanged']} unchanged"
            + "".join(f"; {count} {kind}" for kind, count in kinds.most_common()),
        ]
        lines += grouped("would be skipped", facts["skipped"]) + grouped("cannot be read", facts["failed"])
        if facts["gone"]:
            fate = "their chunks would be removed" if self.config.prune else "--prune would remove their chunks"
            lines.append(f"gone: {counted(len(facts['gone']), 'file')} ({some(facts['gone'])}); {fate}")
        return "\n".join([*lines, "nothing was written (--dry-run)"])


def prepare(config: IngestConfig, encoder: Encoder | None = None) -> Plan:
    """Return what a run of ``config`` will do; nothing is written. ``encoder`` replaces the one of ``config.model``.

    Raises:
        ReaderError: there is nothing to read, or (``strict``) a file that cannot be looked at.
        StoreError: the collection refuses: another model, another folder of the same name.
    """
    plan_started, seconds = time.perf_counter(), Seconds()
    found = list(discover(config.paths, config.include, config.exclude, store_folder(config.store).resolve()))
    existing = _open(config)
    seen = seen_of(existing) if existing else ()
    _check_paths(config, found, existing)
    encoders = Encoders(config, encoder, existing)
    instruction = choose_instruction(config, existing)
    chunker = _chunker(config, existing, encoders.target, instruction)
    fields = config.text_fields or (tuple(existing.manifest.text_fields) if existing else ())
    cutting = Cutting(ReadOptions(fields, _example_fields(config, existing)), chunker)
    roots = Roots(existing.manifest.roots if existing else {}, config.paths, config.collection_name)
    known = existing.sources() if existing else {}
    stored = set(known) | existing.sources_with_rows() if existing else set()
    _check_missing(config, stored, roots)
    view = plan_view(existing, encoders, instruction)
    for other in existing.manifest.views.values() if existing else ():
        encoders.of_view(other)
    changes = find_changes(found, known, stored, roots, cutting, seconds)
    _check_strict(config, changes)
    closed = [f.path for f in found if isinstance(f, SkippedPath) and f.failed]
    changes.gone = find_gone(stored, roots, config.paths, closed)
    return Plan(config, existing, encoders, view, cutting, roots, changes, encoder, seen, seconds, plan_started)


def seen_of(collection: CollectionTable) -> tuple[Any, ...]:
    """Return what changes with every write to a collection."""
    return collection.manifest, collection.chunks.version, collection.sources_table.version


def _open(config: IngestConfig) -> Collection | None:
    try:
        return Collection.open(config.collection_name, config.store)
    except CollectionNotFoundError:
        return None


def _check_paths(config: IngestConfig, found: list[Path | SkippedPath], existing: Collection | None) -> None:
    """Refuse a run that has nothing to read and nothing to prune."""
    if not any(isinstance(f, Path) for f in found) and not (existing and config.prune):
        where = ", ".join(str(p) for p in config.paths)
        why = f" ({len(found)} passed over: {found[0].reason}, ...)" if found and not isinstance(found[0], Path) else ""
        raise ReaderError(f"nothing to read in {where}{why}; expected at least one document, see --include/--exclude")
    if existing is None and not all(path.exists() for path in config.paths):
        raise ReaderError(f"no such file or folder: {', '.join(str(p) for p in config.paths if not p.exists())}")


def _check_missing(config: IngestConfig, stored: set[str], roots: Roots) -> None:
    """Refuse a path that is not there, unless something of it is stored that can be pruned."""
    missing = [p for p in config.paths if not p.exists()]
    unknown = [str(p) for p in missing if not roots.under(stored, [p])]
    if unknown:
        raise ReaderError(f"no such file or folder, and nothing stored of it: {', '.join(unknown)}")


def strict_refusal(path: Path, reason: object) -> ReaderError:
    """Return what ends a run with ``--strict`` at a file that cannot be read."""
    return ReaderError(f"{path}: {reason} (--strict stops at the first such file)")


def _check_strict(config: IngestConfig, changes: Changes) -> None:
    if config.strict and changes.failed:
        path, _, reason = changes.failed[0]
        raise strict_refusal(path, reason)


def _example_fields(config: IngestConfig, existing: Collection | None) -> ExampleFields | None:
    """Return the columns of an example pool, given or remembered by it; None where it is none.

    Raises:
        StoreError: a collection of documents was to become one.
    """
    known = existing.manifest.examples if existing else {}
    if config.examples and existing and not known and existing.num_chunks():
        raise StoreError(f"collection {existing.name!r} holds documents and no examples; give another --collection")
    return config.example_fields(known)


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
