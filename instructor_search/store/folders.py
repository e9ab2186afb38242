"""Where collections lie. Nothing here opens a collection: it costs no import of the store."""

from __future__ import annotations

import os
import re
from pathlib import Path

from instructor_search.errors import CollectionNotFoundError

DEFAULT_STORE = "instructor_store"
COLLECTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
NAME_RULE = "letters (A-Z, a-z), digits, '.', '_' or '-', a letter or digit first, 64 at most"


def store_folder(store: str | Path | None = None) -> Path:
    """Return the folder of all collections: the argument, INSTRUCTOR_SEARCH_STORE, or ./instructor_store."""
    return Path(store or os.environ.get("INSTRUCTOR_SEARCH_STORE") or DEFAULT_STORE).expanduser()


def list_collections(store: str | Path | None = None) -> list[str]:
    """Return the names of the collections in a store."""
    folder = store_folder(store)
    names = (path.parent.name for path in folder.glob("*/manifest.json")) if folder.is_dir() else ()
    return sorted(name for name in names if COLLECTION_NAME.fullmatch(name))


def find_collection(name: str | None, store: str | Path | None = None) -> Path:
    """Return the folder of a collection; None is the only one in the store.

    Raises:
        CollectionNotFoundError: there is none of that name, or none or several to choose from.
    """
    folder, names = store_folder(store), list_collections(store)
    if name is not None:
        if not COLLECTION_NAME.fullmatch(name) or not (folder / name).is_dir():
            known = ", ".join(names) or "none yet; make one: python -m ingest FOLDER --instruction"
            raise CollectionNotFoundError(f"no collection {name!r} in {folder}; there is: {known}")
        return folder / name
    if len(names) == 1:
        return folder / names[0]
    if not names:
        raise CollectionNotFoundError(f"no collections in {folder}; make one: python -m ingest FOLDER --instruction")
    raise CollectionNotFoundError(f"which collection? --collection NAME; there is: {', '.join(names)}")
