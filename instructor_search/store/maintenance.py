"""Upkeep of a collection: old versions and small files go, and what was built from the table follows it.

All functions but ``index_wish`` and ``index_kind`` write: call them under ``collection.writing()``.
"""

from __future__ import annotations

from datetime import timedelta

from instructor_search.errors import MissingExtraError, StoreError
from instructor_search.store.collection import Collection
from instructor_search.store.failures import clear_errors
from instructor_search.store.indexes import fulltext, hit_cache, policy, view_index
from instructor_search.store.manifest import View

RETENTION = timedelta(hours=1)  # versions younger than this stay: open readers may still use them


@clear_errors
def maintain(collection: Collection) -> list[str]:
    """Compact, bring the indexes up to date and make those that are due; return what was made, in words.

    Raises:
        StoreError: the table or an index cannot be read or written.
    """
    for field in fulltext.FIELD_WEIGHTS:
        policy.drop(collection.chunks, field)  # LanceDB's own full-text index, which collections had before
    made = policy.ensure_filter_indexes(collection.chunks)
    views = list(collection.manifest.views.values())
    kinds = {view.name: index_kind(collection, view) for view in views}
    for view in views:
        made += policy.ensure_lance_index(collection.chunks, view, kinds[view.name])
    _compact(collection)
    made += fulltext.ensure_words(collection)
    for view in views:  # last: they are of a version, and rows move when files are compacted
        made += _follow_table(collection, view, kinds[view.name])
    hit_cache.ensure_copy(collection, policy.INDEX_THRESHOLD)
    return made


def _compact(collection: Collection) -> None:
    """Merge small files and delete versions that no open reader uses any more."""
    collection.chunks.optimize(cleanup_older_than=RETENTION)
    collection.sources_table.optimize(cleanup_older_than=RETENTION)


def _follow_table(collection: Collection, view: View, kind: str) -> list[str]:
    """Bring the FAISS index of ``view`` to the table's version; without FAISS it stays, and the words say so."""
    try:
        return policy.ensure_faiss_index(collection, view, index_wish(collection, view), kind)
    except MissingExtraError as error:
        return [f"the index of view {view.name} was not brought up to date: {error}"]


def index_wish(collection: Collection, view: View) -> policy.Wish:
    """Return the index that was asked for ``view``."""
    return policy.Wish(**collection.manifest.indexes.get(view.name, {}))


def index_kind(collection: Collection, view: View) -> str:
    """Return the index that ``view`` is to have, by its size and what was asked for."""
    rows = collection.chunks.count_rows(f"{view.checksum_column} IS NOT NULL")
    return index_wish(collection, view).resolve(rows, view.dim)


@clear_errors
def drop_view(collection: Collection, name: str) -> None:
    """Remove a view with its vectors and indexes.

    Raises:
        StoreError: unknown, or the only one.
    """
    view = collection.view(name)
    if len(collection.manifest.views) == 1:
        raise StoreError(f"{name!r} is the only view of {collection.name!r}; delete the collection instead")
    collection.save_manifest(collection.manifest.without_view(name))
    policy.drop(collection.chunks, view.column)
    view_index.drop_index(collection, view)
    collection.chunks.drop_columns([view.column, view.checksum_column])
