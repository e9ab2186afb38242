"""Cuts texts into batches of like length, by a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from instructor_search.encoder.tokenization import TokenizedText


def batches(tokenized: Sequence[TokenizedText], batch_size: int | None, batch_tokens: int) -> Iterator[list[int]]:
    """Yield row numbers, longest texts first, so that a batch has little padding and memory peaks at once.

    A batch has at most ``batch_size`` texts and ``batch_tokens`` padded tokens, and always one text.
    """
    order = sorted(range(len(tokenized)), key=lambda row: -len(tokenized[row].ids))
    start = 0
    while start < len(order):
        longest = len(tokenized[order[start]].ids)
        size = min(batch_size or len(order), max(batch_tokens // longest, 1))
        yield order[start : start + size]
        start += size
