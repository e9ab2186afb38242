"""Which words a text counts under in full-text search, and the query for texts that share words with another one.

Words are runs of letters and digits, without case, accents, English endings and stop words. A name such as
``maxSourceLength`` counts as a whole and by its parts.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import tantivy

if TYPE_CHECKING:
    from tantivy import Document, Query, Schema, TextAnalyzer

ANALYZER = "words"
PLACE = "place"  # of a chunk among the index's entries
# BM25 of each field is added up. A title's words mostly stand in its text too, so they count 1.3 times.
FIELD_WEIGHTS = {"text": 1.0, "title": 0.3, "heading": 0.3}
_MAX_WORD_BYTES = 256
# Function words of English, question words included, and what is left of "don't" and "they'll". With tantivy's own
# list of 33 words nDCG@10 on six retrieval sets is 1.7 points lower.
_STOP_WORDS = """
i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it
its itself they them their theirs themselves what which who whom this that these those am is are was were be been
being have has had having do does did doing would should could ought a an the and but if or because as until while
of at by for with about against between into through during before after above below to from up down in out on off
over under again further then once here there when where why how all any both each few more most other some such no
nor not only own same so than too very s t don didn doesn isn wasn aren weren couldn shouldn wouldn hasn haven hadn
ll re ve
""".split()
_PHRASE = re.compile(r'(\+?)"([^"]*)"')
_RUN = re.compile(r"[^\W_]+")
_PART = re.compile(r"A+(?!a)|A?a+|0+")  # of a name's shape: capitals, small letters, digits
_GAP = " ".join(["the"] * 16)  # words that do not count


@cache
def analyzer() -> TextAnalyzer:
    """Return what makes words of a text."""
    steps = [
        tantivy.Filter.remove_long(_MAX_WORD_BYTES),
        tantivy.Filter.lowercase(),
        tantivy.Filter.ascii_fold(),
        tantivy.Filter.custom_stopword(_STOP_WORDS),
        tantivy.Filter.stemmer("english"),
    ]
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for step in steps:
        builder = builder.filter(step)
    return builder.build()


@cache
def schema() -> Schema:
    """Return the fields of an index: words of each of ``FIELD_WEIGHTS``, and the place; no text is stored."""
    builder = tantivy.SchemaBuilder()
    for field in FIELD_WEIGHTS:  # only the text is looked through for phrases
        kept = "position" if field == "text" else "freq"
        builder = builder.add_text_field(field, tokenizer_name=ANALYZER, index_option=kept)
    return builder.add_unsigned_field(PLACE, indexed=True, fast=True).build()


def document(place: int, fields: dict[str, str | None]) -> Document:
    """Return what an index is given of a chunk; ``fields`` are those of ``FIELD_WEIGHTS``."""
    tantivy_document = tantivy.Document()
    tantivy_document.add_unsigned(PLACE, place)
    for field in FIELD_WEIGHTS:
        text = fields[field]
        if text:
            tantivy_document.add_text(field, text)
            parts = _parts_of_names(text)
            if parts:  # phrases do not run from the text into them
                tantivy_document.add_text(field, " ".join([_GAP, *parts]))
    return tantivy_document


def words_query(text: str) -> Query:
    """Return the query for chunks that share words with ``text``: the sum of the fields' weighted BM25.

    Words in double quotes count once more where they stand together in the chunk's text, in this order (stop words and
    endings apart); with a plus before them, +"...", they must, as in Lucene's syntax.
    """
    words = Counter(analyzer().analyze(text) + analyzer().analyze(" ".join(_parts_of_names(text))))
    parts = [
        (tantivy.Occur.Should, _weighted(tantivy.Query.term_query(schema(), field, word, "freq"), times * weight))
        for field, weight in FIELD_WEIGHTS.items()
        for word, times in words.items()
    ]
    for plus, quoted in _PHRASE.findall(text):
        phrase = _phrase_query(quoted)
        if phrase is not None:
            parts.append((tantivy.Occur.Must if plus else tantivy.Occur.Should, phrase))
    return tantivy.Query.boolean_query(parts)


def within(query: Query, places: list[int]) -> Query:
    """Return ``query`` among these places only; scores stay."""
    allowed = tantivy.Query.const_score_query(tantivy.Query.term_set_query(schema(), PLACE, places), 0.0)
    return tantivy.Query.boolean_query([(tantivy.Occur.Must, query), (tantivy.Occur.Must, allowed)])


def _weighted(query: Query, weight: float) -> Query:
    return query if weight == 1 else tantivy.Query.boost_query(query, weight)


def _phrase_query(text: str) -> Query | None:
    """Return the query for ``text`` as it stands; stop words leave gaps that any word may fill."""
    tokens: list[str | tuple[int, str]] = [(t.position, t.text) for t in analyzer().pre_tokenize(text).tokens]
    if len(tokens) > 1:
        return tantivy.Query.phrase_query(schema(), "text", tokens)
    return tantivy.Query.term_query(schema(), "text", tokens[0][1], "freq") if tokens else None


def _parts_of_names(text: str) -> list[str]:
    """Return the parts of names in ``text`` that have capitals inside: max, Source and Length of maxSourceLength."""
    parts = []
    for name in _RUN.findall(text):
        if len(name) > _MAX_WORD_BYTES or name[1:].islower() or name.isupper() or name[1:].lower() == name[1:]:
            continue
        if name.removesuffix("s").isupper():  # GPUs
            continue
        shape = "".join("A" if c.isupper() else "0" if c.isdigit() else "a" for c in name)
        parts += [name[match.start() : match.end()] for match in _PART.finditer(shape)]
    return parts
