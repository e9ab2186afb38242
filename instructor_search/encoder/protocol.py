"""What the rest of the house asks of an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from instructor_search.errors import ModelError

if TYPE_CHECKING:
    from instructor_search.encoder.tokenization import InstructedTokenizer
    from instructor_search.instructions import InstructedText


class Encoder(Protocol):
    """Turns instructed texts into vectors of one space, named by ``fingerprint``."""

    name: str
    fingerprint: str
    runtime: str
    precision: str
    tokenizer: InstructedTokenizer

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def max_tokens(self) -> int:
        """Tokens of the window, special tokens included."""

    def load(self) -> None:
        """Load what the first text would load otherwise."""

    def encode(
        self,
        sentences: Sequence[InstructedText],
        batch_size: int | None = None,
        *,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return float32 vectors, (n, dim), one a row in input order; ``on_batch`` is told of texts done."""


def check_vectors(vectors: np.ndarray, name: str) -> np.ndarray:
    """Return ``vectors``, (n, dim), if each can be compared with others.

    Raises:
        ModelError: the encoder called ``name`` gave vectors that are zero or not finite.
    """
    bad = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
    if bad.any():
        raise ModelError(f"encoder {name} gave {int(bad.sum())} of {len(bad)} vectors that are zero or not finite")
    return vectors


def to_unit_length(vectors: np.ndarray) -> np.ndarray:
    """Return ``vectors``, float32 (n, dim), divided by their lengths; a zero vector stays zero."""
    vectors = np.asarray(vectors, dtype=np.float32)
    units: np.ndarray = vectors / np.sqrt(np.maximum(np.vecdot(vectors, vectors), 1e-24))[:, None]
    return units
