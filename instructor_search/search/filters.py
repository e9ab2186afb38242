"""The filter language of ``--where``: small, safe, compiled to an expression of our own making.

    year >= 2020 and (kind = "review" or not source contains "draft")
    mtime > 2024-01-31        page in (1, 2, 3)        author exists        metadata.source = "import"

Fields are the chunk's columns (source, title, mime, page, row, mtime, ...) and the documents' metadata. Nothing a user
types reaches the store as SQL: fields are checked against those that exist, values are quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import NamedTuple

from instructor_search.errors import FilterError
from instructor_search.store.schema import FILTER_FIELDS

MAX_LENGTH = 4000  # characters
MAX_DEPTH = 50  # nested parentheses and nots
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<op><=|>=|!=|==|=|<|>|\(|\)|,)"""
    r"""|(?P<word>[^\s"'()<>=!,]+))""",
    re.DOTALL,
)
_COMPARISONS = {"=": "=", "==": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_PREFIX = "metadata."  # tells a metadata field from a column of the same name
_KEYWORDS = ("and", "or", "not", "in", "contains", "exists")


class _Token(NamedTuple):
    kind: str  # "string", "op", "word" or "end"
    text: str
    position: int


def compile_filter(where: str, metadata_fields: Mapping[str, str]) -> str:
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
            found = _TOKEN.match(where, position)
            if not found:
                raise self._error(position, "expected a field, a value or an operator")
            kind = str(found.lastgroup)
            tokens.append(_Token(kind, found[kind], found.start(kind)))
            position = found.end()
        return [*tokens, _Token("end", "", len(where))]

    def parse(self) -> str:
        compiled = self._either()
        if self._peek().kind != "end":
            raise self._error(self._peek().position, "expected 'and', 'or' or the end")
        return compiled

    def _either(self) -> str:
        parts = [self._both()]
        while self._take_word("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else "(" + " OR ".join(parts) + ")"

    def _both(self) -> str:
        parts = [self._term()]
        while self._take_word("and"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else "(" + " AND ".join(parts) + ")"

    def _term(self) -> str:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FilterError(f"filter is nested deeper than {MAX_DEPTH}")
        try:
            if self._take_word("not"):
                return f"(NOT {self._term()})"
            if self._take_op("("):
                inner = self._either()
                if not self._take_op(")"):
                    raise self._error(self._peek().position, "expected ')'")
                return inner
            return self._comparison()
        finally:
            self.depth -= 1

    def _comparison(self) -> str:
        token = self._next()
        if token.kind not in ("word", "string") or (token.kind == "word" and token.text.lower() in _KEYWORDS):
            raise self._error(token.position, "expected a field name")
        name = _unquote(token.text) if token.kind == "string" else token.text
        self._check_field(name)
        operator = self._next()
        word = operator.text.lower()
        if operator.kind == "op" and operator.text in _COMPARISONS:
            return self._compare(name, _COMPARISONS[operator.text], self._value(operator.text))
        if operator.kind == "word" and word == "contains":
            if FILTER_FIELDS.get(name) == "date":
                raise self._error(operator.position, f"{name} is a date; expected one of = != < <= > >=")
            return f"contains(lower({self._column(name)}), {_quote(self._value(word).text.lower())})"
        if operator.kind == "word" and word == "exists":
            return f"({self._column(name)} IS NOT NULL)"
        if operator.kind == "word" and word == "in":
            return "(" + " OR ".join(self._compare(name, "=", value) for value in self._list()) + ")"
        raise self._error(operator.position, "expected one of = != < <= > >= in contains exists")

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

    def _compare(self, name: str, operator: str, value: _Token) -> str:
        kind = FILTER_FIELDS.get(name) or self.fields[name.removeprefix(_PREFIX)]
        if kind == "date":
            return f"({name} {operator} {self._seconds(value)!r})"
        quoted = value.kind == "string"
        number = None if quoted and kind != "number" else _number(value.text)
        if kind == "number" or (kind == "mixed" and number is not None):
            if number is None:
                raise self._error(value.position, f"{name} is a number; expected one after {operator!r}")
            column = name if name in FILTER_FIELDS else self._column(name)
            if abs(number) >= 2**53 and re.fullmatch(r"[+-]?\d{1,18}", value.text):  # beyond what a double tells apart
                return f"(TRY_CAST({column} AS BIGINT) {operator} {int(value.text)})"
            return f"(TRY_CAST({column} AS DOUBLE) {operator} {number!r})"
        if kind == "bool" and value.text.lower() not in ("true", "false"):
            raise self._error(value.position, f"{name} is true or false")
        text = value.text.lower() if kind == "bool" else value.text
        return f"({self._column(name)} {operator} {_quote(text)})"

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
        return f"json_get_string(metadata, {_quote(name.removeprefix(_PREFIX))})"

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
        found = self.where[position : position + 20] or "the end"
        return FilterError(f"filter, character {position + 1}, at {found!r}: {what}")


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _number(text: str) -> float | None:
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", text):
        return None
    return float(text)
