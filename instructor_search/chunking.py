"""Cuts documents into chunks that fit the model's window to the token, on sentence and paragraph borders.

A chunk's text is the document's text from ``start`` to ``end``; consecutive chunks share whole sentences up to the
overlap. The budget counts tokens of the text alone; what the instruction and the special tokens take is subtracted
before (``default_chunk_tokens``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from instructor_search.encoder.tokenization import InstructedTokenizer
from instructor_search.records import Block, Chunk, Document

INSTRUCTION_RESERVE = 32  # tokens kept free for instructions of later views, if the first one is shorter
SMALL_SECTION = 24  # tokens; a section shorter than this (a bare heading) stays together with the next one
_PIECE = 20_000  # characters tokenised at once

_SENTENCE_END = re.compile(
    r"[.!?\u2026]+[)\]\"'\u201d\u2019]*\s+"  # a full stop, what closes with it, and white space
    r"|[\u3002\uff01\uff1f]+\s*"  # Chinese and Japanese
    r"|\n\s*\n\s*"  # a blank line
    r"|\n(?=[ \t]*(?:[-*+|>#\u2022]|\d+[.)]|\S+:)\s?)"  # before a list item, a table row, "name: value"
    r"|\n(?=[ \t]{2,}\S)"  # before an indented line
)
_ABBREVIATIONS = frozenset(
    "e.g. i.e. etc. vs. cf. al. mr. mrs. ms. dr. prof. st. no. fig. figs. eq. eqs. sec. ch. vol. pp. p. approx. dept. "
    "est. inc. ltd. co. corp. jan. feb. mar. apr. jun. jul. aug. sep. sept. oct. nov. dec. u.s. u.k. a.m. p.m.".split()
)


class _Segment(NamedTuple):
    """A sentence (or part of one) with the white space that follows it."""

    text: str
    start: int
    num_tokens: int
    heading: tuple[str, ...]
    page: int | None


def default_chunk_tokens(tokenizer: InstructedTokenizer, document_instruction: str) -> int:
    """Return the chunk budget: window - special tokens - the instruction's tokens (at least INSTRUCTION_RESERVE)."""
    longest = max(tokenizer.num_instruction_tokens(document_instruction), INSTRUCTION_RESERVE)
    exact = tokenizer.text_budget(document_instruction)
    return max(1, min(exact, tokenizer.max_tokens - tokenizer.num_special - longest)) if exact > longest else exact


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return the spans of the sentences; together they cover the text, each with the white space after it."""
    spans, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        if match.end() >= len(text):
            break
        if match[0][0] == "." and _is_abbreviation(text, match, start):
            continue
        spans.append((start, match.end()))
        start = match.end()
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def _is_abbreviation(text: str, match: re.Match[str], start: int) -> bool:
    """Whether the full stop belongs to "e.g." or an initial, or a lower-case letter follows it."""
    word = text[start : match.start() + 1].rsplit(None, 1)[-1].lstrip("(\"'")
    initial = len(word) == 2 and word[0].isupper()
    return word.lower() in _ABBREVIATIONS or initial or text[match.end()].islower()


class Chunker:
    """Cuts documents with a model's own tokenizer."""

    def __init__(self, tokenizer: InstructedTokenizer, max_tokens: int, overlap: int) -> None:
        """``max_tokens``: of a chunk's text; ``overlap``: tokens repeated from the chunk before, at most.

        Raises:
            ValueError: the overlap is not smaller than half the chunk.
        """
        if max_tokens < 1 or not 0 <= overlap <= max_tokens // 2:
            raise ValueError(
                f"chunk of {max_tokens} tokens with an overlap of {overlap}; expected at least 1 token and an overlap "
                f"of at most half the chunk ({max_tokens // 2})"
            )
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.overlap = overlap

    def chunks(self, document: Document) -> Iterator[Chunk]:
        """Yield the chunks of a document in order; its blocks are consumed as they come."""
        held: list[_Segment] = []
        fresh = 0  # segments of ``held`` that no chunk has yet
        position = 0
        for block in document.blocks:
            segments = list(self._segments(block, position))
            position += len(block.text)
            if fresh and self._starts_anew(held, block, segments):
                yield from self._emit(document, held)
                held, fresh = [], 0
            for segment in segments:
                if fresh and _tokens(held) + segment.num_tokens > self.max_tokens:
                    yield from self._emit(document, held)
                    held, fresh = self._tail(held, segment), 0
                held.append(segment)
                fresh += 1
        if fresh:
            yield from self._emit(document, held)

    def _starts_anew(self, held: list[_Segment], block: Block, segments: list[_Segment]) -> bool:
        """Whether to end the chunk before this block: another section, page, or a paragraph that only fits anew."""
        size = _tokens(held)
        if (block.heading, block.page) != (held[-1].heading, held[-1].page) and size >= min(
            SMALL_SECTION, self.max_tokens // 4
        ):
            return True
        return size >= self.max_tokens // 2 and size + _tokens(segments) > self.max_tokens >= _tokens(segments)

    def _tail(self, held: list[_Segment], following: _Segment) -> list[_Segment]:
        """Return the last whole sentences of a chunk that the next one repeats."""
        tail: list[_Segment] = []
        for segment in reversed(held):
            used = segment.num_tokens + _tokens(tail)
            if used > self.overlap or used + following.num_tokens > self.max_tokens:
                break
            tail.insert(0, segment)
        return tail

    def _segments(self, block: Block, offset: int) -> Iterator[_Segment]:
        for start, end in _pieces(block.text):
            piece = block.text[start:end]
            spans = sentence_spans(piece)
            counts = self.tokenizer.count_many([piece[a:b] for a, b in spans])
            for (a, b), count in zip(spans, counts, strict=True):
                if count <= self.max_tokens:
                    yield _Segment(piece[a:b], offset + start + a, count, block.heading, block.page)
                else:
                    yield from self._split(piece[a:b], offset + start + a, block)

    def _split(self, text: str, offset: int, block: Block) -> Iterator[_Segment]:
        """Split a sentence longer than a chunk between words, or inside one that is longer than a chunk itself."""
        encoding = self.tokenizer.tokenizer.encode(text, add_special_tokens=False)
        ends = [end for _, end in encoding.offsets]
        start = first = 0
        while first < len(ends):
            last = min(first + self.max_tokens, len(ends))
            cut = len(text) if last == len(ends) else _word_border(text, start, ends[last - 1])
            cut = max(cut, start + 1)
            # tokens at the cut differ from those of the whole: give way a little, down to one character
            while (count := self.tokenizer.count_tokens(text[start:cut])) > self.max_tokens and cut > start + 1:
                cut -= max(1, (cut - start) // 20)
            yield _Segment(text[start:cut], offset + start, count, block.heading, block.page)
            start = cut
            if start >= len(text):
                return
            first = next((i for i, end in enumerate(ends) if end > start), len(ends))

    def _emit(self, document: Document, held: list[_Segment]) -> Iterator[Chunk]:
        """Yield the held segments as one chunk; as two if joined they have more tokens than their sum."""
        raw = "".join(segment.text for segment in held)
        text = raw.strip()
        if not text:
            return
        count = self.tokenizer.count_tokens(text)
        if count > self.max_tokens and len(held) > 1:
            middle = len(held) // 2
            yield from self._emit(document, held[:middle])
            yield from self._emit(document, held[middle:])
            return
        start = held[0].start + len(raw) - len(raw.lstrip())
        heading = held[-1].heading if held[-1].heading[: len(held[0].heading)] == held[0].heading else held[0].heading
        yield Chunk(document.document_id, text, start, start + len(text), count, heading, held[0].page)


def _tokens(segments: list[_Segment]) -> int:
    return sum(segment.num_tokens for segment in segments)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Cut a very long block at white space, so that one call never tokenises megabytes."""
    start = 0
    while len(text) - start > _PIECE:
        end = _word_border(text, start, start + _PIECE)
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def _word_border(text: str, start: int, end: int) -> int:
    """Return the last position after white space in text[start:end], or ``end`` if there is none."""
    for position in range(end, start + (end - start) // 2, -1):
        if text[position - 1].isspace():
            return position
    return max(end, start + 1)
