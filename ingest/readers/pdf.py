"""PDF: text page by page (pdfium), hyphenation at line ends undone. Runs in the child process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ingest.readers.formats import ReadOptions, mime_type
from instructor_search.errors import MissingExtraError, ReaderError
from instructor_search.records import Block, Document


def read_pdf(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document whose blocks know their page.

    Raises:
        ReaderError: it is damaged or needs a password.
    """
    try:
        import pypdfium2 as pdfium
    except ImportError as error:
        raise MissingExtraError("pypdfium2", "ingest", "reading PDF files") from error
    try:
        pdf = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        reason = "needs a password" if "password" in str(error).lower() else str(error)
        raise ReaderError(f"not a readable PDF ({reason})") from error
    title = (pdf.get_metadata_dict().get("Title") or "").strip() or path.name
    yield Document(source, source, title, mime_type(path), _pages(pdf), {"pages": len(pdf)})


def _pages(pdf: object) -> Iterator[Block]:
    for number in range(len(pdf)):  # type: ignore[arg-type]
        page = pdf[number]  # type: ignore[index]
        text = page.get_textpage().get_text_bounded()
        page.close()
        for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
            if paragraph.strip():
                yield Block(_unwrap(paragraph.strip()) + "\n\n", page=number + 1)


def _unwrap(paragraph: str) -> str:
    """Join the lines of a paragraph; pdfium marks a hyphen at a line's end with U+FFFE or U+0002."""
    joined = re.sub("[\ufffe\u0002]\n?", "", paragraph)
    joined = re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", joined)
    return re.sub(r"(?<![.:;!?])\n(?![\u2022\-*\d])", " ", joined)
