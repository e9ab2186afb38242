"""The sentence of a hit that is nearest to the query by meaning: which of them are embedded, and what that may take.

A sentence is embedded after its document's title, as "It keeps water in" says little alone; one that is the title or a
heading is not taken. Vectors of sentences depend on no query, so those of recent searches are kept.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np

from instructor_search.encoder.protocol import Encoder, to_unit_length
from instructor_search.instructions import InstructedText
from instructor_search.search.snippets import MAX_SENTENCES, shortlist

_NUM_KEPT = 4096  # vectors of sentences
_SAMPLE = [f"A document's title\nSentence number {i} is about as long as most of them are." for i in range(4)]


class Passage(NamedTuple):
    """A hit's text in sentences (one at least), and what stands over it."""

    title: str
    heading: tuple[str, ...]
    sentences: list[str]

    def candidates(self, query: str) -> list[int]:
        """Return the positions of the sentences worth embedding: no headings, where there is anything else."""
        over = {self.title.strip(), *(name.strip() for name in self.heading)}
        body = [i for i, sentence in enumerate(self.sentences[:MAX_SENTENCES]) if sentence.strip() not in over]
        body = body or list(range(len(self.sentences)))
        return [body[i] for i in shortlist(query, [self.sentences[i] for i in body])]


class SentenceFinder:
    """Finds nearest sentences with one encoder, under one document instruction. Several threads may share it."""

    def __init__(self, encoder: Encoder, instruction: str) -> None:
        """Nothing is embedded yet."""
        self.encoder, self.instruction = encoder, instruction
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = Lock()
        self._measuring = Lock()
        self._seconds_per_character = 0.0  # of the fastest batch so far; 0: not measured

    def nearest(
        self, vector: np.ndarray, query: str, passages: Sequence[Passage], seconds: float | None = None
    ) -> list[int]:
        """Return the position of the nearest sentence to ``vector``, (dim,), for each passage.

        ``seconds``: what embedding may take; the answer is then of the first passages for which that suffices.
        """
        chosen = [passage.candidates(query) for passage in passages]
        texts = [[f"{p.title}\n{p.sentences[i]}" for i in picks] for p, picks in zip(passages, chosen, strict=True)]
        if seconds is not None:
            texts = texts[: self._affordable(texts, seconds)]
        vectors = self._vectors(list(dict.fromkeys(text for sentences in texts for text in sentences)))
        best = [int(np.argmax(np.stack([vectors[text] for text in sentences]) @ vector)) for sentences in texts]
        return [picks[at] for picks, at in zip(chosen, best, strict=False)]

    def _affordable(self, texts: Sequence[Sequence[str]], seconds: float) -> int:
        """Return for how many passages the time suffices, by the speed that was measured."""
        speed = self._seconds_per_character or self._measure()
        with self._lock:
            new = [[text for text in sentences if text not in self._known] for sentences in texts]
        spent = np.cumsum([self._size(sentences) for sentences in new]) * speed
        return int(np.searchsorted(spent, seconds, side="right"))

    def _size(self, texts: Sequence[str]) -> int:
        """Return the characters that the encoder reads; a short text takes as long as the sample's."""
        return sum(max(len(text), len(_SAMPLE[0])) + len(self.instruction) for text in texts)

    def _measure(self) -> float:
        """Measure the encoder once, with twelve sentences; the fastest of three batches counts."""
        with self._measuring:
            while not self._seconds_per_character:
                for _ in range(3):
                    self._embed(_SAMPLE)
        return self._seconds_per_character

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        started = time.perf_counter()
        vectors = self.encoder.encode([InstructedText(self.instruction, text) for text in texts])
        took = (time.perf_counter() - started) / self._size(texts)
        self._seconds_per_character = min(self._seconds_per_character or took, took)
        return to_unit_length(vectors)

    def _vectors(self, texts: list[str]) -> dict[str, np.ndarray]:
        """Return unit vectors by text; what is not known is embedded."""
        with self._lock:
            vectors = {text: self._known[text] for text in texts if text in self._known}
        new = [text for text in texts if text not in vectors]
        if new:
            vectors.update(zip(new, self._embed(new), strict=True))
        with self._lock:
            for text, vector in vectors.items():
                self._known[text] = vector
                self._known.move_to_end(text)
            while len(self._known) > _NUM_KEPT:
                self._known.popitem(last=False)
        return vectors
