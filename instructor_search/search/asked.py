"""What is asked of a search: the query with its instruction resolved, and what is refused before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from instructor_search.instruction_rule import GivenInstruction, agreed
from instructor_search.records import Query
from instructor_search.search.ranking import MAX_TOP_K

MAX_QUERY_CHARACTERS = 100_000


class Asked(NamedTuple):
    """A query whose instruction is resolved."""

    text: str
    instruction: str
    where: str | None


def asked_of(query: Query | str, instruction: GivenInstruction, where: str | None, *, documents_under: str) -> Asked:
    """Return the query, its instruction resolved; the arguments hold for queries that say nothing themselves.

    Raises:
        ValueError: a ``Query`` brings another instruction or filter than the arguments do.
    """
    asked_query = query if isinstance(query, Query) else Query(query)
    if asked_query.where is not None and where is not None and asked_query.where != where:
        raise ValueError(f"two filters were given for one query: {asked_query.where!r} and {where!r}; give one of them")
    sentence = agreed(asked_query.instruction, instruction, documents_under=documents_under)
    return Asked(asked_query.text, sentence, where if asked_query.where is None else asked_query.where)


def check_query(query: Asked, top_k: int, offset: int) -> None:
    """Refuse a query that is empty, too long or no text, and a page that is out of bounds.

    Raises:
        ValueError: it is one of these.
    """
    if not query.text.strip():
        raise ValueError("the query is empty; expected a text to search for")
    if any("\ud800" <= character <= "\udfff" for character in query.text + query.instruction):
        raise ValueError("the query is not valid text; expected characters in the terminal's encoding (UTF-8)")
    if len(query.text) > MAX_QUERY_CHARACTERS:
        raise ValueError(f"the query has {len(query.text)} characters; expected at most {MAX_QUERY_CHARACTERS}")
    check_page(top_k, offset)


def check_page(top_k: int, offset: int) -> None:
    """Refuse a number of hits, or of hits before them, that is out of bounds.

    Raises:
        ValueError: it is.
    """
    if not 1 <= top_k <= MAX_TOP_K:
        raise ValueError(f"top_k is {top_k}; expected 1 to {MAX_TOP_K}")
    if not 0 <= offset <= MAX_TOP_K - top_k:
        raise ValueError(f"offset is {offset}; expected 0 to {MAX_TOP_K - top_k} with top_k {top_k}")


def check_vectors(vectors: np.ndarray, queries: Sequence[Asked]) -> None:
    """Refuse queries whose vectors, (q, dim), have no direction.

    Raises:
        ValueError: there is one; the message names it.
    """
    usable = np.isfinite(vectors).all(axis=1) & (np.linalg.norm(vectors, axis=1) > 0)
    for query, fine in zip(queries, usable, strict=True):
        if not fine:
            raise ValueError(f"the query {query.text[:60]!r} has no usable embedding under this instruction")
