"""The filter language of ``--where``: small, safe, compiled to an expression of our own making.

    year >= 2020 and (kind = "review" or not source contains "draft")
    mtime > 2024-01-31        page in (1, 2, 3)        author exists        metadata.source = "import"

Fields are the chunk's columns (source, title, mime, page, row, mtime, ...) and the documents' metadata. Nothing a user
types reaches the store as SQL: fields are checked against those that exist, values are quoted.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, NamedTuple

from instructor_search.errors import FilterError
from instructor_search.store.indexes.metadata import FALSE, UNKNOWN, Condition, RowFilter, Test, json_value, total_order
from instructor_search.store.schema import FILTER_FIELDS, quoted

MAX_LENGTH = 4000  # characters
MAX_DEPTH = 50  # nested parentheses and nots
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<op><=|>=|!=|==|=|<|>|\(|\)|,)"""
    r"""|(?P<word>[^\s"'()<>=!,]+))""",
    re.DOTALL,
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_PREFIX = "metadata."  # tells a metadata field from a column of the same name
_KEYWORDS = ("and", "or", "not", "in", "contains", "exists")


class _Token(NamedTuple):
    kind: str  # "string", "op", "word" or "end"
    text: str
    position: int


class _Made(NamedTuple):
    """A part of a filter: the store's expression and, where it is of metadata alone, its condition on their columns."""

    sql: str
    condition: Condition | None = None
    parts: tuple[_Made, ...] = ()  # that must all hold, where it is made of such

    @classmethod
    def joined(cls, parts: list[_Made], word: str) -> _Made:
        """Return ``parts`` with AND or OR between them."""
        if len(parts) == 1:
            return parts[0]
        sql = "(" + f" {word} ".join(part.sql for part in parts) + ")"
        conditions = [part.condition for part in parts]
        condition = Condition.joined([c for c in conditions if c], word) if all(conditions) else None
        return cls(sql, condition, tuple(inner for p in parts for inner in p.all_parts) if word == "AND" else ())

    @property
    def all_parts(self) -> tuple[_Made, ...]:
        """Parts that must all hold; itself, where there are none."""
        return self.parts or (self,)


def compile_filter(where: str, metadata_fields: Mapping[str, str]) -> RowFilter:
    """Return the store's expression for ``where``. ``metadata_fields``: name -> "string", "number", "bool" or "mixed".

    Raises:
        FilterError: it cannot be understood, or names a field that no document has; the message says where and what
            there is.
    """
    if len(where) > MAX_LENGTH:
        raise FilterError(f"filter of {len(where)} characters; expected at most {MAX_LENGTH}")
    return _Parser(where, metadata_fields).parse()


class _Parser:
    def __init__(self, where: str, metadata_fields: Mapping[str, str]) -> None:
        self.where = where
        self.fields = metadata_fields
        self.tokens = self._tokenize(where)
        self.at = 0
        self.depth = 0

    def _tokenize(self, where: str) -> list[_Token]:
        tokens, position = [], 0
        while position < len(where) and where[position:].strip():
            match = _TOKEN.match(where, position)
            if not match:
                raise self._error(position, "expected a field, a value or an operator")
            kind = str(match.lastgroup)
            tokens.append(_Token(kind, match[kind], match.start(kind)))
            position = match.end()
        return [*tokens, _Token("end", "", len(where))]

    def parse(self) -> RowFilter:
        expression = self._either()
        if self._peek().kind != "end":
            raise self._error(self._peek().position, "expected 'and', 'or' or the end")
        return RowFilter.of(expression.sql, [(part.sql, part.condition) for part in expression.all_parts])

    def _either(self) -> _Made:
        parts = [self._both()]
        while self._take_word("or"):
            parts.append(self._both())
        return _Made.joined(parts, "OR")

    def _both(self) -> _Made:
        parts = [self._term()]
        while self._take_word("and"):
            parts.append(self._term())
        return _Made.joined(parts, "AND")

    def _term(self) -> _Made:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FilterError(f"filter is nested deeper than {MAX_DEPTH}")
        try:
            if self._take_word("not"):
                inner = self._term()
                return _Made(f"(NOT {inner.sql})", inner.condition.negated() if inner.condition else None)
            if self._take_op("("):
                inner = self._either()
                if not self._take_op(")"):
                    raise self._error(self._peek().position, "expected ')'")
                return inner
            return self._comparison()
        finally:
            self.depth -= 1

    def _comparison(self) -> _Made:
        token = self._next()
        if token.kind not in ("word", "string") or (token.kind == "word" and token.text.lower() in _KEYWORDS):
            raise self._error(token.position, "expected a field name")
        name = _unquote(token.text) if token.kind == "string" else token.text
        self._check_field(name)
        sign = self._next()
        word = sign.text.lower()
        if sign.kind == "op" and (plain := "=" if sign.text == "==" else sign.text) in _COMPARISONS:
            return self._compare(name, plain, self._value(sign.text))
        if sign.kind == "word" and word == "contains":
            if FILTER_FIELDS.get(name) == "date":
                raise self._error(sign.position, f"{name} is a date; expected one of = != < <= > >=")
            part = self._value(word).text.lower()
            sql = f"contains(lower({self._column(name)}), {quoted(part)})"
            return self._made(name, sql, lambda c: c.where_text(lambda text: part in text.lower()))
        if sign.kind == "word" and word == "exists":
            return self._made(
                name, f"({self._column(name)} IS NOT NULL)", lambda c: c.where_text(lambda _: True), FALSE
            )
        if sign.kind == "word" and word == "in":
            return _Made.joined([self._compare(name, "=", value) for value in self._list()], "OR")
        raise self._error(sign.position, "expected one of = != < <= > >= in contains exists")

    def _list(self) -> list[_Token]:
        if not self._take_op("("):
            raise self._error(self._peek().position, "expected '(' after 'in'")
        values = [self._value("in")]
        while self._take_op(","):
            values.append(self._value(","))
        if not self._take_op(")"):
            raise self._error(self._peek().position, "expected ',' or ')'")
        return values

    def _value(self, after: str) -> _Token:
        token = self._next()
        if token.kind not in ("word", "string"):
            raise self._error(token.position, f"expected a value after {after!r}")
        return token._replace(text=_unquote(token.text)) if token.kind == "string" else token

    def _made(self, name: str, sql: str, test: Test, missing: int = UNKNOWN) -> _Made:
        """Return a comparison; ``test`` says of each distinct value of a metadata field whether it holds."""
        field = name.removeprefix(_PREFIX)
        return _Made(sql, None if name in FILTER_FIELDS else Condition.of(field, test, missing))

    def _compare(self, name: str, sign: str, value: _Token) -> _Made:
        kind = FILTER_FIELDS.get(name) or self.fields[name.removeprefix(_PREFIX)]
        compare = _COMPARISONS[sign]
        if kind == "date":
            return _Made(f"({name} {sign} {self._seconds(value)!r})")
        is_text = value.kind == "string"
        number = None if is_text and kind != "number" else _number(value.text)
        if kind == "number" or (kind == "mixed" and number is not None):
            if number is None:
                raise self._error(value.position, f"{name} is a number; expected one after {sign!r}")
            column = name if name in FILTER_FIELDS else self._column(name)
            if abs(number) >= 2**53 and re.fullmatch(r"[+-]?\d{1,18}", value.text):  # beyond what a double tells apart
                whole = int(value.text)
                sql = f"(TRY_CAST({column} AS BIGINT) {sign} {whole})"
                return self._made(name, sql, lambda c: c.integers.where(compare, whole))
            place = total_order(number)
            return self._made(
                name, f"(TRY_CAST({column} AS DOUBLE) {sign} {number!r})", lambda c: c.orders.where(compare, place)
            )
        if kind == "bool" and value.text.lower() not in ("true", "false"):
            raise self._error(value.position, f"{name} is true or false")
        text = value.text.lower() if kind == "bool" else value.text
        sql = f"({self._column(name)} {sign} {quoted(text)})"
        if sign == "=":  # without a look at each value
            return self._made(name, sql, lambda c: c.equal(text))
        return self._made(name, sql, lambda c: c.where_text(lambda t: compare(t, text)))

    def _seconds(self, value: _Token) -> float:
        number = _number(value.text)
        if number is not None and number > 9999:  # seconds since 1970; a smaller one is a year
            return number
        try:
            text = f"{value.text}-01-01" if re.fullmatch(r"\d{4}", value.text) else value.text
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self._error(value.position, "expected a date such as 2024-01-31") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def _column(self, name: str) -> str:
        if name in FILTER_FIELDS:
            return name if FILTER_FIELDS[name] == "string" else f"CAST({name} AS STRING)"
        return json_value(name.removeprefix(_PREFIX))

    def _check_field(self, name: str) -> None:
        known = [*FILTER_FIELDS, *self.fields]
        if name not in known and name.removeprefix(_PREFIX) not in self.fields:
            near = get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            more = f" and {len(known) - 60} more (the command views lists them)" if len(known) > 60 else ""
            raise FilterError(f"unknown filter field {name!r}{hint}; there is: {', '.join(known[:60])}{more}")

    def _peek(self) -> _Token:
        return self.tokens[self.at]

    def _next(self) -> _Token:
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def _take_word(self, word: str) -> bool:
        token = self._peek()
        if token.kind == "word" and token.text.lower() == word:
            self.at += 1
            return True
        return False

    def _take_op(self, text: str) -> bool:
        token = self._peek()
        if token.kind == "op" and token.text == text:
            self.at += 1
            return True
        return False

    def _error(self, position: int, what: str) -> FilterError:
        excerpt = self.where[position : position + 20] or "the end"
        return FilterError(f"filter, character {position + 1}, at {excerpt!r}: {what}")


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _number(text: str) -> float | None:
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None
