"""Tables of a hub data set as files: "hub:OWNER/NAME" or "hub:OWNER/NAME@REVISION" among the paths of an ingest.

Only its tables are fetched, into the cache, under the data set's own name; the hub is asked because the path names it.
"""

from __future__ import annotations

import re
from pathlib import Path

from instructor_search.encoder.runtimes.openvino_runtime.cache import cache_folder
from instructor_search.errors import ReaderError

PREFIX = "hub:"
_NAME = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_TABLES = ("jsonl", "ndjson", "json", "csv", "tsv", "parquet", "xlsx")
_DESCRIPTIONS = ["dataset_info.json", "dataset_infos.json"]  # JSON, and no data


def local_path(path: Path) -> Path:
    """Return ``path``, or the folder that a hub data set was fetched into.

    Raises:
        ReaderError: the name cannot be understood, or the data set cannot be fetched or has no tables.
    """
    given = path.as_posix()
    return _fetch(given.removeprefix(PREFIX)) if given.startswith(PREFIX) else path


def _fetch(name: str) -> Path:
    match = _NAME.fullmatch(name)
    if not match:
        raise ReaderError(f"{PREFIX}{name}: expected {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION")
    owner, repository, revision = match.groups()
    from huggingface_hub import snapshot_download

    folder = (
        cache_folder() / "data" / owner / (f"{repository}@{revision.replace('/', '-')}" if revision else repository)
    )
    try:
        snapshot_download(
            f"{owner}/{repository}",
            repo_type="dataset",
            revision=revision,
            local_dir=folder,
            allow_patterns=[f"*.{suffix}" for suffix in _TABLES],
            ignore_patterns=_DESCRIPTIONS,
        )
    except Exception as error:  # the client raises a dozen kinds: network, missing, gated, disk
        reason = (" ".join(str(error).split()) or type(error).__name__)[:160]
        raise ReaderError(f"cannot fetch {PREFIX}{name} ({reason})") from error
    if not any(p.suffix[1:] in _TABLES for p in folder.rglob("*") if p.is_file() and ".cache" not in p.parts):
        raise ReaderError(f"{PREFIX}{name} has no tables; expected files such as {', '.join(_TABLES)}")
    return folder
