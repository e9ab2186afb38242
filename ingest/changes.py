"""What is new, changed, touched, unchanged or gone since the last run: by size and time first, then by content."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection as Contained
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingest.cutting import Cutting, Seconds, SourceFile
from ingest.discovery import SkippedPath
from ingest.readers import is_table
from ingest.roots import Roots
from instructor_search.files import file_hash
from instructor_search.store.schema import SourceRecord


@dataclass
class Changes:
    """The files of a run, by what has to be done with them."""

    to_read: list[SourceFile] = field(default_factory=list)
    touched: list[SourceRecord] = field(default_factory=list)  # the same content at another time
    unchanged: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (source, reason)
    failed: list[tuple[Path, str, str]] = field(default_factory=list)  # (path, source, reason)
    gone: list[str] = field(default_factory=list)  # stored sources whose file is no longer there


def find_changes(
    found: Sequence[Path | SkippedPath],
    known: Mapping[str, SourceRecord],
    stored: Contained[str],
    roots: Roots,
    cutting: Cutting,
    seconds: Seconds,
) -> Changes:
    """Return what has to be done with the files that were found.

    ``known``: sources whose chunks are all stored; ``stored``: sources that have any chunks.
    """
    changes = Changes()
    for skipped in (f for f in found if isinstance(f, SkippedPath)):
        if skipped.failed:
            changes.failed.append((skipped.path, str(skipped), skipped.reason))
        else:
            changes.skipped.append((str(skipped), skipped.reason))
    for path in (f for f in found if isinstance(f, Path)):
        source = roots.source_of(path)
        if cutting.options.examples and not is_table(path):
            changes.skipped.append((source, "not a table, whose rows could be examples"))
            continue
        old = known.get(source)
        try:
            with seconds.timed("reading"):
                file = _looked_at(path, source, old, cutting.hash_for(path))
        except OSError as error:
            changes.failed.append((path, source, error.strerror or str(error)))
            continue
        _sort(file, old, source in stored, changes)
    return changes


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


def find_gone(stored: Iterable[str], roots: Roots, paths: Sequence[Path], closed: Sequence[Path]) -> list[str]:
    """Return the stored sources below ``paths`` whose file is gone; ``closed``: folders that could not be entered."""
    return sorted(source for source in roots.under(stored, paths) if _is_gone(roots.path_of(source), closed))


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
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino
