"""Our encoders as models of the mteb package (2.x): its Encoder protocol, its ModelMeta, its list of models.

    import mteb
    from instructor_search.integrations.mteb import register_models
    register_models()
    mteb.evaluate(mteb.get_model("hkunlp/instructor-base", allow_pickle=True), mteb.get_task("STS12"))

An instruction is chosen for each task and each side of it; mteb itself knows one prompt a model or a task.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.similarity_functions import cos_sim, pairwise_cos_sim
from mteb.types import PromptType

from instructor_search.encoder.checkpoint import DEFAULT_MODEL, Checkpoint
from instructor_search.encoder.encoder import InstructorEncoder
from instructor_search.encoder.protocol import Encoder, check_vectors
from instructor_search.instructions import InstructedText
from instructor_search.integrations.mteb_cards import INSTRUCTOR_PARAMETERS, default_card, instructor_card
from instructor_search.integrations.mteb_instructions import MTEB_INSTRUCTIONS, sides

if TYPE_CHECKING:
    import torch
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import Array, BatchedInput
    from torch.utils.data import DataLoader

InstructionFor = Callable[[str, str | None], str]  # (task name, "query", "document" or None) -> instruction


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
        inputs: DataLoader[BatchedInput],
        *,
        task_metadata: TaskMetadata,
        hf_split: str = "test",
        hf_subset: str = "default",
        prompt_type: PromptType | None = None,
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

    def similarity(self, embeddings1: Array, embeddings2: Array) -> torch.Tensor:
        """Return cosine similarities, (n, m)."""
        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Array, embeddings2: Array) -> Array:
        """Return the cosine similarity of each pair, (n,)."""
        return pairwise_cos_sim(embeddings1, embeddings2)


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


def load_instructor(
    model_name: str, revision: str | None = None, device: str | None = None, **kwargs: Any
) -> MtebEncoder:
    """Load an INSTRUCTOR checkpoint (or any that ``load_encoder`` reads) as an mteb model."""
    name = None if model_name.endswith(f"/{DEFAULT_MODEL}") else model_name
    encoder = InstructorEncoder(name, device=device, revision=revision, **kwargs)
    return MtebEncoder(encoder)


INSTRUCTOR_METAS: dict[str, ModelMeta] = {
    str(meta.name): meta
    for meta in (
        *(instructor_card(size, load_instructor) for size in INSTRUCTOR_PARAMETERS),
        default_card(load_instructor),
    )
}


def register_models() -> list[str]:
    """Make the INSTRUCTOR models and ours known to ``mteb.get_model``; return their names."""
    from mteb.models.model_implementations import MODEL_REGISTRY

    for name, meta in INSTRUCTOR_METAS.items():
        MODEL_REGISTRY.setdefault(name, meta)
    return list(INSTRUCTOR_METAS)
