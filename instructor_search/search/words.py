"""A query's words as the store's full-text search takes them: fields with weights, and "quoted phrases"."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from instructor_search.store.lancedb_lightly import BooleanQuery, MatchQuery, Occur, PhraseQuery

# BM25 of each field is added up. A title's words mostly stand in its text too, so they count 1.3 times.
FIELD_WEIGHTS = {"text": 1.0, "title": 0.3, "heading": 0.3}
_PHRASE = re.compile(r'(\+?)"([^"]*\w[^"]*)"')
_match: Any = MatchQuery  # their stubs take every field for required
_phrase: Any = PhraseQuery


def text_query(text: str, fields: Collection[str]) -> Any:
    """Return the query for chunks that share words with ``text``, in those of ``FIELD_WEIGHTS`` that are ``fields``.

    Words in double quotes count once more where they stand together in the chunk's text, in this order (stop words and
    endings apart); with a plus before them, +"...", they must, as in Lucene's syntax.
    """
    shared = [
        (Occur.SHOULD, _match(text, field, boost=weight)) for field, weight in FIELD_WEIGHTS.items() if field in fields
    ]
    phrases = [
        (Occur.MUST if plus else Occur.SHOULD, _phrase(phrase.strip(), "text"))
        for plus, phrase in _PHRASE.findall(text)
    ]
    return BooleanQuery(phrases + shared)
