"""Makes the folder of a new collection: its two empty tables and its manifest, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from instructor_search.errors import StoreError
from instructor_search.files import atomic_folder, remove_gone, remove_parts
from instructor_search.store._lancedb import lancedb
from instructor_search.store.folders import COLLECTION_NAME, NAME_RULE, store_folder
from instructor_search.store.manifest import Manifest, write_manifest
from instructor_search.store.schema import create_tables


def make_folder(manifest: Manifest, store: str | Path | None = None) -> Path:
    """Make the folder of the collection that ``manifest`` describes, and return it.

    What killed processes left of making it, and of deleting others, is deleted first.

    Raises:
        StoreError: the name is not allowed or taken.
    """
    name = manifest.name
    if not COLLECTION_NAME.fullmatch(name):
        raise StoreError(f"collection name {name!r}; expected {NAME_RULE}")
    folder = store_folder(store) / name
    if folder.exists():
        raise StoreError(f"collection {name!r} exists in {store_folder(store)}")
    remove_parts(folder)
    remove_gone(folder.parent)
    try:
        with atomic_folder(folder) as part:
            create_tables(lancedb.connect(str(part)))
            write_manifest(part, manifest)
    except OSError:
        if not folder.exists():
            raise
        raise StoreError(f"collection {name!r} was made by another process just now; run again") from None
    return folder
