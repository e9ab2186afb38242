"""Upkeep of a collection: old versions and small files go, and what was built from the table follows it.

All functions here write: call them under ``collection.writing()``.
"""

from __future__ import annotations

from datetime import timedelta

from instructor_search.errors import StoreError
from instructor_search.store.indexes.registry import indexes_beside, indexes_in_table, indexes_of_view
from instructor_search.store.store_errors import clear_errors
from instructor_search.store.table import CollectionTable

RETENTION = timedelta(hours=1)  # versions younger than this stay: open readers may still use them


@clear_errors
def maintain(collection: CollectionTable) -> list[str]:
    """Compact, bring the indexes up to date and make those that are due; return what was made, in words.

    Raises:
        StoreError: the table or an index cannot be read or written.
    """
    views = list(collection.manifest.views.values())
    lines = [line for index in indexes_in_table(collection, views) for line in index.sync()]
    _compact(collection)
    return lines + [line for index in indexes_beside(collection, views) for line in index.sync()]


def _compact(collection: CollectionTable) -> None:
    """Merge small files and delete versions that no open reader uses any more."""
    collection.chunks.optimize(cleanup_older_than=RETENTION)
    collection.sources_table.optimize(cleanup_older_than=RETENTION)


@clear_errors
def drop_view(collection: CollectionTable, name: str) -> None:
    """Remove a view with its vectors and indexes.

    Raises:
        StoreError: unknown, or the only one.
    """
    view = collection.view(name)
    if len(collection.manifest.views) == 1:
        raise StoreError(f"{name!r} is the only view of {collection.name!r}; delete the collection instead")
    collection.save_manifest(collection.manifest.without_view(name))
    for index in indexes_of_view(collection, view):
        index.drop()
    collection.chunks.drop_columns([view.column, view.checksum_column])
