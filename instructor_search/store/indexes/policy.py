"""Which index a view gets, and when. Below the threshold LanceDB's exact scan is fast enough and needs no upkeep.

Above it FAISS is the index where it is installed (10 times as fast as LanceDB's at the same recall), else LanceDB's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

from instructor_search.store.indexes.faiss import MIN_ROWS, Kind
from instructor_search.store.manifest import View
from instructor_search.store.table import CollectionTable

INDEX_THRESHOLD = 20_000  # chunks with a vector; exact search took 105 ms at 100,000 x 384 on one core
AUTO, EXACT, LANCE_HNSW, LANCE_RABITQ = "auto", "exact", "lance-hnsw-sq", "lance-ivf-rq"
CHOICES = (AUTO, EXACT, *map(str, Kind), LANCE_HNSW, LANCE_RABITQ)
_MEMORY_SHARE = 0.1  # of the machine's memory, that codes of 4 bits may take


@dataclass(frozen=True)
class IndexConfig:
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
        if not has_faiss():
            return LANCE_HNSW
        return Kind.IVF_PQ if rows * dim / 4 <= _MEMORY_SHARE * _memory() else Kind.IVF_RABITQ


def has_faiss() -> bool:
    """Whether FAISS is installed."""
    return find_spec("faiss") is not None


def _memory() -> int:
    """Return the machine's memory in bytes."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 8 * 2**30


def index_config(collection: CollectionTable, view: View) -> IndexConfig:
    """Return the index that was asked for ``view``."""
    return IndexConfig(**collection.manifest.indexes.get(view.name, {}))


def index_kind(collection: CollectionTable, view: View) -> str:
    """Return the index that ``view`` is to have, by its size and what was asked for."""
    rows = collection.chunks.count_rows(f"{view.checksum_column} IS NOT NULL")
    return index_config(collection, view).resolve(rows, view.dim)
