"""Why a text has its score: with mean pooling a cosine is exactly a sum over tokens.

cos(q, d) = sum over the tokens i of d of (p_i . q) / |d|, where the parts p_i sum to d (``encoder.token_states``) and q
has unit length. The same holds with the sides exchanged, so that the query's own words can be looked at as well. Every
explanation is of one query instruction; two of them side by side show what another instruction changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from instructor_search.encoder.token_states import PooledTokens, TokenStates
from instructor_search.errors import StoreError
from instructor_search.instruction_rule import GivenInstruction, resolve
from instructor_search.instructions import InstructedText
from instructor_search.search.snippets import sentence_spans

if TYPE_CHECKING:
    from instructor_search.search.searcher import Searcher


class Part(NamedTuple):
    """A piece of a text and what it adds to the score; special tokens (ends, or classes) have an empty span."""

    text: str
    start: int
    end: int
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """One score taken apart. ``tokens``, ``sentences`` and ``query_tokens`` each sum to ``score``.

    ``stored_score``: the cosine with the vector in the store, where there is one; it differs from ``score``, which is
    computed in float32 (by torch: as the model does), by the precision of the view's vectors.
    """

    query: str
    instruction: str
    document_instruction: str
    score: float
    tokens: tuple[Part, ...]
    sentences: tuple[Part, ...]
    query_tokens: tuple[Part, ...]
    text: str
    stored_score: float | None = None


class Explainer:
    """Takes scores apart with one encoder."""

    def __init__(self, encoder: Any) -> None:
        """``encoder``: an ``InstructorEncoder``."""
        self.states = TokenStates(encoder)

    def explain(self, query: InstructedText, text: InstructedText) -> Explanation:
        """Return how the tokens of ``text``, and those of ``query``, make the cosine of the two.

        Raises:
            InstructionTooLongError: an instruction fills the window.
        """
        asked, text_states = self.states.read(query), self.states.read(text)
        tokens = _parts(text.text, text_states, asked.vector)
        return Explanation(
            query=query.text,
            instruction=query.instruction,
            document_instruction=text.instruction,
            score=float(asked.vector @ text_states.vector),
            tokens=tokens,
            sentences=_by_sentence(text.text, tokens),
            query_tokens=_parts(query.text, asked, text_states.vector),
            text=text.text,
        )


def explain_hit(
    searcher: Searcher,
    chunk_id: str,
    query: str,
    instructions: Sequence[GivenInstruction],
    *,
    explainer: Explainer | None = None,
) -> list[Explanation]:
    """Return why a chunk has its score for ``query``, once under each of the query ``instructions``.

    Raises:
        StoreError: the collection has no such chunk.
        ValueError: the query is empty, or an instruction is none.
    """
    if not query.strip():
        raise ValueError("the query is empty; expected the text that was searched for")
    view, collection = searcher.view, searcher.collection
    sentences = [resolve(given, documents_under=view.document_instruction) for given in instructions]
    rows = collection.rows_by_id([chunk_id], ["text"]).to_pylist()
    if not rows:
        raise StoreError(f"{collection.name!r} has no chunk {chunk_id!r}; ids stand in search --json and --explain")
    text = InstructedText(view.document_instruction, rows[0]["text"])
    explainer = explainer or Explainer(searcher.encoder)
    stored = collection.vectors_of(view, [chunk_id]).get(chunk_id)
    explained = []
    for sentence in sentences:
        explanation = explainer.explain(InstructedText(sentence, query), text)
        explained.append(
            Explanation(**{**explanation.__dict__, "stored_score": _stored(searcher, explanation, stored)})
        )
    return explained


def _stored(searcher: Searcher, explanation: Explanation, vector: np.ndarray | None) -> float | None:
    """Return the score that a search gives: of the encoder's own vectors."""
    if vector is None:
        return None
    asked = np.asarray(
        searcher.encoder.encode([InstructedText(explanation.instruction, explanation.query)]), np.float32
    )[0]
    return float(asked @ vector / max(float(np.linalg.norm(asked) * np.linalg.norm(vector)), 1e-12))


def _parts(text: str, tokens: PooledTokens, other: np.ndarray) -> tuple[Part, ...]:
    length = max(float(np.linalg.norm(tokens.parts.sum(0))), 1e-12)
    values = (tokens.parts @ other / length).tolist()
    spans = [span or (0, 0) for span in tokens.spans]
    return tuple(Part(text[a:b], a, b, value) for (a, b), value in zip(spans, values, strict=True))


def _by_sentence(text: str, tokens: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the sums of the tokens of each sentence; special tokens are a part of their own, with an empty span."""
    spans = sentence_spans(text)
    sums = [0.0] * len(spans)
    special = 0.0
    for token in tokens:
        at = next((i for i, (_, end) in enumerate(spans) if token.start < end), len(spans) - 1)
        if token.end == token.start or at < 0:
            special += token.contribution
        else:
            sums[at] += token.contribution
    parts = [Part(text[a:b], a, b, value) for (a, b), value in zip(spans, sums, strict=True)]
    return (*parts, Part("", 0, 0, special))
