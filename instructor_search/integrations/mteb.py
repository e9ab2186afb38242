"""Our encoders and collections as models of the mteb package (2.x): its Encoder and Search protocols, its ModelMeta.

    import mteb
    from instructor_search.integrations.mteb import register_models
    register_models()
    mteb.evaluate(mteb.get_model("hkunlp/instructor-base", allow_pickle=True), mteb.get_task("STS12"))

An instruction is chosen for each task and each side of it; mteb itself knows one prompt a model or a task.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.similarity_functions import cos_sim, pairwise_cos_sim
from mteb.types import PromptType

from instructor_search.encoder.checkpoint import BASE_MODEL, DEFAULT_MODEL, Checkpoint
from instructor_search.encoder.inference import InstructorEncoder
from instructor_search.encoder.protocol import Encoder, check_vectors
from instructor_search.instructions import InstructedText
from instructor_search.integrations.mteb_instructions import MTEB_INSTRUCTIONS, sides
from instructor_search.records import Block, Chunk, Document, Hit
from instructor_search.search.ranking import Mode
from instructor_search.search.reranking import Reranker
from instructor_search.search.searcher import Searcher
from instructor_search.store.collection import Collection
from instructor_search.store.indexes import fulltext, lance, policy
from instructor_search.store.schema import SourceRecord
from instructor_search.store.writer import CollectionWriter

InstructionFor = Callable[[str, str | None], str]  # (task name, "query", "document" or None) -> instruction

# Parameters: encoder of GTR-T5 of that size and the dense layer to 768 (reference: the paper, table 1, and file sizes).
_INSTRUCTOR_PARAMETERS = {"base": 110_218_368, "large": 335_726_080, "xl": 1_241_696_256}
_CITATION = """@inproceedings{su-etal-2023-one,
  title = {One Embedder, Any Task: Instruction-Finetuned Text Embeddings},
  author = {Su, Hongjin and Shi, Weijia and Kasai, Jungo and Wang, Yizhong and Hu, Yushi and Ostendorf, Mari and
            Yih, Wen-tau and Smith, Noah A. and Zettlemoyer, Luke and Yu, Tao},
  booktitle = {Findings of the Association for Computational Linguistics: ACL 2023},
  year = {2023},
}"""


def default_instruction(task_name: str, side: str | None) -> str:
    """Return our instruction for a side of one of the paper's MTEB tasks; none for other tasks."""
    if task_name not in MTEB_INSTRUCTIONS:
        return ""
    query, document = sides(task_name)
    return document if side == PromptType.document.value else query


class MtebEncoder:
    """mteb's Encoder protocol over an encoder of ours."""

    def __init__(
        self,
        encoder: Encoder,
        instruction_for: InstructionFor = default_instruction,
        meta: ModelMeta | None = None,
        *,
        on_texts: Callable[[int], None] | None = None,
    ) -> None:
        """``on_texts`` is told of texts embedded. ``meta`` None: described from the encoder."""
        self.encoder = encoder
        self.instruction_for = instruction_for
        self.mteb_model_meta = meta or model_meta(encoder)  # mteb sets it, too
        self._on_texts = on_texts

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: Any,
        hf_split: str = "test",
        hf_subset: str = "default",
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Return float32 vectors, (n, dim), of a dataloader's texts under the instruction of this task and side.

        Raises ModelError for vectors that are zero or not finite: they would be scored as if they meant something.
        The dataloader's batch size is not the encoder's, which batches by length itself.
        """
        side = None if prompt_type is None else PromptType(prompt_type).value
        instruction = self.instruction_for(task_metadata.name, side)
        texts = [InstructedText(instruction, text) for batch in inputs for text in batch["text"]]
        return check_vectors(self.encoder.encode(texts, on_batch=self._on_texts), self.encoder.name)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return cosine similarities, (n, m)."""
        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosine similarity of each pair, (n,)."""
        return pairwise_cos_sim(embeddings1, embeddings2)


class CollectionSearch:
    """mteb's Search protocol over a real collection: the table, its indexes, hybrid mode and a reranker.

    Each document of a task is one chunk (what does not fit into the window is cut, as in an encoder's evaluation), so
    that exact dense search gives an encoder's own score and every difference comes from the index or the mode.
    """

    def __init__(
        self,
        encoder: Encoder,
        instruction_for: InstructionFor = default_instruction,
        meta: ModelMeta | None = None,
        *,
        mode: str = Mode.DENSE,
        quantised: bool = False,
        reranker: Reranker | None = None,
        rerank_depth: int = 100,
        max_hits: int = 10,
        folder: Path | None = None,
    ) -> None:
        """``quantised``: search the IVF_HNSW_SQ index, whatever the size. ``folder``: where the tables go.

        ``max_hits``: how deep a query searches. Ten, as a user does and nDCG@10 needs: a quantised index looks at more
        of the collection the deeper it is asked, and hybrid mode fuses longer lists.
        """
        self.encoder = encoder
        self.instruction_for = instruction_for
        self.mteb_model_meta = meta or model_meta(encoder)  # mteb sets it, too
        self.mode = Mode(mode)
        self.quantised = quantised
        self.reranker = reranker
        self.rerank_depth = rerank_depth
        self.max_hits = max_hits
        self._parent = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._searcher: Searcher | None = None

    def index(self, corpus: Any, *, task_metadata: Any, **kwargs: Any) -> None:
        """Make a collection of the corpus (rows with id, text and perhaps title) and its indexes."""
        self.close()
        if self._parent is not None:
            self._parent.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(prefix="collection-", dir=self._parent)
        window = self.encoder.max_tokens
        collection = Collection.create_empty("corpus", self._temporary.name, chunk_tokens=window, chunk_overlap=0)
        instruction = self.instruction_for(task_metadata.name, PromptType.document.value)
        with collection.writing():
            view = collection.add_view(self.encoder, instruction, "default")
            writer = CollectionWriter(collection, {self.encoder.fingerprint: self.encoder})
            writer.begin(SourceRecord("corpus", 0, 0, "", ""))
            for row in corpus:
                document, chunk = _as_document(row)
                writer.add(document, chunk)
            writer.finish(len(corpus))
            writer.flush()
            writer.stop()
            fulltext.ensure_words(collection)
            if self.quantised:
                lance.ensure_lance_index(collection.chunks, view, policy.LANCE_HNSW)
        self._searcher = Searcher(collection, self.encoder)

    def search(
        self, queries: Any, *, task_metadata: Any, top_k: int, top_ranked: Any = None, **kwargs: Any
    ) -> dict[str, dict[str, float]]:
        """Return query id -> document id -> score.

        Raises:
            RuntimeError: there is no index yet.
            ValueError: a reranking task's candidates were given; a collection searches all its documents.
        """
        if self._searcher is None:
            raise RuntimeError("call index() first")
        if top_ranked is not None:
            raise ValueError("a collection searches all its documents; it cannot rank a task's own candidates")
        instruction = self.instruction_for(task_metadata.name, PromptType.query.value)
        depth = min(top_k, self.max_hits)
        results: dict[str, dict[str, float]] = {}
        for query in queries:
            scores: dict[str, float] = {}
            hits = self._hits(query["text"], instruction, depth) if query["text"].strip() else []
            for hit in hits:  # best first: a document counts with its best chunk
                scores.setdefault(hit.document_id, hit.score)
            results[query["id"]] = scores
        self.close()
        return results

    def _hits(self, text: str, instruction: str, depth: int) -> list[Hit]:
        assert self._searcher is not None  # search() looked
        return self._searcher.search(
            text,
            instruction=instruction,
            top_k=depth,
            mode=self.mode,
            reranker=self.reranker,
            rerank_depth=self.rerank_depth,
            snippets="none",
        )

    def close(self) -> None:
        """Delete the tables."""
        self._searcher = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


def _as_document(row: Mapping[str, Any]) -> tuple[Document, Chunk]:
    """Return a corpus row as a document of one chunk; its text is title and text, as mteb's encoders read it."""
    title = row.get("title") or ""
    text = f"{title} {row['text']}".strip() if title else row["text"].strip()
    document = Document(row["id"], "corpus", title, "text/plain", (Block(text),))
    return document, Chunk(row["id"], text, 0, len(text), 0, (), None)


def model_meta(
    encoder: Encoder, experiment: Mapping[str, Any] | None = None, organisation: str = "instructor-search"
) -> ModelMeta:
    """Return mteb's description of an encoder; ``experiment`` names what else makes its scores.

    ``organisation`` stands before a name that has none (mteb wants ORGANISATION/NAME).
    """
    checkpoint: Checkpoint | None = getattr(encoder, "checkpoint", None)
    name = encoder.name if "/" in encoder.name else f"{organisation}/{encoder.name}"
    known = INSTRUCTOR_METAS.get(name)
    if known is not None:
        return known.model_copy(
            update={"revision": encoder.fingerprint, "experiment_kwargs": dict(experiment or {}) or None}
        )
    return ModelMeta(
        loader=None,
        name=re.sub(r"[^A-Za-z0-9_./+-]", "-", name),
        revision=encoder.fingerprint,
        release_date=None,
        languages=["eng-Latn"],
        n_parameters=None,
        memory_usage_mb=None,
        max_tokens=encoder.max_tokens,
        embed_dim=encoder.dim,
        license="apache-2.0" if encoder.name == DEFAULT_MODEL else None,
        open_weights=True,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"] if encoder.runtime == "torch" else [],
        similarity_fn_name=ScoringFunction.COSINE,
        use_instructions=checkpoint is not None,
        training_datasets=None,
        experiment_kwargs=dict(experiment or {}) or None,
    )


def load_instructor(model_name: str, revision: str | None = None, device: str | None = None, **kwargs: Any) -> Any:
    """Load an INSTRUCTOR checkpoint (or any that ``load_encoder`` reads) as an mteb model."""
    name = None if model_name.endswith(f"/{DEFAULT_MODEL}") else model_name
    encoder = InstructorEncoder(name, device=device, revision=revision, **kwargs)
    return MtebEncoder(encoder)


def _instructor_meta(size: str) -> ModelMeta:
    parameters = _INSTRUCTOR_PARAMETERS[size]
    return ModelMeta(
        loader=load_instructor,
        name=f"hkunlp/instructor-{size}",
        revision=None,
        release_date="2022-12-20",
        languages=["eng-Latn"],
        n_parameters=parameters,
        memory_usage_mb=round(parameters * 4 / 2**20),
        max_tokens=512,
        embed_dim=768,
        license="apache-2.0",
        open_weights=True,
        public_training_code="https://github.com/xlang-ai/instructor-embedding",
        public_training_data=None,
        framework=["Sentence Transformers", "PyTorch"],
        reference=f"https://huggingface.co/hkunlp/instructor-{size}",
        similarity_fn_name=ScoringFunction.COSINE,
        use_instructions=True,
        # the four of the paper's 70 sets that its training data touches, as the model card names them
        training_datasets={"NQ", "MSMARCO", "FEVER", "HotpotQA"},
        adapted_from=f"sentence-transformers/gtr-t5-{size}",
        citation=_CITATION,
    )


def _default_meta() -> ModelMeta:
    return ModelMeta(
        loader=load_instructor,
        name=f"instructor-search/{DEFAULT_MODEL}",
        revision=None,
        release_date="2026-11-26",
        languages=["eng-Latn"],
        n_parameters=22_713_216,
        memory_usage_mb=43,  # float16
        max_tokens=256,
        embed_dim=384,
        license="apache-2.0",
        open_weights=True,
        public_training_code=None,
        public_training_data=None,
        framework=["Sentence Transformers", "PyTorch"],
        similarity_fn_name=ScoringFunction.COSINE,
        use_instructions=True,
        # of those that mteb knows, what the mixture or the base was trained on (docs/training_data.md)
        training_datasets={
            "HotpotQA",
            "SIB200ClusteringS2S",
            "PIQA",
            "SIQA",
            "PawsXPairClassification",
            "MBPPRetrieval",
            "MedicalQARetrieval",
            "NQ",
            "MSMARCO",
        },
        adapted_from=f"sentence-transformers/{BASE_MODEL}",
    )


INSTRUCTOR_METAS: dict[str, ModelMeta] = {
    str(meta.name): meta for meta in (*map(_instructor_meta, _INSTRUCTOR_PARAMETERS), _default_meta())
}


def register_models() -> list[str]:
    """Make the INSTRUCTOR models and ours known to ``mteb.get_model``; return their names."""
    from mteb.models.model_implementations import MODEL_REGISTRY

    for name, meta in INSTRUCTOR_METAS.items():
        MODEL_REGISTRY.setdefault(name, meta)
    return list(INSTRUCTOR_METAS)
