"""What the rest of the house asks of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

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

    def encode(self, sentences: Sequence[InstructedText], **options: Any) -> np.ndarray:
        """Return float32 vectors, (n, dim), one a row in input order."""
