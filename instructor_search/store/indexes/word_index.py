"""A saved full-text index (tantivy), opened to be searched, with what has changed in the table since.

    COLLECTION/words/VERSION-TIME/*            tantivy's files
                                  rows.npy     chunk id, checksum, row of each place
                                  facts.json   written last: table version, checksums of the files

As with a view's index, rows are compared when the table has a newer version. What is new or changed is added in a
folder of the reader's own, where the saved files are linked; what is gone is masked. Words are weighed by how often
they occur in all chunks of the index, those that are gone included until it is made anew.
"""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from instructor_search.errors import StoreError
from instructor_search.files import atomic_folder
from instructor_search.store.indexes.linked_folder import is_final, link, linked_folder
from instructor_search.store.indexes.row_batches import NO_ROW, find, rows_where, taken
from instructor_search.store.indexes.word_analysis import (
    ANALYZER,
    FIELD_WEIGHTS,
    PLACE,
    analyzer,
    document,
    within,
    words_query,
)
from instructor_search.store.table import CollectionTable

FORMAT = 1  # another way of making words of a text is another format
_ENTRY = np.dtype([("id", "S32"), ("checksum", "<i8"), ("row", "<u8")])  # ``checksum``: of the fields' texts
COLUMNS = ["id", "content_hash", *FIELD_WEIGHTS]
_GONE = np.uint64(NO_ROW)
ROWS = "rows.npy"
_HEAP = 16 * 2**20  # bytes of words that are collected before they are written
_FEW = 1000  # places that a filter allows, up to which they are part of the query


@dataclass(frozen=True)
class WordFacts:
    """What is known of a saved index. ``checksums``: CRC-32 of its files, by name."""

    version: int  # of the table
    count: int
    checksums: dict[str, int]
    format: int = FORMAT


class WordIndex:
    """A saved index with what has changed since. One thread at a time may use it."""

    def __init__(self, folder: Path, facts: WordFacts, scratch: Path | None = None) -> None:
        """Open the index of ``folder``; use ``open_words``. ``scratch``: see ``linked_folder``.

        Raises:
            StoreError: one of its files is missing, or so damaged that it cannot be opened.
            NoScratchError: there is no temporary folder.
        """
        self.folder, self.facts, self.version = folder, facts, facts.version
        with _clear_errors(f"{folder} cannot be opened"):
            links = linked_folder(folder, (name for name in facts.checksums if name != ROWS), scratch)
            self.entries = np.load(folder / ROWS)
            self._index = tantivy.Index.open(links.name)
            self._index.config_reader("Manual")  # else a thread looks for changes
            self._index.register_tokenizer(ANALYZER, analyzer())
            self._searcher = self._index.searcher()
            if self.entries.dtype != _ENTRY or not len(self.entries) == facts.count == self._searcher.num_docs:
                raise ValueError(f"{len(self.entries)} rows for {self._searcher.num_docs} texts")
            for name in facts.checksums:  # deleted while it was opened: some files would count as empty
                (folder / name).stat()
            self._note_rows()
        self._own = links

    @property
    def num_gone(self) -> int:
        """Places whose chunk is no more in the table, or has other words."""
        return int((self.entries["row"] == _GONE).sum())

    # -- the table's newest version --------------------------------------------------------------------------------

    def sync(self, table: Any, version: int) -> None:
        """Bring the index to what ``table``, held at ``version``, has.

        After an error it must not be used any more.

        Raises:
            StoreError: its files are no more there, as there is a newer index; or cannot be added to.
        """
        if version == self.version:
            return
        rows, known = rows_where(table), self._sorted[self._sorted != _GONE]
        only_new = np.array_equal(rows[: len(known)], known)
        fresh = rows[len(known) :] if only_new else self._compare(table, rows)
        if len(fresh):
            self._add(table, fresh)
        self._note_rows()
        self.version = version

    def _compare(self, table: Any, rows: np.ndarray) -> np.ndarray:
        """Note which of ``rows`` have the chunks that are known, and which are gone; return the rows of others."""
        place = self._places(rows)
        current = np.full(len(self.entries), _GONE)
        current[place[place >= 0]] = rows[place >= 0]
        fresh = self._moved(table, rows[place < 0], current)
        self.entries["row"] = current
        return fresh

    def _moved(self, table: Any, unknown: np.ndarray, current: np.ndarray) -> np.ndarray:
        """Note in ``current`` which of the ``unknown`` rows are known chunks in another place; return the others."""
        gone = self.entries["row"] == _GONE
        lost = np.concatenate([np.flatnonzero((current == _GONE) & ~gone), np.flatnonzero(gone)])  # just now first
        if not len(unknown) or not len(lost):
            return unknown
        entries = np.concatenate([_entries(b) for b in taken(table, unknown, [c for c in COLUMNS if c != "text"])])
        place = find(self.entries["id"][lost], entries["id"], self.entries["checksum"][lost], entries["checksum"])
        current[lost[place[place >= 0]]] = entries["row"][place >= 0]
        return entries["row"][place < 0]

    def _add(self, table: Any, rows: np.ndarray) -> None:
        with _clear_errors(f"{self.folder} cannot be added to"):
            writer = self._index.writer(_HEAP, 1)
            fresh = add_words(writer, taken(table, rows, COLUMNS), len(self.entries))
            self._index.reload()
            self._searcher = self._index.searcher()
        self.entries = np.concatenate([self.entries, fresh])

    def _note_rows(self) -> None:
        rows = self.entries["row"]
        self._order = np.argsort(rows, kind="stable")
        self._sorted = rows[self._order]
        self._there = rows != _GONE if self.num_gone else None  # None: all are

    def _places(self, rows: np.ndarray) -> np.ndarray:
        """Return the places of table rows; -1 for those that the index lacks."""
        if not len(self._sorted):
            return np.full(len(rows), -1)
        at = np.minimum(np.searchsorted(self._sorted, rows), len(self._sorted) - 1)
        return np.where(self._sorted[at] == rows, self._order[at], -1)

    # -- searching -------------------------------------------------------------------------------------------------

    def search(self, text: str, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return BM25 scores and entries of the ``k`` chunks, at most, that share words with ``text``, best first.

        ``allowed``: table rows, any others are not found. BM25: Robertson and Zaragoza, "The Probabilistic Relevance
        Framework" (2009), with k1 = 1.2 and b = 0.75, a sum over the fields of ``FIELD_WEIGHTS``.

        Raises:
            StoreError: the index is damaged.
        """
        query, among = words_query(text), self._there
        if allowed is not None:
            places = self._places(allowed)
            places = places[places >= 0]
            if len(places) <= _FEW:
                query, among = within(query, places.tolist()), None
            else:
                among = np.zeros(len(self.entries), dtype=bool)
                among[places] = True
        limit = k if among is None else int(1.5 * k / max(float(among.mean()), 1e-6))
        while True:
            scores, places = self._best(query, min(limit, len(self.entries)))
            done = len(places) < limit
            if among is not None:
                scores, places = scores[among[places]], places[among[places]]
            if done or len(places) >= k:
                return scores[:k], self.entries[places[:k]]
            limit *= 4

    def _best(self, query: tantivy.Query, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and places of the best ``limit`` chunks, gone or not."""
        with _clear_errors(f"{self.folder} cannot be searched"):
            hits = self._searcher.search(query, limit, count=False).hits if limit else []
            places = self._searcher.fast_field_values(PLACE, [address for _, address in hits]) if hits else []
        return np.array([score for score, _ in hits], np.float64), np.array(places, np.int64)

    # -- keeping ---------------------------------------------------------------------------------------------------

    def save(self, collection: CollectionTable) -> Path:
        """Write the index with all that has changed, and return its folder; under the writer's lock."""

        def fill(part: Path) -> None:
            for path in Path(self._own.name).iterdir():
                if path.suffix != ".lock":
                    link(path.resolve(), part / path.name)
            np.save(part / ROWS, self.entries)

        return write_index(collection, self.version, len(self.entries), fill, self.facts.checksums)


def damaged_files(index: WordIndex) -> list[str]:
    """Return the names of files of a saved index that are not what was written.

    Raises:
        FileNotFoundError: they are no more there.
    """
    return [name for name, known in index.facts.checksums.items() if _checksum(index.folder / name) != known]


def words_folder(collection: CollectionTable) -> Path:
    """Return the folder of all that is saved."""
    return collection.folder / "words"


def add_words(writer: Any, parts: Iterator[Any], first: int) -> np.ndarray:
    """Add the chunks of record batches to an index from place ``first`` on; return their entries."""
    entries = [np.zeros(0, _ENTRY)]
    for batch in parts:
        columns = {name: batch[name].to_pylist() for name in FIELD_WEIGHTS}
        for number in range(batch.num_rows):
            writer.add_document(document(first + number, {name: texts[number] for name, texts in columns.items()}))
        entries.append(_entries(batch))
        first += batch.num_rows
    writer.commit()
    writer.wait_merging_threads()
    return np.concatenate(entries)


def _entries(batch: Any) -> np.ndarray:
    entries = np.zeros(batch.num_rows, dtype=_ENTRY)
    entries["id"] = batch["id"].to_pylist()
    texts = zip(*(batch[name].to_pylist() for name in ("content_hash", "title", "heading")), strict=True)
    entries["checksum"] = [
        zlib.crc32("\0".join(t or "" for t in fields).encode("utf-8", "surrogatepass")) for fields in texts
    ]
    entries["row"] = batch["_rowid"].to_numpy()
    return entries


def write_index(collection: CollectionTable, version: int, count: int, fill: Any, known: dict[str, int]) -> Path:
    """Have ``fill`` write an index's files, and return their folder, which has its name only when all is there.

    ``known``: checksums of files that are links to those of an earlier one.

    Raises:
        StoreError: it cannot be written, as on a full disk.
    """
    folder = words_folder(collection) / f"{version}-{time.time_ns():x}"
    what = f"the full-text index cannot be written to {folder.parent}"
    with _clear_errors(what), atomic_folder(folder) as part:
        fill(part)
        for lock in part.glob("*.lock"):
            lock.unlink()
        names = sorted(path.name for path in part.iterdir())
        sums = {n: known[n] if n in known and is_final(n) else _checksum(part / n) for n in names}
        word_facts = WordFacts(version, count, sums)
        (part / "facts.json").write_text(json.dumps(asdict(word_facts), indent=1), encoding="utf-8")
    return folder


@contextlib.contextmanager
def _clear_errors(what: str) -> Iterator[None]:
    """Turn whatever tantivy raises, panics of its Rust code included, and errors of files into a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise StoreError(f"{what} ({' '.join(str(error).split())[:200]})") from error


def _checksum(path: Path) -> int:
    total = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            total = zlib.crc32(block, total)
    return total
