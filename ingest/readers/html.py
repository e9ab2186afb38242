"""HTML: the text a reader would see, block by block, with its heading path; scripts and hidden parts are left out.

The standard library's parser is an event stream without recursion: nesting of any depth costs nothing.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from ingest.readers.decoding import read_all
from ingest.readers.formats import ReadOptions, mime_type
from instructor_search.records import Block, Document

_SKIPPED = {"script", "style", "noscript", "template", "svg", "nav", "iframe", "object", "canvas"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_BLOCKS = {
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "html",
    "li",
    "main",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "ul",
}
# tags whose end may be left out -> tags that end them
_ENDED_BY = {
    "p": _BLOCKS,
    "li": {"li"},
    "dt": {"dt", "dd"},
    "dd": {"dt", "dd"},
    "td": {"td", "th", "tr"},
    "th": {"td", "th", "tr"},
    "tr": {"tr", "tbody", "tfoot"},
}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)


def read_html(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document titled by its <title> or first heading."""
    title, blocks = html_blocks(_decode(path))
    yield Document(source, source, title or path.name, mime_type(path), blocks)


def _decode(path: Path) -> str:
    """Use the charset that the page declares, where Python knows it."""
    with path.open("rb") as stream:
        start = stream.read(2048)
    declared = _CHARSET.search(start)
    marked = start.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    name = declared[1].decode() if declared else ""
    if marked or name.lower().startswith(("utf", "unicode")):
        name = ""  # the bytes tell those themselves, and rightly
    return read_all(path, encoding=name)


def html_blocks(markup: str) -> tuple[str | None, list[Block]]:
    """Return the title and the visible blocks of a page."""
    parser = _Extractor()
    parser.feed(markup)
    parser.close()
    parser.flush()
    headings = [b.heading[0] for b in parser.blocks if b.heading]
    return parser.title or (headings[0] if headings else None), parser.blocks


class _Extractor(HTMLParser):
    """Collects text between block-level tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.title: str | None = None
        self._text: list[str] = []
        self._path: list[tuple[int, str]] = []
        self._hidden: list[str] = []  # open tags inside (and including) a part that is not shown
        self._open: Counter[str] = Counter()  # open tags around it
        self._in_title = False
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title":
            self._in_title = True
        if tag in _VOID:
            self._break(tag)
            return
        if len(self._hidden) == 1 and tag in _ENDED_BY.get(self._hidden[0], ()):
            self._hidden.clear()
        values = dict(attrs)
        invisible = "hidden" in values or _HIDDEN.search(values.get("style") or "")
        if self._hidden or tag in _SKIPPED or invisible or values.get("aria-hidden") == "true":
            self._hidden.append(tag)
            return
        self._open[tag] += 1
        self._preformatted += tag == "pre"
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if self._hidden:
            if tag in self._hidden:  # also closes tags left open inside
                while self._hidden.pop() != tag:
                    continue
                return
            if not self._open[tag]:
                return
            self._hidden.clear()  # the end of something around the hidden part
        self._open[tag] -= self._open[tag] > 0
        if re.fullmatch("h[1-6]", tag):
            self._heading(int(tag[1]))
            return
        self._break(tag)
        self._preformatted -= tag == "pre" and self._preformatted > 0

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title = self.title or " ".join(data.split()) or None
        elif not self._hidden:
            self._text.append(data)

    def _break(self, tag: str) -> None:
        if self._hidden:
            return
        if tag in ("br", "wbr"):
            self._text.append("\n" if tag == "br" else "")
        elif tag in ("td", "th"):
            self._text.append(" ")
        elif tag in _BLOCKS:
            self.flush()

    def _heading(self, level: int) -> None:
        title = " ".join("".join(self._text).split())
        if title:
            self._path = [*(p for p in self._path if p[0] < level), (level, title)]
        self.flush()

    def flush(self) -> None:
        """End the block that is being collected."""
        raw = "".join(self._text)
        self._text.clear()
        lines = raw.strip("\n").splitlines() if self._preformatted else [" ".join(x.split()) for x in raw.split("\n")]
        text = (
            "\n".join(line for line in lines if line.strip()) if self._preformatted else " ".join(filter(None, lines))
        )
        if text.strip():
            self.blocks.append(Block(text + "\n\n", tuple(title for _, title in self._path)))
