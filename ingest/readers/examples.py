"""Rows -> examples: the input is the text, output and task are metadata of those names, so that filters know them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ingest.readers.formats import ExampleFields, mime_type
from ingest.readers.rows import flatten
from instructor_search.errors import ReaderError
from instructor_search.records import Block, Document

INPUT, OUTPUT, TASK = "input", "output", "task"  # in the metadata, whatever the columns are called


def example_documents(
    records: Iterable[Mapping[str, Any]],
    path: Path,
    source: str,
    fields: ExampleFields,
    *,
    numbered: bool = True,
    place: str = "",
    convert: Callable[[Any], Any] = lambda cell: cell,
) -> Iterator[Document]:
    """Yield one document a row; one without a block for a row that lacks its input or its output.

    Raises:
        ReaderError: a column is missing, or no row has both an input and an output.
    """
    seen: dict[str, None] = {}
    num_rows = num_examples = 0
    for number, record in enumerate(records, 1):
        row = flatten(record)
        seen |= dict.fromkeys(row)
        num_rows += 1
        shown, answer = (_text(row.get(name)) for name in (fields.input_field, fields.output_field))
        whole = bool(shown.strip() and answer.strip())
        num_examples += whole
        where = f"{place}row={number}" if numbered else place
        yield Document(
            document_id=f"{source}#{where}" if where else source,
            source=source,
            title=f"{path.name} {where}" if where else path.name,
            mime=mime_type(path),
            blocks=[Block(f"{shown}\n{answer}" if fields.embed != INPUT else shown)] if whole else [],
            metadata=_metadata(row, fields, convert),
            row=number if numbered else None,
        )
    _check(fields, seen, num_rows, num_examples)


def _metadata(row: Mapping[str, Any], fields: ExampleFields, convert: Callable[[Any], Any]) -> dict[str, Any]:
    """Return output, task, and the other columns; one of these that is called like the former is "column NAME"."""
    used = {fields.input_field, fields.output_field, fields.task_field}
    metadata = {OUTPUT: _text(row.get(fields.output_field))}
    if fields.task_field:
        metadata[TASK] = _text(row.get(fields.task_field))
    if fields.embed != INPUT:
        metadata[INPUT] = _text(row.get(fields.input_field))
    rest = {k: convert(v) for k, v in row.items() if k not in used and v not in (None, "")}
    return metadata | {f"column {k}" if k in (INPUT, OUTPUT, TASK) else k: v for k, v in rest.items()}


def _check(fields: ExampleFields, seen: Mapping[str, None], num_rows: int, num_examples: int) -> None:
    flags = {
        "--input-field": fields.input_field,
        "--output-field": fields.output_field,
        "--task-field": fields.task_field,
    }
    missing = [f"{name} ({flag})" for flag, name in flags.items() if name is not None and name not in seen]
    if seen and missing:
        raise ReaderError(f"no column {', '.join(missing)}; there is: {', '.join(seen)}")
    if num_rows and not num_examples:
        raise ReaderError(
            f"none of its {num_rows:,} rows has both an input ({fields.input_field}) and an output "
            f"({fields.output_field})"
        )


def _text(value: Any) -> str:
    return "" if value is None else str(value)
