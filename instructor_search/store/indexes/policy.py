"""Which index a view gets, and when. Below the threshold LanceDB's exact scan is fast enough and needs no upkeep.

Above it FAISS is the index where it is installed (10 times as fast as LanceDB's at the same recall), else LanceDB's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from instructor_search.store.indexes.faiss import MIN_ROWS, Kind
from instructor_search.store.lancedb_lightly import Bitmap, BTree, HnswSq, IvfRq, Table
from instructor_search.store.manifest import View

if TYPE_CHECKING:
    from instructor_search.store.collection import Collection
    from instructor_search.store.indexes.view_index import ViewIndex

INDEX_THRESHOLD = 20_000  # chunks with a vector; exact search took 105 ms at 100,000 x 384 on one core
AUTO, EXACT, LANCE_HNSW, LANCE_RABITQ = "auto", "exact", "lance-hnsw-sq", "lance-ivf-rq"
FILTER_INDEXES: dict[str, Any] = {"source": BTree, "mime": Bitmap, "mtime": BTree}  # without one a filter is a scan
CHOICES = (AUTO, EXACT, *map(str, Kind), LANCE_HNSW, LANCE_RABITQ)
_PARTITION_ROWS = 100_000
_EF_CONSTRUCTION = 150
_MEMORY_SHARE = 0.1  # of the machine's memory, that codes of 4 bits may take


@dataclass(frozen=True)
class Wish:
    """The index that was asked for. ``kind``: one of ``CHOICES``."""

    kind: str = AUTO
    target_recall: float = 0.95

    def __post_init__(self) -> None:
        """Refuse what is not known.

        Raises:
            ValueError: the kind is unknown, or the recall is not between 0 and 1.
        """
        if self.kind not in CHOICES:
            raise ValueError(f"index kind {self.kind!r}; expected one of {', '.join(CHOICES)}")
        if not 0 < self.target_recall <= 1:
            raise ValueError(f"target recall {self.target_recall}; expected above 0, up to 1, e.g. 0.95")

    def resolve(self, rows: int, dim: int, threshold: int = INDEX_THRESHOLD) -> str:
        """Return the kind for a view of ``rows`` vectors: "auto" goes by size, memory and what is installed.

        Too few vectors to learn clusters or codes from are searched exactly, whatever was asked for.
        """
        if not rows:
            return EXACT
        if self.kind in list(Kind):
            return self.kind if rows >= MIN_ROWS else Kind.FLAT
        if self.kind != AUTO:
            return self.kind
        if rows <= threshold:
            return EXACT
        if find_spec("faiss") is None:
            return LANCE_HNSW
        return Kind.IVF_PQ if rows * dim / 4 <= _MEMORY_SHARE * _memory() else Kind.IVF_RABITQ


def _memory() -> int:
    """Return the machine's memory in bytes."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 8 * 2**30


def ensure_filter_indexes(table: Table) -> list[str]:
    """Make the indexes of columns that filters name, once a scan takes long; rows added later are found without."""
    if table.count_rows() <= INDEX_THRESHOLD:
        return []
    made = []
    for column, kind in FILTER_INDEXES.items():
        if index_of(table, column) is None:
            table.create_index(column, config=kind())
            made.append(column)
    return [f"filter indexes of {', '.join(made)}"] if made else []


def ensure_lance_index(table: Table, view: View, kind: str) -> list[str]:
    """Make LanceDB's own index of ``view``, if that is what ``kind`` says."""
    present = has_index(table, view.column)
    rows = table.count_rows(f"{view.checksum_column} IS NOT NULL")
    if kind not in (LANCE_HNSW, LANCE_RABITQ):
        return []
    made = {LANCE_HNSW: "IvfHnswSq", LANCE_RABITQ: "IvfRq"}[kind]
    if (present and str(index_of(table, view.column).index_type) == made) or not rows:
        return []
    partitions = max(1, rows // _PARTITION_ROWS)
    config: Any = HnswSq(distance_type="cosine", num_partitions=partitions, ef_construction=_EF_CONSTRUCTION)
    if kind == LANCE_RABITQ:
        config = IvfRq(distance_type="cosine", num_partitions=max(1, rows // 1000))
    table.create_index(view.column, config=config, replace=True)
    hint = "" if find_spec("faiss") else "; FAISS is faster: pip install '.[faiss-cpu]' or '.[faiss-gpu]'"
    return [f"vector index of view {view.name} ({kind} over {rows:,} vectors{hint})"]


def ensure_faiss_index(
    collection: Collection, view: View, wish: Wish, kind: str, *, queries: Any = None, anew: bool = False
) -> list[str]:
    """Make the FAISS index of ``view`` or bring its files up to date, if ``kind`` says so; else delete it.

    It is made anew when a fifth of its vectors has changed since it was made, when another kind or recall is wanted, or
    with ``anew``. ``queries``: vectors to measure its recall with, (q, dim). LanceDB's index goes when it is there.

    Raises:
        MissingExtraError: it is to be made, and FAISS is not installed.
    """
    from instructor_search.store.indexes.view_index import (
        REBUILD_SHARE,
        build_index,
        drop_index,
        open_index,
        saved_indexes,
    )

    if kind not in list(Kind):
        drop_index(collection, view)
        if kind == EXACT:
            drop(collection.chunks, view.column)
        return []
    index, made = None if anew else open_index(collection, view), []
    newest = next((folder for folder, _ in saved_indexes(collection, view)), None)
    fits = index is not None and (index.facts.kind, index.facts.target_recall) == (kind, wish.target_recall)
    if index is None or not fits or index.folder != newest or index.drift > REBUILD_SHARE:
        index = build_index(collection, view, Kind(kind), target_recall=wish.target_recall, queries=queries)
        made = [f"vector index of view {view.name} ({describe(index)})"]
    elif index.version != index.facts.version:
        index = index.save()
    drop_index(collection, view, keep=index)
    drop(collection.chunks, view.column)
    return made


def describe(index: ViewIndex) -> str:
    """Return what a FAISS index is, in words."""
    facts = index.facts
    return f"FAISS {facts.kind} over {facts.count:,} vectors, recall@10 {facts.recall:.3f}, {facts.seconds:.1f} s"


def has_index(table: Table, column: str) -> bool:
    """Whether LanceDB has an index of ``column``."""
    return index_of(table, column) is not None


def index_of(table: Table, column: str) -> Any:
    """Return what LanceDB says of its index of ``column``, None where it has none."""
    return next((index for index in table.list_indices() if index.columns == [column]), None)


def drop(table: Table, column: str) -> None:
    """Drop LanceDB's index of ``column``, if there is one."""
    found = index_of(table, column)
    if found is not None:
        table.drop_index(found.name)
