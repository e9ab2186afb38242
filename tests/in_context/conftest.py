"""A pool whose vectors can be computed by hand: an input's words say where it lies."""

import numpy as np
import pytest

from instructor_search.in_context.filling import create_pool
from instructor_search.records import Demonstration
from tests.toy import HashEncoder

ANIMALS = ("cat", "dog", "cow", "hen", "fox", "owl")
TREES = ("oak", "elm", "fir", "ash")
COLOURS = ("red", "tan")
WORDS = (*ANIMALS, *TREES, *COLOURS)
EXAMPLES = [Demonstration(f"input {i}", f"output {i}", 1.0 - i / 10) for i in range(5)]
INSTRUCTION = "Represent the word: "


class WordEncoder(HashEncoder):
    """A unit vector: an axis for each kind of word, one for each word, and a tenth of what the instruction hashes to."""

    def __init__(self):
        super().__init__(dim=24)
        self.fingerprint = "words-24"

    def encode(self, sentences, batch_size=32, *, on_batch=None):
        vectors = 0.1 * super().encode([(instruction, "") for instruction, _ in sentences], on_batch=on_batch)
        for row, (_, text) in enumerate(sentences):
            for word in text.lower().split():
                if word in WORDS:
                    kind = next(i for i, own in enumerate((ANIMALS, TREES, COLOURS)) if word in own)
                    vectors[row, kind] += 1.0
                    vectors[row, 3 + WORDS.index(word)] += 0.8
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def kind_of(word):
    return "animal" if word in ANIMALS else "tree" if word in TREES else "colour"


@pytest.fixture
def words():
    return WordEncoder()


@pytest.fixture
def pool(store, words):
    examples = [
        Demonstration(
            f"a {word}", kind_of(word), task="kinds" if i % 2 else "words", metadata={"length": len(word), "n": i}
        )
        for i, word in enumerate(WORDS)
    ]
    return create_pool("words", examples, store=store, instruction=INSTRUCTION, encoder=words)
