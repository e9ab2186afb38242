"""The files of a view's FAISS index: where they lie, what is known of them, writing and deleting them.

COLLECTION/indexes/COLUMN/GENERATION/vectors.f32              unit vectors; later ones are appended
COLLECTION/indexes/COLUMN/GENERATION/VERSION/index.faiss      what FAISS keeps of them
rows.npy         chunk id, checksums, row of each vector
facts.json       written last: kind, settings, recall, table version
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from instructor_search.files import atomic_folder
from instructor_search.store.indexes.faiss import FaissIndex
from instructor_search.store.manifest import View
from instructor_search.store.table import CollectionTable

FORMAT = 1


@dataclass(frozen=True)
class IndexFacts:
    """What is known of a saved index. ``recall`` is of recall@10 against exact search, ``seconds`` of its making."""

    kind: str
    setting: tuple[int, int]
    count: int
    built: int  # of these, that it was trained and tuned with
    dim: int
    version: int  # of the table
    fingerprint: str
    view_created: str
    recall: float
    target_recall: float
    queries: str  # what the recall was measured with
    seconds: float
    created: str
    checksums: tuple[int, int] = (0, 0)  # CRC-32 of index.faiss and rows.npy
    format: int = FORMAT


def column_folder(collection: CollectionTable, view: View) -> Path:
    """Return the folder of all that is saved for ``view``."""
    return collection.folder / "indexes" / view.column


def saved_indexes(collection: CollectionTable, view: View) -> Iterator[tuple[Path, IndexFacts]]:
    """Yield the saved indexes that are of this view, the newest first."""
    saved = []
    for path in column_folder(collection, view).glob("[!.]*/[!.]*/facts.json"):  # others are not finished
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            values = json.loads(path.read_text(encoding="utf-8"))
            facts = IndexFacts(**{**values, **{name: tuple(values[name]) for name in ("setting", "checksums")}})
            if (facts.fingerprint, facts.view_created, facts.dim) == (view.fingerprint, view.created, view.dim):
                saved.append((path.parent.parent.name, facts.version, path.parent, facts))
    for _, _, folder, facts in sorted(saved, key=lambda item: item[:2], reverse=True):
        if facts.format == FORMAT:
            yield folder, facts


def write_index(generation: Path, index: FaissIndex, rows: np.ndarray, facts: IndexFacts) -> tuple[Path, IndexFacts]:
    """Write a version of an index, and return its folder and facts; the folder has its name only when all is there."""
    folder = generation / str(facts.version)
    with atomic_folder(folder, overwrite=True) as part:
        index.save(part / "index.faiss")
        np.save(part / "rows.npy", rows)
        facts = replace(facts, checksums=checksums_of(part))
        (part / "facts.json").write_text(json.dumps(asdict(facts), indent=1), encoding="utf-8")
    return folder, facts


def drop_index(collection: CollectionTable, view: View, *, keep: Path | None = None) -> None:
    """Delete the saved indexes of ``view``, but the one in the folder ``keep``.

    Readers that have one open go on: their files stay mapped.
    """
    folder = column_folder(collection, view)
    for generation in folder.iterdir() if folder.is_dir() else ():
        if keep is None or generation != keep.parent:
            shutil.rmtree(generation, ignore_errors=True)
            continue
        for version in generation.iterdir():
            if version.is_dir() and version != keep:
                shutil.rmtree(version, ignore_errors=True)


def checksums_of(folder: Path) -> tuple[int, int]:
    """Return the CRC-32 of index.faiss and rows.npy; 0 for one that is missing."""
    first, second = (
        zlib.crc32(path.read_bytes()) if path.is_file() else 0 for path in (folder / "index.faiss", folder / "rows.npy")
    )
    return first, second


def mapped_vectors(path: Path, count: int, dim: int) -> np.ndarray:
    """Return the vectors of a file, mapped, float32 (count, dim)."""
    if not count:
        return np.zeros((0, dim), dtype=np.float32)
    return np.memmap(path, dtype=np.float32, mode="r", shape=(count, dim))
