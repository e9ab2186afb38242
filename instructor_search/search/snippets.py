"""The part of a hit that is shown: its best sentence and what fits around it."""

from __future__ import annotations

import re
from enum import StrEnum

_SPLIT = re.compile(r"(?<=[.!?\u2026])[)\]\"'\u201d\u2019]*\s+(?=\S)|\n+")
_WORD = re.compile(r"\w+")
_MARK = re.compile(r"^#{1,6}\s+")
MAX_SENTENCES = 40  # of a chunk that are looked at
MAX_EMBEDDED = 8  # of those that are compared by meaning: they share most words with the query, else come first
_HINT_WEIGHT = 0.1  # of a word of the instruction, where one of the query counts 1


class Snippets(StrEnum):
    """How a hit's best sentence is found.

    WORDS: it shares most words with the query, then with the instruction; costs no embedding. MEANING: its vector is
    nearest to the query's; its sentences are embedded, which takes far longer than the search. AUTO: by meaning for as
    many hits as the model's measured speed allows, by words for the others. NONE: none is shown.
    """

    WORDS = "words"
    MEANING = "meaning"
    AUTO = "auto"
    NONE = "none"


def snippets_kind(name: str) -> Snippets:
    """Return the kind of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in list(Snippets):
        raise ValueError(f"snippets is {name!r}; expected one of {', '.join(Snippets)}")
    return Snippets(name)


def split_sentences(text: str) -> list[str]:
    """Return the sentences (or lines) of a chunk, without heading marks and rules of mere punctuation."""
    parts = (_MARK.sub("", part.strip()) for part in _SPLIT.split(text) if part)
    return [part for part in parts if _WORD.search(part)][:MAX_SENTENCES]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return where the sentences (or lines) of a text lie, one after the other, so that all of it is in one of them."""
    starts = [0, *(match.end() for match in _SPLIT.finditer(text) if match.end() < len(text))]
    return list(zip(starts, [*starts[1:], len(text)], strict=True)) if text else []


def lexical_scores(query: str, sentences: list[str], hint: str = "") -> list[float]:
    """Return for each sentence the share of the query's words in it (by first five letters); shorter ones win ties.

    Words of ``hint``, the query's instruction, count a tenth of the query's.
    """
    wanted = _stems(query)
    hints = _stems(hint, at_least=4) - wanted  # no "the" and "for"
    scores = []
    for sentence in sentences:
        words = _stems(sentence)
        shared = len(wanted & words) + _HINT_WEIGHT * len(hints & words)
        scores.append(shared / max(len(wanted), 1) - 1e-4 * len(words))
    return scores


def _stems(text: str, at_least: int = 3) -> set[str]:
    return {word[:5] for word in _WORD.findall(text.lower()) if len(word) >= at_least}


def snippet_around(sentences: list[str], best: int, max_characters: int = 240) -> str:
    """Return the best sentence with as many of its neighbours as fit, on one line; "..." marks what was left out."""
    first = last = best
    length = len(sentences[best])
    while True:
        after = len(sentences[last + 1]) if last + 1 < len(sentences) else None
        before = len(sentences[first - 1]) if first > 0 else None
        if after is not None and length + after + 1 <= max_characters:
            last, length = last + 1, length + after + 1
        elif before is not None and length + before + 1 <= max_characters:
            first, length = first - 1, length + before + 1
        else:
            break
    text = " ".join(" ".join(sentences[first : last + 1]).split())
    if len(text) > max_characters:
        text = text[:max_characters].rsplit(" ", 1)[0] + " ..."
    elif last + 1 < len(sentences):
        text += " ..."
    return ("... " if first > 0 else "") + text


def shortlist(query: str, sentences: list[str]) -> list[int]:
    """Return the positions of the sentences worth embedding, at most MAX_EMBEDDED, in order."""
    if len(sentences) <= MAX_EMBEDDED:
        return list(range(len(sentences)))
    scores = lexical_scores(query, sentences)
    shared = [round(score, 1) for score in scores]  # ties go to the earlier sentence
    return sorted(sorted(range(len(sentences)), key=lambda i: (-shared[i], i))[:MAX_EMBEDDED])


def shown_around(sentences: list[str], best: int) -> tuple[str, str]:
    """Return a snippet and the sentence that it is made around."""
    return snippet_around(sentences, best), sentences[best]
