"""Values of metadata fields, a column each: filters on them are answered without reading the rows' JSON again.

A scan of the table fills a column when a filter first names its field. Of a later version only rows with a higher id
are read: a row of the table never changes, and one that is written anew gets a higher id. Rows that are gone stay in
the column; whoever asks knows which rows there are.

A filter over 100,000 chunks takes 0.4 to 1.5 ms; LanceDB, which reads each JSON, 34 to 53 (benchmarks/by_hand.py,
an AVX2 machine of two cores). pyarrow.compute has neither the store's three values of truth nor its order of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa

from instructor_search.store.indexes.row_batches import batches, rows_where
from instructor_search.store.schema import quoted

MAX_COLUMNS = 16  # of which the values are kept: 4 bytes a row, 8 for its id, and each distinct value once
FALSE, UNKNOWN, TRUE = 0, 1, 2  # SQL's logic of three values: AND is the least, OR the greatest, NOT is 2 - value
Test = Callable[["Column"], np.ndarray]  # truth of each distinct value, int8


class _Numbers:
    """Numbers of distinct values, some of which are none."""

    def __init__(self) -> None:
        self.values, self.known = np.zeros(0, np.int64), np.zeros(0, bool)

    def __len__(self) -> int:
        return len(self.values)

    def more(self, values: Sequence[int | None]) -> _Numbers:
        """Return these and those."""
        numbers = _Numbers()
        numbers.values = np.concatenate([self.values, np.array([value or 0 for value in values], np.int64)])
        numbers.known = np.concatenate([self.known, np.array([value is not None for value in values], bool)])
        return numbers

    def where(self, compare: Callable[[Any, int], Any], number: int) -> np.ndarray:
        """Return the truth of ``compare(value, number)`` for each; unknown where it is no number."""
        return np.where(self.known, np.where(compare(self.values, number), TRUE, FALSE), UNKNOWN).astype(np.int8)


@dataclass
class Column:
    """One field: the distinct values, and which of them each row has."""

    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))  # ids, ascending
    codes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # of each row; -1: the field is missing
    seen: dict[str, int] = field(default_factory=dict)  # distinct text -> its code, in the order of codes
    orders: _Numbers = field(default_factory=_Numbers)  # places of the numbers that the store makes of them
    integers: _Numbers = field(default_factory=_Numbers)
    version: int = -1  # of the table, whose rows are all here

    def add(self, rows: np.ndarray, texts: pa.Array, numbers: pa.Array, integers: pa.Array) -> None:
        """Append rows; their ids are higher than all before."""
        distinct = texts.dictionary_encode()
        batch_codes = distinct.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        first = np.zeros(len(distinct.dictionary), np.int64)  # a row that has each value
        there = np.flatnonzero(batch_codes >= 0)
        first[batch_codes[there][::-1]] = there[::-1]
        codes = np.empty(len(distinct.dictionary) + 1, np.int32)
        codes[-1] = -1
        fresh: list[int] = []  # rows that have a value which is new
        for place, text in enumerate(distinct.dictionary.to_pylist()):
            codes[place] = self.seen.setdefault(text, len(self.seen))
            if codes[place] == len(self.orders) + len(fresh):
                fresh.append(first[place])
        chosen = pa.array(fresh, pa.int64())
        values = numbers.take(chosen).to_pylist()
        self.orders = self.orders.more([None if value is None else total_order(value) for value in values])
        self.integers = self.integers.more(integers.take(chosen).to_pylist())
        self.rows = np.concatenate([self.rows, rows])
        self.codes = np.concatenate([self.codes, codes[batch_codes]])

    def keep(self, rows: np.ndarray) -> None:
        """Keep these rows, ascending ids that it has, and forget the others."""
        self.codes = self.codes[np.searchsorted(self.rows, rows)]
        self.rows = rows

    def where_text(self, holds: Callable[[str], bool]) -> np.ndarray:
        """Return the truth of ``holds`` for each distinct value."""
        return np.array([TRUE if holds(text) else FALSE for text in self.seen], np.int8)

    def equal(self, text: str) -> np.ndarray:
        """Return whether each distinct value is ``text``."""
        truth = np.full(len(self.seen), FALSE, np.int8)
        if text in self.seen:
            truth[self.seen[text]] = TRUE
        return truth


@dataclass(frozen=True)
class Condition:
    """What a filter asks of metadata fields.

    ``of_values``: of one field; the truth for each distinct value and, last, for rows without the field.
    ``of_rows``: of several.
    """

    fields: frozenset[str]
    of_values: Callable[[Column], np.ndarray] | None = None
    of_rows: Callable[[Mapping[str, Column]], np.ndarray] | None = None

    @classmethod
    def of(cls, name: str, test: Test, missing: int) -> Condition:
        """Return a condition on one field; ``missing``: the truth of a row without it."""
        return cls(frozenset([name]), lambda column: np.append(test(column), np.int8(missing)))

    @classmethod
    def joined(cls, parts: Sequence[Condition], word: str) -> Condition:
        """Return the conditions with AND or OR between them."""
        least = np.minimum if word == "AND" else np.maximum
        fields = frozenset[str]().union(*(part.fields for part in parts))
        truths = [part.of_values for part in parts if part.of_values]
        if len(fields) == 1 and len(truths) == len(parts):
            return cls(fields, lambda column: least.reduce([truth(column) for truth in truths]))
        return cls(fields, of_rows=lambda columns: least.reduce([part.truth(columns) for part in parts]))

    def truth(self, columns: Mapping[str, Column]) -> np.ndarray:
        """Return the truth for each row, int8, from the columns of ``fields``."""
        if self.of_values is not None:
            (column,) = (columns[name] for name in self.fields)
            truths: np.ndarray = self.of_values(column)[column.codes]
            return truths
        assert self.of_rows is not None
        return self.of_rows(columns)

    def negated(self) -> Condition:
        """Return what holds where this does not."""
        if (of_values := self.of_values) is not None:
            return Condition(self.fields, lambda column: TRUE - of_values(column))
        return Condition(self.fields, of_rows=lambda columns: TRUE - self.truth(columns))


class RowFilter(str):
    """A compiled filter: SQL of our own making, and the parts of it that must all hold."""

    parts: Sequence[tuple[str, Condition | None]]

    @classmethod
    def of(cls, sql: str, parts: Sequence[tuple[str, Condition | None]]) -> RowFilter:
        """``parts``: SQL, and the condition where it is of metadata fields alone."""
        row_filter = cls(sql)
        row_filter.parts = parts
        return row_filter


class MetadataColumns:
    """The columns of one table, filled as filters ask for them."""

    def __init__(self) -> None:
        """No column is read yet."""
        self._columns: dict[str, Column] = {}

    def rows_where(self, table: Any, version: int, where: str) -> np.ndarray:
        """Return the table's rows that a compiled filter holds for, (n,); rows that are gone may be among them.

        ``version``: of the table, which may only go up from call to call.
        """
        parts = getattr(where, "parts", [(where, None)])
        conditions = [condition for _, condition in parts if condition]
        rest = [sql for sql, condition in parts if not condition]
        matching = rows_where(table, " AND ".join(rest)) if rest else None
        if conditions:
            wanted = Condition.joined(conditions, "AND")
            columns = self._columns_of(table, version, wanted.fields)
            rows = columns[min(wanted.fields)].rows[wanted.truth(columns) == TRUE]
            matching = rows if matching is None else np.intersect1d(matching, rows, assume_unique=True)
        assert matching is not None
        return matching

    def _columns_of(self, table: Any, version: int, names: Collection[str]) -> dict[str, Column]:
        """Return columns at the table's version, all of the same rows."""
        columns = {name: self._columns.pop(name, Column()) for name in sorted(names)}
        for name, column in columns.items():
            if column.version != version:
                _read_newer(table, name, column)
                column.version = version
        first, *others = columns.values()
        if not all(np.array_equal(first.rows, other.rows) for other in others):  # rows that are gone in one of them
            common = reduce(np.intersect1d, [column.rows for column in columns.values()])
            for column in columns.values():
                column.keep(common)
        self._columns.update(columns)  # those used last are the last
        while len(self._columns) > max(MAX_COLUMNS, len(columns)):
            del self._columns[next(iter(self._columns))]
        return columns


def _read_newer(table: Any, name: str, column: Column) -> None:
    value = json_value(name)
    chosen = {"text": value, "number": f"TRY_CAST({value} AS DOUBLE)", "integer": f"TRY_CAST({value} AS BIGINT)"}
    where = f"_rowid > {column.rows[-1]}" if len(column.rows) else "true"
    parts = [batch for batch in batches(table, chosen, where) if batch.num_rows]
    if not parts:
        return
    newer = pa.Table.from_batches(parts).sort_by("_rowid").combine_chunks()
    rows = newer["_rowid"].to_numpy()
    column.add(rows, *(newer[key].combine_chunks() for key in ("text", "number", "integer")))


def json_value(name: str) -> str:
    """Return the store's expression for a metadata field, as text."""
    return f"json_get_string(metadata, {quoted(name)})"


def total_order(number: float) -> int:
    """Return a number's place in the store's order: that of IEEE 754, NaN the greatest, -NaN the least, -0 as 0."""
    bits = int(np.float64(number + 0.0).view(np.int64))
    return bits if bits >= 0 else bits ^ (2**63 - 1)
