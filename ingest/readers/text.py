"""Plain text, Markdown and reStructuredText: streamed paragraph by paragraph, the blocks tile the file's text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from ingest.readers.decoding import detect_encoding, open_text
from ingest.readers.formats import ReadOptions, mime_type
from instructor_search.errors import ReaderError
from instructor_search.records import Block, Document

MAX_PARAGRAPH = 8192  # characters; a longer paragraph (or line) is passed on in pieces
_ATX = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_UNDERLINE = re.compile(r"^([=\-`:'\"~^_*+#<>.])\1{2,}\s*$")


def read_text(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document without headings."""
    yield _document(path, source, (Block(p) for p in paragraphs(path)))


def read_unknown(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document if the file is text, whatever its suffix."""
    try:
        detect_encoding(path)
    except ReaderError as error:
        raise ReaderError(f"no reader for {path.suffix or 'files without a suffix'} ({error})") from error
    yield from read_text(path, source, options)


def read_markdown(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document with its heading path, titled by its first heading."""
    yield _titled(path, source, markdown_blocks(paragraphs(path, breaks=_is_markdown_heading)))


def read_rst(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document; a line underlined with punctuation is a heading, its level is the order of appearance."""
    yield _titled(path, source, _rst_blocks(paragraphs(path)))


def paragraphs(path: Path, breaks: Callable[[str], bool] | None = None) -> Iterator[str]:
    """Yield the file's paragraphs with the blank lines that follow them; together they are the file's text.

    ``breaks``: a line for which it is true starts a paragraph and is one.
    """
    with open_text(path) as stream:
        yield from group_lines(iter(lambda: stream.readline(MAX_PARAGRAPH), ""), breaks)


def group_lines(lines: Iterable[str], breaks: Callable[[str], bool] | None = None) -> Iterator[str]:
    """Group lines into paragraphs, each with its trailing blank lines; blank lines inside a code fence do not split."""
    held: list[str] = []
    size, ended, fenced = 0, False, False
    for line in lines:
        blank = not line.strip()
        starts_paragraph = not fenced and not blank and breaks is not None and breaks(line)
        if held and ((ended and not blank) or starts_paragraph or size > MAX_PARAGRAPH):
            yield "".join(held)
            held, size, ended = [], 0, False
        if breaks is not None and _FENCE.match(line):
            fenced = not fenced
        held.append(line)
        size += len(line)
        ended = (ended or blank or starts_paragraph) and not fenced
    if held:
        yield "".join(held)


def _is_markdown_heading(line: str) -> bool:
    return _ATX.match(line) is not None


def markdown_blocks(parts: Iterable[str]) -> Iterator[Block]:
    """Turn Markdown paragraphs into blocks with their heading path (ATX and underlined headings)."""
    path: list[tuple[int, str]] = []
    for part in parts:
        lines = part.strip("\r\n").splitlines()
        heading = _ATX.match(lines[0]) if lines else None
        if heading:
            path = _descend(path, len(heading[1]), heading[2])
        elif len(lines) >= 2 and re.fullmatch(r" {0,3}(=+|-+)\s*", lines[1]) and len(lines[0].strip()) > 1:
            path = _descend(path, 1 if "=" in lines[1] else 2, lines[0].strip())
        yield Block(part, tuple(title for _, title in path))


def _rst_blocks(parts: Iterable[str]) -> Iterator[Block]:
    path: list[tuple[int, str]] = []
    styles: list[str] = []
    for part in parts:
        lines = part.strip("\r\n").splitlines()
        title = None
        if len(lines) >= 3 and _UNDERLINE.match(lines[0]) and lines[2].strip() == lines[0].strip():
            title, style = lines[1].strip(), lines[0][0] * 2
        elif len(lines) >= 2 and _UNDERLINE.match(lines[1]) and not _UNDERLINE.match(lines[0]):
            title, style = lines[0].strip(), lines[1][0]
        if title:
            if style not in styles:
                styles.append(style)
            path = _descend(path, styles.index(style) + 1, title)
        yield Block(part, tuple(name for _, name in path))


def _descend(path: list[tuple[int, str]], level: int, title: str) -> list[tuple[int, str]]:
    return [*(p for p in path if p[0] < level), (level, title)]


def _document(path: Path, source: str, blocks: Iterable[Block], title: str | None = None) -> Document:
    return Document(source, source, title or path.name, mime_type(path), blocks)


def _titled(path: Path, source: str, blocks: Iterator[Block]) -> Document:
    """Peek at the first blocks for a heading."""
    first: list[Block] = []
    for block in blocks:
        first.append(block)
        if block.heading or len(first) == 3:
            break
    title = first[-1].heading[0] if first and first[-1].heading else None
    return _document(path, source, chain(first, blocks), title)
