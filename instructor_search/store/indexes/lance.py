"""LanceDB's own indexes: of columns that filters name, and of a view's vectors where FAISS is not used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instructor_search.store._lancedb import Bitmap, BTree, HnswSq, IvfRq, Table
from instructor_search.store.indexes import policy
from instructor_search.store.indexes.policy import LANCE_HNSW, LANCE_RABITQ
from instructor_search.store.indexes.protocol import Findings
from instructor_search.store.indexes.word_analysis import FIELD_WEIGHTS
from instructor_search.store.manifest import View
from instructor_search.store.table import CollectionTable

if TYPE_CHECKING:
    from lancedb.index import IndexConfig

FILTER_INDEXES: dict[str, Any] = {"source": BTree, "mime": Bitmap, "mtime": BTree}  # without one a filter is a scan
_PARTITION_ROWS = 100_000
_EF_CONSTRUCTION = 150


def ensure_filter_indexes(table: Table) -> list[str]:
    """Make the indexes of columns that filters name, once a scan takes long; rows added later are found without."""
    if table.count_rows() <= policy.INDEX_THRESHOLD:
        return []
    columns = []
    for column, kind in FILTER_INDEXES.items():
        if index_of(table, column) is None:
            table.create_index(column, config=kind())
            columns.append(column)
    return [f"filter indexes of {', '.join(columns)}"] if columns else []


def ensure_lance_index(table: Table, view: View, kind: str) -> list[str]:
    """Make LanceDB's own index of ``view``, if that is what ``kind`` says."""
    present = index_of(table, view.column)
    rows = table.count_rows(f"{view.checksum_column} IS NOT NULL")
    if kind not in (LANCE_HNSW, LANCE_RABITQ):
        return []
    index_type = {LANCE_HNSW: "IvfHnswSq", LANCE_RABITQ: "IvfRq"}[kind]
    if (present is not None and str(present.index_type) == index_type) or not rows:
        return []
    partitions = max(1, rows // _PARTITION_ROWS)
    config: Any = HnswSq(distance_type="cosine", num_partitions=partitions, ef_construction=_EF_CONSTRUCTION)
    if kind == LANCE_RABITQ:
        config = IvfRq(distance_type="cosine", num_partitions=max(1, rows // 1000))
    table.create_index(view.column, config=config, replace=True)
    hint = "" if policy.has_faiss() else "; FAISS is faster: pip install '.[faiss-cpu]' or '.[faiss-gpu]'"
    return [f"vector index of view {view.name} ({kind} over {rows:,} vectors{hint})"]


def has_index(table: Table, column: str) -> bool:
    """Whether LanceDB has an index of ``column``."""
    return index_of(table, column) is not None


def index_of(table: Table, column: str) -> IndexConfig | None:
    """Return what LanceDB says of its index of ``column``, None where it has none."""
    return next((index for index in table.list_indices() if index.columns == [column]), None)


def drop(table: Table, column: str) -> None:
    """Drop LanceDB's index of ``column``, if there is one."""
    index = index_of(table, column)
    if index is not None:
        table.drop_index(index.name)


class FilterIndexes:
    """The indexes of columns that filters name, as an ``Index``."""

    def __init__(self, collection: CollectionTable) -> None:
        """Nothing is read yet."""
        self._table = collection.chunks

    def open(self) -> None:
        """Return None: LanceDB uses them by itself."""

    def sync(self) -> list[str]:
        """Make those that are due; LanceDB brings them up to date when it compacts."""
        for field in FIELD_WEIGHTS:
            drop(self._table, field)  # LanceDB's own full-text index, which collections had before
        return ensure_filter_indexes(self._table)

    def drop(self) -> None:
        """Delete them."""
        for column in FILTER_INDEXES:
            drop(self._table, column)

    def verify(self) -> Findings:
        """Return nothing: they are of the table, and not looked at."""
        return Findings()


class LanceIndex:
    """LanceDB's index of a view's vectors, as an ``Index``."""

    def __init__(self, collection: CollectionTable, view: View) -> None:
        """Nothing is read yet."""
        self._collection, self._view = collection, view

    def open(self) -> IndexConfig | None:
        """Return what LanceDB says of it, None where there is none; it uses it by itself."""
        return index_of(self._collection.chunks, self._view.column)

    def sync(self) -> list[str]:
        """Make it if it is due; LanceDB brings it up to date when it compacts."""
        kind = policy.index_kind(self._collection, self._view)
        return ensure_lance_index(self._collection.chunks, self._view, kind)

    def drop(self) -> None:
        """Delete it."""
        drop(self._collection.chunks, self._view.column)

    def verify(self) -> Findings:
        """Return nothing: it is of the table, and not looked at."""
        return Findings()
