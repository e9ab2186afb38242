"""Second looks at the candidates of a search: a cross-encoder, or the same texts under another instruction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from instructor_search.encoder.protocol import Encoder, to_unit_length
from instructor_search.errors import MissingExtraError, ModelError
from instructor_search.instruction_rule import resolve_pair
from instructor_search.instructions import InstructedText


class Reranker(Protocol):
    """Scores texts for a query; higher is better."""

    name: str

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """Return one score a text, (n,)."""


def make_reranker(given: str, encoder: Encoder | None, *, device: str | None = None) -> Reranker:
    """Return the reranker that a flag names: "instruction:SENTENCE" (with ``encoder``), or a cross-encoder's folder.

    "instruction:@NAME": the pair of the library, one instruction a side; a sentence stands for both sides.

    Raises:
        ValueError: it is empty, or its sentence is, or the library has no such name.
        ModelError, MissingExtraError: see ``CrossEncoderReranker``.
    """
    if not given.strip():
        raise ValueError("the reranker has no name; expected 'instruction:SENTENCE', or a cross-encoder's folder or id")
    if not given.startswith("instruction:"):
        return CrossEncoderReranker(given, device=device)
    sentence = given.removeprefix("instruction:").lstrip()
    if not sentence or encoder is None:
        raise ValueError(f"{given!r} names no instruction; expected e.g. 'instruction:Represent the question: '")
    return InstructionReranker(encoder, *resolve_pair(sentence))


class InstructionReranker:
    """Cosine similarity of query and texts under a pair of instructions other than the view's."""

    def __init__(self, encoder: Encoder, query_instruction: str, document_instruction: str) -> None:
        """``encoder`` may be another one than the view's."""
        self.name = f"instruction:{query_instruction}"
        self.encoder = encoder
        self.query_instruction = query_instruction
        self.document_instruction = document_instruction

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """Return one cosine similarity a text, (n,)."""
        pairs = [InstructedText(self.query_instruction, query)]
        pairs += [InstructedText(self.document_instruction, text) for text in texts]
        vectors = to_unit_length(self.encoder.encode(pairs))
        scores: np.ndarray = vectors[1:] @ vectors[0]
        return scores


class CrossEncoderReranker:
    """A sentence-transformers CrossEncoder from a local folder or hub id."""

    def __init__(self, name_or_path: str, *, device: str | None = None, batch_size: int = 32) -> None:
        """Load the model.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
            ModelError: it cannot be loaded.
        """
        try:
            from sentence_transformers import CrossEncoder
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", "eval", "reranking with a cross-encoder") from error
        is_local = Path(name_or_path).is_dir()
        if not is_local and name_or_path.count("/") != 1:
            raise ModelError(f"no model folder {name_or_path!r}; expected a folder or a hub id of a CrossEncoder")
        try:
            # The hub would be asked for a folder's name, for a model card that is never written.
            self.model = CrossEncoder(name_or_path, device=device, local_files_only=is_local)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise ModelError(f"cannot load the cross-encoder {name_or_path!r} ({reason})") from error
        self.name = name_or_path
        self.batch_size = batch_size

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """Return the model's score of each (query, text), (n,)."""
        pairs = [(query, text) for text in texts]
        scores = self.model.predict(pairs, batch_size=self.batch_size, show_progress_bar=False)
        return np.asarray(scores, dtype=np.float32).reshape(len(texts), -1)[:, -1]
