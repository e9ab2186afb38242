"""Word, PowerPoint and Excel files. Runs in the child process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from ingest.readers.formats import ReadOptions, mime_type
from ingest.readers.tables import distinct, row_documents
from instructor_search.errors import MissingExtraError, ReaderError
from instructor_search.records import Block, Document

MAX_UNPACKED = 1 << 29  # bytes of all members together
MAX_RATIO = 200  # unpacked : packed


def check_archive(path: Path) -> None:
    """Refuse a zip file that unpacks to too much.

    Raises:
        ReaderError: damaged, or larger than the limits.
    """
    try:
        with ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except BadZipFile as error:
        raise ReaderError("not a zip container: damaged, encrypted or of an old format") from error
    if unpacked > MAX_UNPACKED or (unpacked > 1 << 24 and unpacked > MAX_RATIO * path.stat().st_size):
        raise ReaderError(f"unpacks to {unpacked / 1e6:.0f} MB from {path.stat().st_size / 1e6:.1f} MB: refused")


def read_docx(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document: paragraphs with their heading path, tables row by row."""
    check_archive(path)
    try:
        import docx
    except ImportError as error:
        raise MissingExtraError("python-docx", "ingest", "reading Word files") from error
    try:
        document = docx.Document(str(path))
    except Exception as error:  # python-docx and lxml raise many kinds for damaged packages
        raise ReaderError(f"not a readable Word file ({type(error).__name__}: {str(error)[:100]})") from error
    title = (document.core_properties.title or "").strip()
    blocks = list(_docx_blocks(document))
    title = title or next((b.heading[0] for b in blocks if b.heading), path.name)
    author = (document.core_properties.author or "").strip()
    metadata = {"author": author} if author and author != "python-docx" else {}
    yield Document(source, source, title, mime_type(path), blocks, metadata)


def _docx_blocks(document: Any) -> Iterator[Block]:
    path: list[tuple[int, str]] = []
    for item in document.iter_inner_content():
        if hasattr(item, "rows"):
            for row in item.rows:
                merged = {id(cell._tc): " ".join(cell.text.split()) for cell in row.cells}  # a merged cell comes once
                yield Block(" | ".join(merged.values()) + "\n", tuple(t for _, t in path))
            continue
        text = item.text.strip()
        if not text:
            continue
        style = item.style.name if item.style is not None else ""
        level = 0 if style == "Title" else int(m[1]) if (m := re.match(r"Heading (\d)", style)) else None
        if level is not None:
            path = [*(p for p in path if p[0] < level), (level, text)]
        yield Block(text + "\n\n", tuple(t for _, t in path))


def read_pptx(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document; each slide is a page under its title, notes included."""
    check_archive(path)
    try:
        import pptx
    except ImportError as error:
        raise MissingExtraError("python-pptx", "ingest", "reading PowerPoint files") from error
    try:
        deck = pptx.Presentation(str(path))
    except Exception as error:  # as above
        raise ReaderError(f"not a readable PowerPoint file ({type(error).__name__}: {str(error)[:100]})") from error
    blocks = [block for number, slide in enumerate(deck.slides, 1) for block in _slide_blocks(slide, number)]
    title = (deck.core_properties.title or "").strip()
    title = title if title and title != "PowerPoint Presentation" else ""
    title = title or next((b.heading[0] for b in blocks if b.heading), path.name)
    yield Document(source, source, title, mime_type(path), blocks, {"slides": len(deck.slides)})


def _slide_blocks(slide: Any, number: int) -> Iterator[Block]:
    shape = slide.shapes.title
    heading = (" ".join(shape.text.split()),) if shape is not None and shape.text.strip() else ()
    for item in _shapes(slide.shapes):
        if item.has_text_frame and item.text_frame.text.strip():
            yield Block(item.text_frame.text.replace("\x0b", "\n").strip() + "\n\n", heading, number)
        elif getattr(item, "has_table", False) and item.has_table:
            for row in item.table.rows:
                yield Block(" | ".join(" ".join(c.text.split()) for c in row.cells) + "\n", heading, number)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame.text.strip():
        yield Block(slide.notes_slide.notes_text_frame.text.strip() + "\n\n", heading, number)


def _shapes(shapes: Any) -> Iterator[Any]:
    """Yield shapes, those inside groups too."""
    for item in shapes:
        if hasattr(item, "shapes"):
            yield from _shapes(item.shapes)
        else:
            yield item


def read_xlsx(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document a row of every sheet; the first row that is not empty names the columns."""
    check_archive(path)
    try:
        import openpyxl
    except ImportError as error:
        raise MissingExtraError("openpyxl", "ingest", "reading Excel files") from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception:  # as above; chart sheets, for one, load only the slow way
        try:
            book = openpyxl.load_workbook(path, data_only=True)
        except Exception as error:
            raise ReaderError(f"not a readable Excel file ({type(error).__name__}: {str(error)[:100]})") from error
    for sheet in book.worksheets:
        records = _sheet_records(sheet)
        place = f"sheet={sheet.title}&"
        yield from row_documents(records, path, source, options, place=place)
    book.close()


def _sheet_records(sheet: Any) -> Iterator[dict[str, Any]]:
    header: list[str] | None = None
    for row in sheet.iter_rows(values_only=True):
        if all(cell in (None, "") for cell in row):
            continue
        if header is None:
            header = distinct([str(cell).strip() if cell is not None else "" for cell in row])
            continue
        yield {**{n: c for n, c in zip(header, row, strict=False) if n}, "sheet": sheet.title}
