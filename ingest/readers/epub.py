"""EPUB books: the chapters in reading order, read as HTML. Runs in the child process."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zipfile import ZipFile

from ingest.readers.formats import ReadOptions, mime_type
from ingest.readers.html import html_blocks
from ingest.readers.office import check_archive
from instructor_search.errors import MissingExtraError, ReaderError
from instructor_search.records import Block, Document

_CONTAINER = "META-INF/container.xml"


def read_epub(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document of the whole book, with title, author and language as metadata."""
    check_archive(path)
    with ZipFile(path) as archive:
        try:
            package = _package_path(archive)
            root = _parse(archive.read(package))
            chapters = _spine(root, posixpath.dirname(package))
        except (KeyError, StopIteration, ValueError) as error:
            raise ReaderError(f"not a readable EPUB ({type(error).__name__}: {error})") from error
        dublin_core = {name: _text(root, name) for name in ("title", "creator", "language")}
        blocks = [block for chapter in chapters for block in _chapter(archive, chapter)]
    metadata = {k: v for k, v in (("author", dublin_core["creator"]), ("language", dublin_core["language"])) if v}
    yield Document(source, source, dublin_core["title"] or path.name, mime_type(path), blocks, metadata)


def _parse(data: bytes) -> Any:
    try:
        from defusedxml.ElementTree import ParseError, fromstring
    except ImportError as error:
        raise MissingExtraError("defusedxml", "ingest", "reading EPUB files") from error
    try:
        return fromstring(data)
    except ParseError as error:
        raise ValueError(str(error)) from error


def _package_path(archive: ZipFile) -> str:
    root = _parse(archive.read(_CONTAINER))
    return next(e.attrib["full-path"] for e in root.iter() if e.tag.endswith("rootfile"))


def _spine(root: Any, folder: str) -> list[str]:
    items = {e.attrib["id"]: e.attrib["href"] for e in root.iter() if e.tag.endswith("}item")}
    order = [e.attrib["idref"] for e in root.iter() if e.tag.endswith("}itemref")]
    return [posixpath.normpath(posixpath.join(folder, unquote(items[i]))) for i in order if i in items]


def _text(root: Any, name: str) -> str:
    return next((" ".join((e.text or "").split()) for e in root.iter() if e.tag.endswith("}" + name)), "")


def _chapter(archive: ZipFile, name: str) -> Iterator[Block]:
    try:
        markup = archive.read(name).decode("utf-8", "replace")
    except KeyError:
        return  # listed but not there: the other chapters are still worth reading
    yield from html_blocks(markup)[1]
