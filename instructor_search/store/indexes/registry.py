"""All indexes that a collection may have: the one place to add another."""

from __future__ import annotations

from collections.abc import Iterable

from instructor_search.store.indexes.faiss_views import FaissOfView
from instructor_search.store.indexes.fulltext import FullText
from instructor_search.store.indexes.hit_cache import HitCache
from instructor_search.store.indexes.lance import FilterIndexes, LanceIndex
from instructor_search.store.indexes.protocol import Index
from instructor_search.store.manifest import View
from instructor_search.store.table import CollectionTable


def indexes_in_table(collection: CollectionTable, views: Iterable[View]) -> list[Index]:
    """Return LanceDB's own, which it brings up to date when it compacts the table."""
    return [FilterIndexes(collection), *(LanceIndex(collection, view) for view in views)]


def indexes_beside(collection: CollectionTable, views: Iterable[View]) -> list[Index]:
    """Return those in files of ours. They are of a version of the table, and rows move when it is compacted."""
    return [FullText(collection), *(FaissOfView(collection, view) for view in views), HitCache(collection)]


def indexes_of_view(collection: CollectionTable, view: View) -> list[Index]:
    """Return those of the vectors of ``view``."""
    return [LanceIndex(collection, view), FaissOfView(collection, view)]
