"""The small records that travel between the rooms. No behaviour beyond formatting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from instructor_search.instruction_rule import GivenInstruction


class Block(NamedTuple):
    """A paragraph-sized piece of a document. The document's text is the concatenation of its blocks' texts."""

    text: str
    heading: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True)
class Document:
    """What was read: one file, or one row of a table. ``blocks`` is consumed once and may be longer than memory."""

    document_id: str  # "corpus/reviews.csv#row=3"
    source: str  # "corpus/reviews.csv"
    title: str
    mime: str
    blocks: Iterable[Block]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    row: int | None = None  # of a table, from 1


class Chunk(NamedTuple):
    """A piece of a document that is embedded; ``text`` is the document's text[start:end] (characters)."""

    document_id: str
    text: str
    start: int
    end: int
    num_tokens: int
    heading: tuple[str, ...]
    page: int | None


@dataclass(frozen=True)
class Query:
    """A text, the instruction it is searched under, and an optional filter in the language of ``search.filters``.

    ``instruction``: see ``instruction_rule.resolve``; None: what goes with the view that is searched.
    """

    text: str
    instruction: GivenInstruction = None
    where: str | None = None


@dataclass(frozen=True)
class Hit:
    """A chunk that was found. ``score``: higher is better; ``signals``: where the score came from.

    ``best_sentence``: the sentence of its text that is nearest to the query, which ``snippet`` is made around.
    """

    rank: int
    score: float
    chunk_id: str
    document_id: str
    source: str
    title: str
    text: str
    snippet: str
    start: int
    end: int
    heading: tuple[str, ...]
    page: int | None
    metadata: Mapping[str, Any]
    signals: Mapping[str, float]
    best_sentence: str = ""


class Demonstration(NamedTuple):
    """An (input, output) example retrieved for a prompt; ``score``: higher is nearer to the input asked about.

    ``example_id`` and ``source`` say where in its pool it is from; ``metadata``: its other columns.
    """

    input: str
    output: str
    score: float = 0.0
    task: str = ""
    example_id: str = ""
    source: str = ""
    metadata: Mapping[str, Any] = {}
