"""What random words score in a view, so that hits which do not stand out from it can be called weak.

Meaningless queries are embedded under the query's instruction, and the best score of each is taken. A search is weak
where its own best score is below their mean plus two standard deviations. No constant is a cosine: another view,
instruction, filter or state of the collection has another background.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from instructor_search.encoder.protocol import Encoder, to_unit_length
from instructor_search.instruction_rule import GivenInstruction, resolve
from instructor_search.instructions import InstructedText

if TYPE_CHECKING:
    from instructor_search.records import Hit
    from instructor_search.search.searcher import Searcher

NUM_QUERIES = 64
MIN_CHUNKS = 20  # fewer than that have no background to stand out from
DEVIATIONS = 2.0  # above the mean of the random queries' best scores (benchmarks/search_signals.py)
_NUM_INSTRUCTIONS = 64  # whose random queries are remembered, with an array of (64, dim) each
_NUM_THRESHOLDS = 256
_PATIENCE_SECONDS = 1.0  # for which a search waits for others' random queries
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class RandomQueries:
    """Vectors of the random queries under an instruction, by one encoder; those of recent instructions are kept."""

    def __init__(self, encoder: Encoder) -> None:
        """Nothing is embedded yet."""
        self.encoder = encoder
        self.texts = random_queries()
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = Lock()
        self._embedding = Lock()

    def vectors(self, instruction: str) -> np.ndarray | None:
        """Return unit vectors, (n, dim); of several threads that ask for the same new ones, one embeds them.

        None where others are embedding for longer than a person should wait: many new instructions come at once.
        """
        known = self._recall(instruction)
        if known is not None:
            return known
        if not self._embedding.acquire(timeout=_PATIENCE_SECONDS):
            return None
        try:
            known = self._recall(instruction)
            if known is None:
                texts = [InstructedText(instruction, text) for text in self.texts]
                known = to_unit_length(self.encoder.encode(texts))
                known = known[np.isfinite(known).all(axis=1) & known.any(axis=1)]
                with self._lock:
                    self._known[instruction] = known
                    if len(self._known) > _NUM_INSTRUCTIONS:
                        self._known.popitem(last=False)
        finally:
            self._embedding.release()
        return known

    def _recall(self, instruction: str) -> np.ndarray | None:
        with self._lock:
            if instruction in self._known:
                self._known.move_to_end(instruction)
            return self._known.get(instruction)


class Background:
    """Best scores of random queries in one view."""

    def __init__(self, searcher: Searcher, queries: RandomQueries | None = None) -> None:
        """``queries``: those of the view's encoder, where several views share it."""
        self.searcher = searcher
        self._queries = queries
        self._known: OrderedDict[tuple[int, str, str | None], float | None] = OrderedDict()
        self._lock = Lock()

    def threshold(self, instruction: GivenInstruction = None, where: str | None = None) -> float | None:
        """Return the cosine from which a best hit stands out; None where fewer than MIN_CHUNKS chunks can be found.

        It is computed once for a version of the table, an instruction and a filter.

        Raises:
            InstructorSearchError, ValueError: as of ``Searcher.search``.
        """
        sentence = resolve(instruction, documents_under=self.searcher.view.document_instruction)
        finder = self.searcher.finder
        with finder.reading():
            version = finder.version
        key = (version, sentence, where)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        if self._queries is None:
            self._queries = RandomQueries(self.searcher.encoder)
        vectors = self._queries.vectors(sentence)
        if vectors is None:
            return None
        value = self._compute(vectors, where)
        with self._lock:
            self._known[key] = value
            if len(self._known) > _NUM_THRESHOLDS:
                self._known.popitem(last=False)
        return value

    def is_weak(self, hits: Sequence[Hit], instruction: GivenInstruction = None, where: str | None = None) -> bool:
        """Return whether no hit of a search's first page stands out from what random words score.

        No judgment is made, and False returned, where there are no hits, where one of them shares words with the query
        (searches by words, hybrid ones), and where ``threshold`` is None.
        """
        best = [hit.signals["dense"] for hit in hits if "dense" in hit.signals]
        if not best or any("text" in hit.signals for hit in hits):
            return False
        threshold = self.threshold(instruction, where)
        return threshold is not None and max(best) < threshold

    def _compute(self, vectors: np.ndarray, where: str | None) -> float | None:
        scores = self.searcher.best_scores(vectors, where, at_least=MIN_CHUNKS)
        return float(scores.mean() + DEVIATIONS * scores.std()) if len(scores) > 1 else None


def random_queries(count: int = NUM_QUERIES, seed: int = 5) -> list[str]:
    """Return queries of one to four meaningless words: letters, syllables or digits by chance."""
    chance = random.Random(seed)
    make = (_letters, _syllables, _digits)
    return [" ".join(chance.choice(make)(chance) for _ in range(chance.randint(1, 4))) for _ in range(count)]


def _letters(chance: random.Random) -> str:
    return "".join(chance.choice(_LETTERS) for _ in range(chance.randint(3, 8)))


def _syllables(chance: random.Random) -> str:
    parts = []
    for _ in range(chance.randint(2, 3)):
        parts += [chance.choice("bcdfghjklmnprstvwz"), chance.choice("aeiou"), chance.choice(("", "", *"nrslmt"))]
    return "".join(parts)


def _digits(chance: random.Random) -> str:
    return "".join(chance.choice("0123456789") for _ in range(chance.randint(2, 6)))
