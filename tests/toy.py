"""A deterministic encoder without a model: its vectors are a hash of instruction and text. For tests of everything else."""

from __future__ import annotations

import hashlib
import time

import numpy as np

from instructor_search.encoder.tokenization import InstructedTokenizer
from tests.conftest import PARITY


def interrupt_at(encoder, number):
    """Make the encoder's call of that number (from 1) be met by Ctrl-C; return what it did before."""
    real, calls = encoder.encode, []

    def interrupted(sentences, *more, **options):
        calls.append(len(sentences))
        if len(calls) == number:
            raise KeyboardInterrupt
        return real(sentences, *more, **options)

    encoder.encode = interrupted
    return real


class HashEncoder:
    """Unit vectors that anybody can compute again; ``seconds`` is slept for each text."""

    name = "hash"
    runtime = "numpy"
    precision = "fp32"

    def __init__(self, dim: int = 16, seconds: float = 0.0) -> None:
        self.dim = dim
        self.seconds = seconds
        self.fingerprint = f"hash-{dim}"
        self.max_tokens = 512
        self.tokenizer = InstructedTokenizer.from_folder(PARITY / "instructor-tiny", 512)

    def load(self) -> None:
        """Nothing to load."""

    def encode(self, sentences, batch_size: int = 32, *, on_batch=None):
        vectors = np.zeros((len(sentences), self.dim), np.float32)
        for row, (instruction, text) in enumerate(sentences):
            seed = hashlib.blake2b(f"{instruction}\0{text}".encode(), digest_size=8).digest()
            vector = np.random.default_rng(int.from_bytes(seed, "little")).normal(size=self.dim)
            vectors[row] = vector / np.linalg.norm(vector)
            time.sleep(self.seconds)
        if on_batch:
            on_batch(len(sentences))
        return vectors
