"""What one run of ingest is asked to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from instructor_search.errors import ReaderError


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """One run. ``instruction`` None: bring every view up to date, or plain embedding for a new collection."""

    paths: tuple[Path, ...]
    collection: str | None = None
    store: str | None = None
    instruction: str | None = None
    view: str | None = None
    new_view_name: str | None = None  # for a view that has to be made, if ``view`` does not name it
    model: str | None = None
    dialect: str | None = None
    device: str | None = None
    runtime: str | None = None
    precision: str | None = None
    allow_pickle: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    text_fields: tuple[str, ...] = ()
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None
    prune: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without opening anything."""
        missing = [str(p) for p in self.paths if not p.exists()]
        if not self.paths or (missing and not self.prune):  # what is gone may be named to prune it
            what = f"no such file or folder: {', '.join(missing)}" if missing else "no file or folder was given"
            raise ReaderError(f"{what}; expected: python -m ingest FOLDER --instruction")

    @property
    def collection_name(self) -> str:
        """The name asked for, or one made of the first folder's name."""
        first = self.paths[0].resolve()
        is_file = first.is_file() or (not first.exists() and bool(first.suffix))  # gone: its name tells
        folder = first.parent.name if is_file else first.name
        return self.collection or re.sub(r"[^A-Za-z0-9_.-]+", "-", folder).strip("-._")[:64] or "collection"
