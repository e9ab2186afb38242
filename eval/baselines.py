"""Peers that run in the same harness: sentence-transformers models, BM25, and a random-vector floor."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eval.records import Category, TaskInfo
from instructor_search.encoder.checkpoint import BASE_MODEL, DEFAULT_MODEL, resolve_folder
from instructor_search.errors import MissingExtraError, ModelError
from instructor_search.instructions import InstructedText, InstructionPair

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta
    from mteb.types import RetrievalOutputType

# Names of the models that need no hub.
_OURS = {
    "default": DEFAULT_MODEL,
    DEFAULT_MODEL: DEFAULT_MODEL,
    BASE_MODEL: BASE_MODEL,
    f"sentence-transformers/{BASE_MODEL}": BASE_MODEL,
}


class Prefix(NamedTuple):
    """What a well-known family of models puts before texts, which not all of them say in their files."""

    pattern: re.Pattern[str]  # of the name
    query: str
    document: str
    only_search: bool  # the family's authors ask for it in retrieval alone


PREFIXES = (
    Prefix(
        re.compile(r"(^|/)(multilingual-)?e5-(small|base|large)(-unsupervised|-v2)?$", re.I),
        "query: ",
        "passage: ",
        False,
    ),
    Prefix(
        re.compile(r"(^|/)bge-(small|base|large)-en(-v1\.5)?$", re.I),
        "Represent this sentence for searching relevant passages: ",
        "",
        True,
    ),
)
# Names of mteb's task types, under which a model may keep a prompt for a category.
_TASK_TYPES = {
    Category.RETRIEVAL: "retrieval",
    Category.RERANKING: "reranking",
    Category.CLUSTERING: "clustering",
    Category.PAIR_CLASSIFICATION: "pairclassification",
    Category.CLASSIFICATION: "classification",
    Category.STS: "sts",
    Category.SUMMARIZATION: "summarization",
}
# What makes the vectors beside the weights: the chain of modules, its settings, the tokenizer.
_SETTINGS = (
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "*/config.json",
    "config.json",
)


class SentenceTransformersEncoder:
    """A sentence-transformers model as an encoder: the prefix is put before the text and pooled with it."""

    runtime = "sentence-transformers"

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
        path = model_path(name_or_path)
        try:
            # The hub would be asked for a folder's name, for a model card that is never written.
            self.model = SentenceTransformer(path, device=device, local_files_only=Path(path).is_dir())
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise ModelError(f"cannot load the sentence-transformers model {name_or_path!r} ({reason})") from error
        folder = Path(name_or_path).expanduser()
        model_name = folder.resolve().name if folder.is_dir() else name_or_path
        self.name = _OURS.get(model_name, model_name)
        self.max_tokens = int(self.model.max_seq_length or 512)
        self.precision = _PRECISIONS.get(str(next(self.model.parameters()).dtype), "fp32")
        self.fingerprint = self._fingerprint(path)
        self._prompts = {name.lower(): text for name, text in (self.model.prompts or {}).items() if text}
        self._prefix = next((p for p in PREFIXES if p.pattern.search(self.name)), None) if not self._prompts else None

    @property
    def has_prompts(self) -> bool:
        """Whether anything is put before texts."""
        return bool(self._prompts or self._prefix)

    def prompts_for(self, info: TaskInfo) -> InstructionPair:
        """Return what the model puts before the two sides of a task: its own prompts, else its family's prefixes.

        Of its own prompts one for the task's type comes first ("STS", "Retrieval-query"), then "query" and "document".
        """
        searches = info.category in (Category.RETRIEVAL, Category.RERANKING)
        if self._prefix is not None:
            query, document = self._prefix.query, self._prefix.document
            if self._prefix.only_search and not searches:
                query = document = ""
        else:
            kind = _TASK_TYPES.get(info.category, "")
            query = self._first(f"{kind}-query", kind, "query")
            document = self._first(f"{kind}-document", kind, "document", "passage", "corpus")
        return InstructionPair(query, document if searches or not info.is_symmetric else query)

    def _first(self, *names: str) -> str:
        return next((self._prompts[name] for name in names if name in self._prompts), "")

    def _fingerprint(self, path: str) -> str:
        digest = hashlib.sha256(f"st {self.max_tokens} {self.precision}".encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        digest.update(repr(self.model).encode())  # the chain of modules with its settings, also of a hub model
        for file in sorted(f for name in _SETTINGS for f in Path(path).glob(name)):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]

    @property
    def dim(self) -> int:
        """Length of a vector."""
        size = getattr(self.model, "get_embedding_dimension", None) or self.model.get_sentence_embedding_dimension
        return int(size() or 0)

    def encode(
        self,
        sentences: Sequence[InstructedText],
        batch_size: int | None = None,
        *,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return float32 vectors, (n, dim); the prefix is the model's prompt, pooled or not as its folder says."""
        vectors = np.empty((len(sentences), self.dim), dtype=np.float32)
        by_prefix: dict[str, list[int]] = {}
        for row, (prefix, _) in enumerate(sentences):
            by_prefix.setdefault(prefix, []).append(row)
        for prefix, rows in by_prefix.items():
            texts = [sentences[row][1] for row in rows]
            # an empty prompt is said, too: a model may have a default one
            vectors[rows] = self.model.encode(
                texts, prompt=prefix, batch_size=batch_size or 32, show_progress_bar=False
            )
        if on_batch:
            on_batch(len(sentences))
        return vectors


_PRECISIONS = {"torch.float16": "fp16", "torch.bfloat16": "bf16"}


def model_path(name_or_path: str) -> str:
    """Return what sentence-transformers loads: a folder, a hub id, or the folder of the default model or its base.

    Raises:
        ModelError: it looks like a folder, and there is none.
        MissingExtraError: the base was named and its package is not installed.
    """
    if name_or_path in _OURS:
        return str(resolve_folder(_OURS[name_or_path])[0])
    folder = Path(name_or_path).expanduser()
    if not folder.is_dir() and (
        not name_or_path or name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") > 1
    ):
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
        batch_size: int | None = None,
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

    def search(self, queries: Any, *, top_k: int, top_ranked: Any = None, **kwargs: Any) -> RetrievalOutputType:
        """Return query id -> document id -> BM25 score; candidates without a common word score 0."""
        if top_ranked is None:
            return self._search.search(queries, top_k=top_k, top_ranked=None, **kwargs)
        scores = self._search.search(queries, top_k=self._num_documents, top_ranked=top_ranked, **kwargs)
        return {q: {d: scores[q].get(d, 0.0) for d in top_ranked[q]} for q in queries["id"]}

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """Metadata of the model."""
        return self.meta({})

    def meta(self, experiment: dict[str, Any]) -> ModelMeta:
        """Return mteb's own description of it, with what else makes the scores."""
        from mteb.models.model_implementations.bm25 import bm25_s

        return bm25_s.model_copy(update={"experiment_kwargs": experiment or None})
