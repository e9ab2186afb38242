"""The full-text index of a collection: makes it, keeps its files up to date with the table, opens and checks it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from instructor_search.errors import StoreError
from instructor_search.store.indexes.linked_folder import NoScratchError
from instructor_search.store.indexes.protocol import Findings
from instructor_search.store.indexes.row_batches import batches
from instructor_search.store.indexes.word_analysis import ANALYZER, analyzer, schema
from instructor_search.store.indexes.word_index import (
    COLUMNS,
    FORMAT,
    ROWS,
    WordFacts,
    WordIndex,
    add_words,
    damaged_files,
    words_folder,
    write_index,
)
from instructor_search.store.table import CollectionTable

REBUILD_SHARE = 0.2  # of places whose chunk is gone, from which an index is made anew
_HEAP = 128 * 2**20  # bytes of words that are collected before they are written


class FullText:
    """The full-text index, as an ``Index``."""

    def __init__(self, collection: CollectionTable) -> None:
        """Nothing is read yet."""
        self._collection = collection

    def open(self) -> WordIndex | None:
        """Return the newest whole one, as it was saved."""
        return open_words(self._collection)

    def sync(self) -> list[str]:
        """Make it or bring its files up to date; a collection without chunks has none."""
        return ensure_words(self._collection)

    def drop(self) -> None:
        """Delete all that is saved of it."""
        drop_words(self._collection)

    def verify(self) -> Findings:
        """Compare its files with their checksums."""
        try:
            index = self.open()
            saved = [folder.name for folder, _ in saved_words(self._collection)]
            damaged = damaged_files(index) if index is not None else saved
        except FileNotFoundError:  # a writer has saved another just now
            return Findings(notes=("the full-text index was not looked at: it was written meanwhile",))
        if damaged:
            return Findings(
                (f"the full-text index is not what was written ({damaged[0]}): python -m instructor_search maintain",)
            )
        is_missing = not saved and self._collection.num_chunks()
        return Findings(notes=("there is no full-text index yet; the next ingest makes it",) if is_missing else ())


def open_words(collection: CollectionTable, scratch: Path | None = None) -> WordIndex | None:
    """Return the newest whole index, as it was saved; None where there is none that can be used.

    ``scratch``: where it keeps what it adds; None: where the system has its temporary files.

    Raises:
        NoScratchError: there is no temporary folder.
    """
    for _ in range(2):  # a writer may delete one while it is opened: then there is a newer one
        for folder, facts in saved_words(collection):
            try:
                return WordIndex(folder, facts, scratch)
            except NoScratchError:
                raise
            except StoreError:
                continue
    return None


def ensure_words(collection: CollectionTable) -> list[str]:
    """Make the index or bring its files up to date, under the writer's lock; return what was made, in words.

    A damaged one is made anew, as is one of whose places a fifth is gone.
    """
    table = collection.open_chunks()
    version = collection.chunks.version
    table.checkout(version)
    if not table.count_rows():
        drop_words(collection)
        return []
    index, lines = _synced(collection, table, version), []
    if index is None or index.num_gone > REBUILD_SHARE * len(index.entries):
        folder, lines = build_words(collection, table, version), ["full-text index"]
    else:
        folder = index.save(collection) if index.version != index.facts.version else index.folder
    drop_words(collection, keep=folder)
    return lines


def _synced(collection: CollectionTable, table: Any, version: int) -> WordIndex | None:
    """Return the saved index, up to date; None where there is none that is as it was written."""
    with contextlib.suppress(StoreError, OSError):
        index = open_words(collection, scratch=words_folder(collection)) if any(saved_words(collection)) else None
        if index is not None and not damaged_files(index):  # merged into others they would pass for sound
            index.sync(table, version)
            return index
    return None


def build_words(collection: CollectionTable, table: Any, version: int) -> Path:
    """Make the index anew of all rows of ``table``, which is held at ``version``, and return its folder."""

    def fill(part: Path) -> None:
        index = tantivy.Index(schema(), path=str(part))
        index.register_tokenizer(ANALYZER, analyzer())
        np.save(part / ROWS, add_words(index.writer(_HEAP, 1), batches(table, COLUMNS), 0))

    return write_index(collection, version, table.count_rows(), fill, {})


def drop_words(collection: CollectionTable, *, keep: Path | None = None) -> None:
    """Delete the saved indexes, but ``keep``. Readers that have one open go on: their files stay mapped."""
    folder = words_folder(collection)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)


def saved_words(collection: CollectionTable) -> Iterator[tuple[Path, WordFacts]]:
    """Yield the saved indexes, the newest first."""
    saved = []
    for path in words_folder(collection).glob("[!.]*/facts.json"):  # others are not finished
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            facts = WordFacts(**json.loads(path.read_text(encoding="utf-8")))
            if facts.format == FORMAT:
                saved.append((facts.version, path.parent, facts))
    for _, folder, facts in sorted(saved, key=lambda item: item[:2], reverse=True):
        yield folder, facts
