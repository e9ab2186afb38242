"""What is new, changed, touched, unchanged or gone since the last run: by size and time first, then by content."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection as Contained
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.cutting import Cutting, Seconds, SourceFile
from ingest.discovery import SkippedPath
from ingest.readers import is_table
from ingest.source_names import SourceNames
from instructor_search.errors import ReaderError
from instructor_search.files import file_hash
from instructor_search.store.schema import SourceRecord

if TYPE_CHECKING:
    from ingest.config import IngestConfig
    from ingest.target import Target


@dataclass
class Changes:
    """The files of a run, by what has to be done with them."""

    names: SourceNames
    to_read: list[SourceFile] = field(default_factory=list)
    touched: list[SourceRecord] = field(default_factory=list)  # the same content at another time
    unchanged: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (source, reason)
    failed: list[tuple[Path, str, str]] = field(default_factory=list)  # (path, source, reason)
    gone: list[str] = field(default_factory=list)  # stored sources whose file is no longer there
    seconds: Seconds = field(default_factory=Seconds)  # spent on looking at files


def find_changes(
    config: IngestConfig, found: Sequence[Path | SkippedPath], target: Target, cutting: Cutting
) -> Changes:
    """Return what has to be done with the files that were found, and with those that are gone.

    Raises:
        ReaderError: a path of the configuration is not there and nothing is stored of it, or (``strict``) a file
            cannot be looked at.
        StoreError: another folder of the same name is stored.
    """
    existing = target.existing
    names = SourceNames(existing.manifest.source_names if existing else {}, config.paths, target.name)
    known = existing.sources() if existing else {}
    stored = set(known) | existing.sources_with_rows() if existing else set()
    below = names.below(config.paths, stored)
    sources = {path: names.source_of(path) for path in found if isinstance(path, Path)}
    changes = Changes(names)
    for path in found:
        if isinstance(path, SkippedPath):
            _pass_over(path, changes)
        else:
            _look_at(path, sources[path], known, stored, cutting, changes)
    if config.strict and changes.failed:
        path, _, reason = changes.failed[0]
        raise strict_refusal(path, reason)
    closed = [f.path for f in found if isinstance(f, SkippedPath) and f.failed]
    changes.gone = sorted(source for source, path in below.items() if _is_gone(path, closed))
    return changes


def strict_refusal(path: Path, reason: object) -> ReaderError:
    """Return what ends a run with ``--strict`` at a file that cannot be read."""
    return ReaderError(f"{path}: {reason} (--strict stops at the first such file)")


def _pass_over(path: SkippedPath, changes: Changes) -> None:
    if path.failed:
        changes.failed.append((path.path, str(path), path.reason))
    else:
        changes.skipped.append((str(path), path.reason))


def _look_at(
    path: Path,
    source: str,
    known: Mapping[str, SourceRecord],
    stored: Contained[str],
    cutting: Cutting,
    changes: Changes,
) -> None:
    """Sort a file by what it was. ``known``: sources whose chunks are all stored; ``stored``: that have any chunks."""
    if cutting.options.examples and not is_table(path):
        changes.skipped.append((source, "not a table, whose rows could be examples"))
        return
    old = known.get(source)
    try:
        with changes.seconds.timed("reading"):
            file = _looked_at(path, source, old, cutting.hash_for(path))
    except OSError as error:
        changes.failed.append((path, source, error.strerror or str(error)))
        return
    _sort(file, old, source in stored, changes)


def _looked_at(path: Path, source: str, old: SourceRecord | None, options: str) -> SourceFile:
    """Return a file as it is now; its content is hashed where size, time or options differ from what is known."""
    state = state_of(path)
    size, mtime_ns = state[:2]
    same = old is not None and (old.size, old.mtime_ns, old.options) == (size, mtime_ns, options)
    digest = old.hash if same and old else file_hash(path)
    return SourceFile(path, SourceRecord(source, size, mtime_ns, digest, options), old is not None, state)


def _sort(file: SourceFile, old: SourceRecord | None, has_chunks: bool, changes: Changes) -> None:
    record = file.record
    if old and (old.hash, old.options) == (record.hash, record.options):
        changes.unchanged += 1
        if (old.size, old.mtime_ns) != (record.size, record.mtime_ns):
            changes.touched.append(replace(record, num_documents=old.num_documents, num_chunks=old.num_chunks))
    elif record.size == 0 and old is None and not has_chunks:
        changes.skipped.append((record.source, "empty file"))
    else:
        changes.to_read.append(file)


def _is_gone(path: Path, closed: Sequence[Path]) -> bool:
    """Whether nothing is at ``path``; what lies in a folder that cannot be looked into is not known to be gone."""
    if any(folder == path or folder in path.parents for folder in closed):
        return False
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)  # a folder or a link in a file's place is another thing
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def state_of(path: Path) -> tuple[int, ...]:
    """Return size, times and number of a file: another state tells that it was changed.

    Raises:
        OSError: there is no such file.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
