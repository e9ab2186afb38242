"""Joins instruction and text, tokenises them, and counts the leading tokens that the pooling leaves out.

The rule is the official package's (``InstructorEmbedding``), in its two published behaviours:

- ``pypi`` (release 1.0.1): the instruction as given + stripped text, the whole stripped. Left out of the pooling:
  tokens of the stripped instruction with its end token, minus 1; a count of 1 becomes 0.
- ``head`` (the repository, never released): stripped instruction + stripped text, and no rule for a count of 1.

``tokenizer.json`` is read as it stands: transformers 5 rebuilds T5 tokenizers and changes ids around special tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from instructor_search.errors import InstructionTooLongError, ModelError
from instructor_search.instructions import InstructedText


class Dialect(StrEnum):
    """Which of the two official behaviours joins instruction and text."""

    PYPI = "pypi"
    HEAD = "head"


class TokenizedText(NamedTuple):
    """Ids as the model sees them; the first ``num_masked`` are not pooled; ``num_cut`` did not fit into the window."""

    ids: list[int]
    num_masked: int
    num_cut: int

    @property
    def num_pooled(self) -> int:
        """Tokens that make the embedding, end token included."""
        return len(self.ids) - self.num_masked


class InstructedTokenizer:
    """A ``tokenizers.Tokenizer`` with a window and the instruction rule."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_tokens: int,
        *,
        dialect: str = Dialect.PYPI,
        lower_case: bool = False,
        instruction_overflow: str = "error",
    ) -> None:
        """Wrap ``tokenizer``; ``instruction_overflow="official"``: a too long instruction eats the text, as it did."""
        if instruction_overflow not in ("error", "official"):
            raise ValueError(f"instruction_overflow is {instruction_overflow!r}; expected 'error' or 'official'")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.dialect = Dialect(dialect)
        self.lower_case = lower_case
        self.instruction_overflow = instruction_overflow
        self.prefix, self.suffix = _special_ids(tokenizer)
        self._num_instruction_tokens = lru_cache(4096)(self._count_instruction)

    def __getstate__(self) -> dict[str, object]:
        """Leave out what is remembered: a copy in another process starts without it."""
        return {name: value for name, value in vars(self).items() if name != "_num_instruction_tokens"}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take over a state, and remember instructions anew."""
        vars(self).update(state)
        self._num_instruction_tokens = lru_cache(4096)(self._count_instruction)

    @classmethod
    def from_folder(cls, folder: Path, max_tokens: int, **options: object) -> InstructedTokenizer:
        """Read ``tokenizer.json`` of a model folder."""
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(
                f"{folder} has no tokenizer.json; write one with transformers: "
                "AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER)"
            )
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(f"{path} is no tokenizer ({str(error)[:120]})") from error
        return cls(tokenizer, max_tokens, **options)  # type: ignore[arg-type]

    @property
    def num_special(self) -> int:
        """Special tokens around every text: 1 for T5 (end), 2 for BERT."""
        return len(self.prefix) + len(self.suffix)

    def _clean(self, text: str) -> str:
        return text.lower() if self.lower_case else text

    def _count_instruction(self, instruction: str) -> int:
        stripped = self._clean(instruction.strip())
        return len(self.tokenizer.encode(stripped, add_special_tokens=False).ids) + self.num_special

    def join(self, instruction: str, text: str) -> str:
        """Return the one string that the model reads."""
        head = instruction.strip() if self.dialect is Dialect.HEAD else instruction
        joined = head + text.strip()
        return self._clean(joined if self.dialect is Dialect.HEAD else joined.strip())

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of ``text`` alone, without special tokens."""
        return len(self.tokenizer.encode(self._clean(text), add_special_tokens=False).ids)

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """Return ``count_tokens`` of each text, in parallel."""
        encodings = self.tokenizer.encode_batch([self._clean(t) for t in texts], add_special_tokens=False)
        return [len(e.ids) for e in encodings]

    def num_instruction_tokens(self, instruction: str) -> int:
        """Return the tokens of the stripped instruction, special tokens not counted."""
        return self._num_instruction_tokens(instruction) - self.num_special

    def text_budget(self, instruction: str) -> int:
        """Return how many tokens of text fit beside ``instruction``: window - instruction - special tokens.

        Raises:
            InstructionTooLongError: nothing fits.
        """
        budget = self.max_tokens - self._num_instruction_tokens(instruction)
        if budget < 1:
            raise InstructionTooLongError(
                f"the instruction has {self.num_instruction_tokens(instruction)} tokens and the window is "
                f"{self.max_tokens} with {self.num_special} special ones: no text would be seen; shorten the "
                f"instruction ({instruction[:60]!r}...)"
            )
        return budget

    def encode_batch(self, texts: Sequence[InstructedText]) -> list[TokenizedText]:
        """Return ids and mask counts of each (instruction, text), in input order.

        Raises:
            InstructionTooLongError: an instruction fills the window (unless ``instruction_overflow="official"``).
        """
        if self.instruction_overflow == "error":
            for instruction in {t[0] for t in texts}:
                self.text_budget(instruction)
        joined = [self.join(instruction, text) for instruction, text in texts]
        if len(joined) == 1:  # without the threads of a batch
            encodings = [self.tokenizer.encode(joined[0], add_special_tokens=False)]
        else:
            encodings = self.tokenizer.encode_batch(joined, add_special_tokens=False)
        return [self._assemble(pair[0], e) for pair, e in zip(texts, encodings, strict=True)]

    def num_cut(self, item: InstructedText) -> int:
        """Return how many tokens of a text do not fit into the window beside its instruction."""
        joined = self.join(*item)
        if joined.isascii() and len(joined) + self.num_special < self.max_tokens:  # a token has a character at least
            return 0
        return self.encode_batch([item])[0].num_cut

    def text_spans(self, item: InstructedText) -> list[tuple[int, int] | None]:
        """Return which characters of the text each id of ``encode_batch`` stands for; None: special, or instruction."""
        joined, body = self.join(*item), self._clean(item.text.strip())
        border, lead = len(joined) - len(body), len(item.text) - len(item.text.lstrip())
        offsets = self.tokenizer.encode(joined, add_special_tokens=False).offsets
        inner = [
            (max(start - border, 0) + lead, end - border + lead) if end > border else None
            for start, end in offsets[: self.max_tokens - self.num_special]
        ]
        return [*[None] * len(self.prefix), *inner, *[None] * len(self.suffix)]

    def _assemble(self, instruction: str, encoding: object) -> TokenizedText:
        inner: list[int] = encoding.ids  # type: ignore[attr-defined]
        room = self.max_tokens - self.num_special
        ids = [*self.prefix, *inner[:room], *self.suffix]
        masked = min(self._num_instruction_tokens(instruction), self.max_tokens) - 1
        if self.dialect is Dialect.PYPI and masked <= 1:
            masked = 0
        if masked >= len(ids):  # tokens merged at the border; the official code returns zeros or fails
            masked = self._first_text_token(instruction, encoding.offsets)  # type: ignore[attr-defined]
        return TokenizedText(ids, max(masked, 0), max(len(inner) - room, 0))

    def _first_text_token(self, instruction: str, offsets: Sequence[tuple[int, int]]) -> int:
        """Return the position of the first token that holds a character of the text."""
        head = self.join(instruction, "")
        border = len(head)
        for position, (_, end) in enumerate(offsets):
            if end > border:
                return len(self.prefix) + position
        return len(self.prefix) + len(offsets)


def _special_ids(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the special ids that the tokenizer puts before and after a text."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.encode("a", add_special_tokens=True).ids
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    raise ModelError("tokenizer.json changes the text's own tokens when special tokens are added; cannot count them")


def pad(batch: Sequence[TokenizedText], pad_id: int, length: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, attention mask and pooling mask, each int64 (batch, longest), or wider if ``length`` is more."""
    longest = max(length, *(len(t.ids) for t in batch))
    ids = np.full((len(batch), longest), pad_id, dtype=np.int64)
    attention = np.zeros((len(batch), longest), dtype=np.int64)
    for row, item in enumerate(batch):
        ids[row, : len(item.ids)] = item.ids
        attention[row, : len(item.ids)] = 1
    pooled = attention.copy()
    for row, item in enumerate(batch):
        pooled[row, : item.num_masked] = 0
    return ids, attention, pooled
