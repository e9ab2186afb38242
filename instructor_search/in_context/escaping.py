r"""Keeps a text inside its slot: what would read as a template's own words gets a backslash.

A template's words are its delimiters. Those that begin a line ("Input:") are escaped where they begin a line of a text,
those that follow a slot on its line (" => ") anywhere. One that white space parts from a slot (" A ") is a word: it is
not found inside longer ones. A control token of a model ("<|im_end|>", "</s>") is broken up wherever it stands. Every
escape adds one backslash to those that stand there, so ``Escape.undo`` gives the text back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_BREAKS = r"\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # what str.splitlines takes for the end of a line
_INVISIBLE = r"\u00ad\u200b-\u200f\u2060\ufeff"
_BLANK = rf"[^\S{_BREAKS}]*"
_GAP = rf"[\s{_INVISIBLE}]*"  # what may stand between the start of a line and a delimiter, and still read as one
# Control tokens of widespread models: first character, rest. A tokenizer that is at hand lists its own.
_CONTROL = [
    ("<", r"[|｜][^<>\s]{1,60}[|｜]>"),
    ("<", r"/?s>"),
    ("<", r"(?:start|end)_of_turn>"),
    ("<", r"(?:bos|eos|pad|unk)>"),
    ("<", r"</?SYS>>"),
    (r"\[", r"/?INST\]"),
]


class _Rule:
    """Puts a backslash between ``lead`` and ``body`` wherever they meet, behind those that stand there."""

    def __init__(self, lead: str, body: str) -> None:
        self._found = re.compile(rf"({lead})(\\*)({body})", re.IGNORECASE)
        self._escaped = re.compile(rf"({lead})(\\*)\\({body})", re.IGNORECASE)

    def escape(self, text: str) -> str:
        return self._found.sub(r"\1\2\\\3", text)

    def undo(self, text: str) -> str:
        return self._escaped.sub(r"\1\2\3", text)


class Escape:
    """Escapes texts for the slots of one template, and gives them back."""

    def __init__(
        self,
        line_starts: Iterable[str] = (),
        anywhere: Iterable[str] = (),
        *,
        blank_lines: bool = False,
        one_line: bool = False,
        control_tokens: Iterable[str] = (),
    ) -> None:
        r"""Name what separates.

        Args:
            line_starts: delimiters that begin a line of the template, with the white space around them.
            anywhere: delimiters that stand behind a slot on its line, likewise.
            blank_lines: an empty line ends a demonstration, so those of a text get a backslash.
            one_line: a line is a demonstration, so the line breaks of a text are written "\n".
            control_tokens: of the target model, beside the widespread ones.
        """
        self.one_line = one_line
        self._rules: list[_Rule] = []
        if starts := _any_of(line_starts):
            self._rules.append(_Rule(rf"(?:\A|[{_BREAKS}]){_GAP}", starts))
        if inside := _any_of(anywhere):
            self._rules.append(_Rule("", inside))
        if blank_lines:
            self._rules.append(_Rule(rf"[{_BREAKS}]{_BLANK}", rf"(?={_BLANK}[{_BREAKS}])"))
        control_pairs = [
            (re.escape(token[0]), re.escape(token[1:])) for token in sorted(control_tokens) if len(token) > 1
        ]
        self._rules += [_Rule(first, rest) for first, rest in _grouped([*_CONTROL, *control_pairs])]

    def __call__(self, text: str) -> str:
        """Return ``text`` with its delimiters escaped."""
        for rule in self._rules:
            text = rule.escape(text)
        return re.sub(f"[{_BREAKS}]", _written, text.replace("\\", r"\\")) if self.one_line else text

    def undo(self, text: str) -> str:
        """Return the text that was escaped."""
        if self.one_line:
            text = re.sub(r"\\(u[0-9a-f]{4}|n|\\)", _meant, text)
        for rule in reversed(self._rules):
            text = rule.undo(text)
        return text


def _any_of(words: Iterable[str]) -> str:
    """Return a pattern of the delimiters, longest first; white space in them may be of any length."""
    kept = sorted({w for w in words if w.strip()}, key=lambda w: (-len(w.strip()), w))
    return "|".join(dict.fromkeys(map(_pattern, kept)))


def _pattern(word: str) -> str:
    """Return a delimiter's pattern; where white space parts it from what is beside it, a word must end there."""
    body = r"\s+".join(map(re.escape, word.split()))
    before = r"(?<!\w)" if re.match(r"\s+\w", word) else ""
    return before + body + (r"(?!\w)" if re.search(r"\w\s+\Z", word) else "")


def _grouped(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return one (first character, rests) for each first character."""
    rests: dict[str, list[str]] = {}
    for first, rest in pairs:
        rests.setdefault(first, []).append(rest)
    return [(first, "|".join(alternatives)) for first, alternatives in rests.items()]


def _written(match: re.Match[str]) -> str:
    return r"\n" if match[0] == "\n" else f"\\u{ord(match[0]):04x}"


def _meant(match: re.Match[str]) -> str:
    return {"n": "\n", "\\": "\\"}.get(match[1]) or chr(int(match[1][1:], 16))
