"""What made a collection: its views (encoder, instruction, dim, metric), chunking, source names and metadata fields.

Kept as ``manifest.json`` beside the table, written last and by rename, so that it never names what is not there.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from instructor_search.errors import StoreError
from instructor_search.files import write_at_once

FORMAT_VERSION = 2  # 1: source_names were called roots
DEFAULT_VIEW = "default"


@dataclass(frozen=True)
class View:
    """One vector column. ``fingerprint`` names the vector space; ``model`` is what to load to search it."""

    name: str
    column: str
    model: str
    fingerprint: str
    dialect: str
    max_tokens: int
    dim: int
    document_instruction: str
    runtime: str
    precision: str
    created: str
    metric: str = "cosine"
    allow_pickle: bool = False

    @property
    def checksum_column(self) -> str:
        """Column that holds the CRC-32 of each vector's bytes."""
        return self.column.replace("vector_", "checksum_", 1)


RENAMED = {"roots": "source_names"}  # keys of earlier versions; the next write has today's


@dataclass(frozen=True)
class Manifest:
    """The facts of a collection."""

    name: str
    created: str
    chunk_tokens: int
    chunk_overlap: int
    views: dict[str, View] = field(default_factory=dict)
    source_names: dict[str, str] = field(default_factory=dict)  # first part of a source -> folder it was read from
    text_fields: list[str] = field(default_factory=list)  # columns that make the text of a table's row
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)  # view -> the index that was asked for
    fields: dict[str, str] = field(default_factory=dict)  # metadata field -> "string", "number", "bool" or "mixed"
    examples: dict[str, str] = field(default_factory=dict)  # of an example pool: columns that it is read from
    format_version: int = FORMAT_VERSION

    def view(self, name: str | None = None) -> View:
        """Return the view called ``name``; None is "default", or the only one.

        Raises:
            StoreError: there is no such view; the message lists those that there are.
        """
        chosen = name or (next(iter(self.views)) if len(self.views) == 1 else DEFAULT_VIEW)
        if chosen not in self.views:
            known = ", ".join(self.views) or "none"
            raise StoreError(f"collection {self.name!r} has no view {chosen!r}; there is: {known}")
        return self.views[chosen]

    def free_column(self, name: str) -> str:
        """Return a column for a view called ``name`` that no other view has ("a b" and "a-b" would read the same)."""
        taken = {view.column for view in self.views.values()}
        slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "view"
        base = column = f"vector_{slug}"
        number = 2
        while column in taken:
            column, number = f"{base}_{number}", number + 1
        return column

    def with_view(self, view: View) -> Manifest:
        """Return this manifest with ``view`` added or replaced."""
        return replace(self, views={**self.views, view.name: view})

    def without_view(self, name: str) -> Manifest:
        """Return this manifest without the view called ``name``."""
        views = {k: v for k, v in self.views.items() if k != name}
        return replace(self, views=views, indexes={k: v for k, v in self.indexes.items() if k != name})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` of a collection's folder at once or not at all."""
    write_at_once(folder / "manifest.json", json.dumps(asdict(manifest), indent=2, ensure_ascii=False))


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a collection's folder.

    Raises:
        StoreError: it is missing, damaged, or written by a newer version.
    """
    path = folder / "manifest.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values["format_version"]
        if version > FORMAT_VERSION:
            raise StoreError(f"{path} has format {version}, this version reads up to {FORMAT_VERSION}; upgrade it")
        values = {
            RENAMED.get(key, key): value for key, value in values.items()
        }  # nobody has to do anything: no warning
        values["format_version"] = FORMAT_VERSION
        views = {name: View(**view) for name, view in values.pop("views").items()}
        return Manifest(views=views, **values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path} is damaged ({type(error).__name__}: {str(error)[:120]}); restore it from a backup, or delete the "
            f"collection (python -m instructor_search delete --collection {folder.name} --yes) and ingest again"
        ) from error


def infer_field_types(metadata: list[dict[str, Any]], known: dict[str, str]) -> dict[str, str]:
    """Return ``known`` with the fields of ``metadata`` added; a field of several types becomes "mixed"."""
    fields = dict(known)
    for row in metadata:
        for name, value in row.items():
            kind = _kind(value)
            if kind and fields.setdefault(name, kind) != kind:
                fields[name] = "mixed"
    return fields


def _kind(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else "string"
