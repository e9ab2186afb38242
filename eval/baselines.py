"""Peers that run in the same harness: sentence-transformers models, BM25, and a random-vector floor."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.tasks.base import Sides
from instructor_search.encoder.checkpoint import DEFAULT_MODEL, resolve_folder
from instructor_search.errors import MissingExtraError, ModelError
from instructor_search.instructions import InstructedText

_DEFAULT_NAMES = ("default", DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}")
# Prefixes of well-known models that do not all name them in their files: (pattern of the name, query, document).
PREFIXES = (
    (re.compile(r"(^|/)(multilingual-)?e5-(small|base|large)(-unsupervised|-v2)?$", re.I), "query: ", "passage: "),
    (re.compile(r"(^|/)bge-(small|base|large)-en(-v1\.5)?$", re.I),
     "Represent this sentence for searching relevant passages: ", ""),
)  # fmt: skip


class SentenceTransformersEncoder:
    """A sentence-transformers model as an encoder: the prefix is put before the text and pooled with it."""

    runtime = "sentence-transformers"
    precision = "fp32"

    def __init__(self, name_or_path: str, *, device: str | None = None) -> None:
        """Load a folder or hub id.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
            ModelError: the model cannot be loaded.
        """
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", "eval", "a baseline 'st:MODEL'") from error
        path = _model_path(name_or_path)
        try:
            self.model = SentenceTransformer(path, device=device)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise ModelError(f"cannot load the sentence-transformers model {name_or_path!r} ({reason})") from error
        folder = Path(name_or_path).expanduser()
        own = folder.resolve().name if folder.is_dir() else name_or_path
        self.name = DEFAULT_MODEL if own in _DEFAULT_NAMES else own
        self.max_tokens = int(self.model.max_seq_length or 512)
        self.fingerprint = self._fingerprint()
        self.prompts = self._prompts()

    def _prompts(self) -> Sides:
        """Return the model's own prompts for queries and documents, else the known prefixes, else none."""
        own = {name: text for name, text in (self.model.prompts or {}).items() if text}
        if own:
            document = own.get("document", own.get("passage", own.get("corpus", "")))
            return Sides(own.get("query", ""), document)
        for pattern, query, document in PREFIXES:
            if pattern.search(self.name):
                return Sides(query, document)
        return Sides("", "")

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"st {self.max_tokens}".encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def dim(self) -> int:
        """Length of a vector."""
        size = getattr(self.model, "get_embedding_dimension", None) or self.model.get_sentence_embedding_dimension
        return int(size() or 0)

    def encode(
        self,
        sentences: Sequence[InstructedText],
        batch_size: int = 32,
        *,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return float32 vectors, (n, dim)."""
        joined = [prefix + text for prefix, text in sentences]
        vectors = self.model.encode(joined, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True)
        if on_batch:
            on_batch(len(joined))
        return np.asarray(vectors, dtype=np.float32)


def _model_path(name_or_path: str) -> str:
    """Return what sentence-transformers loads: a folder, a hub id, or the folder of the default model."""
    if name_or_path in _DEFAULT_NAMES:
        return str(resolve_folder(None)[0])
    folder = Path(name_or_path).expanduser()
    if not folder.is_dir() and (name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") > 1):
        raise ModelError(f"no model folder {name_or_path!r}; expected a folder or a hub id")
    return str(folder) if folder.is_dir() else name_or_path


class RandomEncoder:
    """A unit vector drawn for each text: what a task's measure gives to no knowledge at all."""

    name = "random"
    runtime = "numpy"
    precision = "fp32"
    fingerprint = "random-384"
    dim = 384
    max_tokens = 1_000_000

    def encode(
        self,
        sentences: Sequence[InstructedText],
        batch_size: int = 32,
        *,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return float32 vectors, (n, 384); equal texts get equal vectors."""
        vectors = np.empty((len(sentences), self.dim), dtype=np.float32)
        for row, (instruction, text) in enumerate(sentences):
            seed = hashlib.blake2b(f"{instruction}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
            vectors[row] = np.random.default_rng(int.from_bytes(seed, "little")).normal(size=self.dim)
        if on_batch:
            on_batch(len(sentences))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Bm25:
    """mteb's BM25 (bm25s, stemmed) under its Search protocol, with every candidate of a reranking task scored."""

    fingerprint = "bm25s-lucene-english"

    def __init__(self) -> None:
        """Make an empty index."""
        try:
            import bm25s  # noqa: F401 - mteb imports it when it indexes
            import Stemmer  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("bm25s and PyStemmer", "eval", "the baseline 'bm25'") from error
        from mteb.models.model_implementations.bm25 import BM25Search

        self._search = BM25Search()
        self._num_documents = 0

    def index(self, corpus: Any, **kwargs: Any) -> None:
        """Index a corpus."""
        self._num_documents = len(corpus)
        self._search.index(corpus, **{"num_proc": None, "encode_kwargs": {}, **kwargs})

    def search(self, queries: Any, *, top_k: int, top_ranked: Any = None, **kwargs: Any) -> Any:
        """Return query id -> document id -> BM25 score; candidates without a common word score 0."""
        if top_ranked is None:
            return self._search.search(queries, top_k=top_k, top_ranked=None, **kwargs)
        found = self._search.search(queries, top_k=self._num_documents, top_ranked=top_ranked, **kwargs)
        return {q: {d: found[q].get(d, 0.0) for d in top_ranked[q]} for q in queries["id"]}

    @property
    def mteb_model_meta(self) -> Any:
        """Metadata of the model."""
        return self.meta({})

    def meta(self, experiment: dict[str, Any]) -> Any:
        """Return mteb's own description of it, with what else makes the scores."""
        from mteb.models.model_implementations.bm25 import bm25_s

        return bm25_s.model_copy(update={"experiment_kwargs": experiment or None})
