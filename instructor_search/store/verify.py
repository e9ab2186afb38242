"""Checks a collection against itself: nothing is trusted that can be recomputed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from instructor_search.errors import StoreError
from instructor_search.store.indexes.registry import indexes_beside, indexes_in_table
from instructor_search.store.manifest import View
from instructor_search.store.schema import content_hash
from instructor_search.store.table import CollectionTable
from instructor_search.store.vectors import checksum, present_vectors


@dataclass
class VerifyReport:
    """What was looked at and what is wrong with it."""

    collection: str
    chunks: int = 0
    sources: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(collection: CollectionTable) -> VerifyReport:
    """Read every row once: texts against hashes, vectors against checksums, keys, and sources against rows.

    Needed because the store keeps no checksum of its own: a flipped bit in a data file reads back as another vector.
    """
    report = VerifyReport(collection.name)
    try:
        _check_rows(collection, report)
    except (StoreError, RuntimeError, OSError, ValueError) as error:  # a file of the table is missing or cut
        report.problems.append(f"it cannot be read to its end ({' '.join(str(error).split())[:200]})")
    return report


def _check_rows(collection: CollectionTable, report: VerifyReport) -> None:
    views = list(collection.manifest.views.values())
    columns = ["id", "source", "text", "content_hash", *(c for v in views for c in (v.column, v.checksum_column))]
    known = set(collection.chunks.schema.names)
    for view in views:
        if view.column not in known:
            report.problems.append(f"view {view.name}: its column {view.column} is missing")
    views = [v for v in views if v.column in known]
    ids: Counter[str] = Counter()
    per_source: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for batch in collection.chunks.search().select([c for c in columns if c in known]).to_batches(1024):
        names, texts, hashes = (batch.column(c).to_pylist() for c in ("id", "text", "content_hash"))
        ids.update(names)
        per_source.update(batch.column("source").to_pylist())
        bad["texts that differ from their hash"] += sum(
            content_hash(t or "") != h for t, h in zip(texts, hashes, strict=True)
        )
        for view in views:
            _check_vectors(batch, view, bad)
    report.chunks = sum(ids.values())
    bad["keys that occur twice"] = sum(n > 1 for n in ids.values())
    report.problems += [f"{count} {what}" for what, count in bad.items() if count and not what.startswith("note:")]
    report.notes += [f"{count} {what[5:]}" for what, count in bad.items() if count and what.startswith("note:")]
    _check_sources(collection, per_source, report)
    for index in [*indexes_in_table(collection, views), *indexes_beside(collection, views)]:
        index_report = index.verify()
        report.problems += index_report.problems
        report.notes += index_report.notes


def _check_vectors(batch: Any, view: View, bad: Counter[str]) -> None:
    sums = batch.column(view.checksum_column).to_pylist()
    for vector, expected in zip(present_vectors(batch, view), sums, strict=True):
        if vector is None:
            bad[f"note:chunks without a vector in view {view.name}; the next ingest makes them"] += 1
        else:
            bad[f"vectors of view {view.name} that differ from their checksum"] += checksum(vector) != expected


def _check_sources(collection: CollectionTable, per_source: Counter[str], report: VerifyReport) -> None:
    records = collection.sources()
    report.sources = len(records)
    wrong = [s for s, r in records.items() if per_source.get(s, 0) != r.num_chunks]
    if wrong:
        report.problems.append(f"{len(wrong)} sources with another number of chunks than recorded ({wrong[0]}, ...)")
    open_sources = sorted(set(per_source) - set(records))
    if open_sources:
        report.notes.append(
            f"{len(open_sources)} sources not finished ({open_sources[0]}, ...); the next ingest ends them"
        )
