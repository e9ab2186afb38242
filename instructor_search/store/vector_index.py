"""Which index a table gets, and when. Below the threshold LanceDB's exact scan is fast enough and needs no upkeep."""

from __future__ import annotations

from instructor_search.store.lancedb_lightly import FTS, HnswSq, Table
from instructor_search.store.manifest import View

INDEX_THRESHOLD = 20_000  # chunks with a vector; exact search took 105 ms at 100,000 x 384 on one core
_PARTITION_ROWS = 100_000
_EF_CONSTRUCTION = 150


def ensure_text_index(table: Table) -> list[str]:
    """Make the full-text index on ``text`` where it is missing; rows added later are found without it being renewed."""
    if any(index.columns == ["text"] for index in table.list_indices()) or not table.count_rows():
        return []
    table.create_index("text", config=FTS(stem=True, remove_stop_words=True, ascii_folding=True))
    return ["full-text index"]


def ensure_vector_index(table: Table, view: View, threshold: int = INDEX_THRESHOLD) -> list[str]:
    """Make the vector index of ``view`` once it has more than ``threshold`` vectors."""
    if has_vector_index(table, view.column):
        return []
    rows = table.count_rows(f"{view.column} IS NOT NULL")
    if rows <= threshold:
        return []
    partitions = max(1, rows // _PARTITION_ROWS)
    config = HnswSq(distance_type="cosine", num_partitions=partitions, ef_construction=_EF_CONSTRUCTION)
    table.create_index(view.column, config=config)
    return [f"vector index of view {view.name} (IVF_HNSW_SQ over {rows:,} vectors)"]


def has_vector_index(table: Table, column: str) -> bool:
    """Whether ``column`` has an index."""
    return any(index.columns == [column] for index in table.list_indices())


def drop(table: Table, column: str) -> None:
    """Drop the index of ``column``, if there is one."""
    for index in table.list_indices():
        if index.columns == [column]:
            table.drop_index(index.name)
