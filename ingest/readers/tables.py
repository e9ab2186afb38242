"""Tables: every row is a document; its text comes from the text columns, the other columns are metadata."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from ingest.readers.decoding import open_text, read_all
from ingest.readers.examples import example_documents
from ingest.readers.formats import ReadOptions, mime_type
from ingest.readers.rows import flatten
from instructor_search.errors import ReaderError
from instructor_search.records import Block, Document

TEXT_COLUMNS = (
    "text",
    "content",
    "body",
    "abstract",
    "review",
    "description",
    "comment",
    "message",
    "question",
    "document",
    "passage",
    "summary",
    "note",
)
EXTRA_CELLS = "extra_cells"
TITLE_COLUMNS = ("title", "subject", "headline", "name")


def read_csv(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document a row; the delimiter is found from the first lines."""
    csv.field_size_limit(1 << 26)
    with open_text(path) as stream:
        first = next((line for line in stream if line.strip()), "")
        delimiter = _delimiter(path, first)
        declared = re.fullmatch(r"\ufeff?sep=(.)\s*", first)  # Excel's own way to say it, before the header
        if declared:
            delimiter, first = declared[1], ""
        rows = csv.reader(chain([first] if first else [], stream), delimiter=delimiter)
        try:
            header = distinct([name.strip().lstrip("\ufeff") for name in next(filter(any, rows), [])])
            if not any(header):
                return
            records = (_cells(header, row) for row in rows if any(c.strip() for c in row))
            yield from row_documents(records, path, source, options, convert=typed)
        except csv.Error as error:
            raise ReaderError(f"line {rows.line_num}: {error}") from error


def _delimiter(path: Path, header: str) -> str:
    """Return what separates the header's names, quoted parts not counted."""
    bare = re.sub(r'"[^"]*"', "", header)
    return "\t" if path.suffix.lower() == ".tsv" else max(",;\t|", key=bare.count)


def _cells(header: list[str], row: list[str]) -> dict[str, Any]:
    cells: dict[str, Any] = {name: cell for name, cell in zip(header, row, strict=False) if name}
    extra = [cell for cell in row[len(header) :] if cell.strip()]  # more cells than the header has names
    return cells | ({EXTRA_CELLS: ", ".join(extra)} if extra else {})


def distinct(names: list[str]) -> list[str]:
    """Return column names that differ: a second "a" becomes "a.2", an empty one "column 3"."""
    counts: dict[str, int] = {}
    names = [name or f"column {position}" for position, name in enumerate(names, 1)] if any(names) else names
    taken = set(names)
    for position, name in enumerate(names):
        counts[name] = counts.get(name, 0) + 1
        while counts[name] > 1 and f"{name}.{counts[name]}" in taken:
            counts[name] += 1
        if counts[name] > 1:
            names[position] = f"{name}.{counts[name]}"
            taken.add(names[position])
    return names


def read_jsonl(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document a line."""
    with open_text(path) as stream:
        yield from row_documents(_json_lines(stream), path, source, options)


def _json_lines(stream: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(stream, 1):
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError as error:
                raise ReaderError(f"line {number}: not JSON ({error})") from error
            yield value if isinstance(value, dict) else {"text": value if isinstance(value, str) else json.dumps(value)}


def read_json(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document an element of a list, or one for anything else."""
    try:
        value = json.loads(read_all(path))
    except ValueError as error:
        raise ReaderError(f"not JSON ({error})") from error
    except RecursionError as error:
        raise ReaderError("nested too deeply") from error
    items = value if isinstance(value, list) else [value]
    records = (v if isinstance(v, dict) else {"text": v if isinstance(v, str) else json.dumps(v)} for v in items)
    yield from row_documents(records, path, source, options, numbered=isinstance(value, list))


def read_parquet(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document a row, batch by batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=1024)
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from row_documents(rows, path, source, options)
    except pa.ArrowException as error:
        raise ReaderError(f"not a readable parquet file ({str(error).splitlines()[0]})") from error


def row_documents(
    records: Iterable[Mapping[str, Any]],
    path: Path,
    source: str,
    options: ReadOptions,
    *,
    numbered: bool = True,
    place: str = "",
    convert: Callable[[Any], Any] = lambda cell: cell,
) -> Iterator[Document]:
    """Turn rows into documents; ``place`` names the part of the file that they are from (a sheet).

    ``convert`` turns a metadata cell into a number or a truth value; the text is kept as it is written.

    Raises:
        ReaderError: a text column that was asked for is not there.
    """
    if options.examples is not None:
        yield from example_documents(
            records, path, source, options.examples, numbered=numbered, place=place, convert=convert
        )
        return
    has_text_field = not options.text_fields
    seen: dict[str, None] = {}
    for number, record in enumerate(records, 1):
        row = flatten(record)
        has_text_field = has_text_field or any(name in row for name in options.text_fields)
        if not has_text_field:
            seen |= dict.fromkeys(row)
        columns = list(options.text_fields) or _text_columns(row)
        text = _text(row, columns)
        if not text.strip():
            continue
        title = next((str(row[k]) for k in row if k.lower() in TITLE_COLUMNS and row[k]), None)
        where = f"{place}row={number}" if numbered else place
        kept = {k: v for k, v in row.items() if k not in columns and k != "title" and v not in (None, "")}
        yield Document(
            document_id=f"{source}#{where}" if where else source,
            source=source,
            title=title or (f"{path.name} {where}" if where else path.name),
            mime=mime_type(path),
            blocks=[Block(text)],
            metadata={k: convert(v) for k, v in kept.items()},
            row=number if numbered else None,
        )
    if not has_text_field and seen:
        missing = ", ".join(options.text_fields)
        raise ReaderError(f"no column {missing} (--text-field); there is: {', '.join(seen)}")


def _text_columns(row: Mapping[str, Any]) -> list[str]:
    """Return the column that makes a row's text, by its name; none means: all, named."""
    lower = {name.lower(): name for name in row if row[name] not in (None, "")}
    return next(([lower[name]] for name in TEXT_COLUMNS if name in lower), [])


def _text(row: Mapping[str, Any], columns: list[str]) -> str:
    if columns:
        return "\n\n".join(str(row[name]) for name in columns if row.get(name) not in (None, ""))
    return "\n".join(f"{name}: {value}" for name, value in row.items() if value not in (None, ""))


def typed(cell: str) -> Any:
    """Return a cell as a number or a truth value where it is written as one, else as text."""
    text = cell.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"[+-]?(0|[1-9]\d{0,17})", text):  # 007 and longer numbers are names, not quantities
        return int(text)
    return float(text) if re.fullmatch(r"[+-]?(0|[1-9]\d{0,17})\.\d{1,17}", text) else cell
