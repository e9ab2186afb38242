"""The loss of a global batch on this rank's texts, and its gradients: forward passes, exchange, losses."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from instructor_search.encoder.tokenization import TokenizedText
from instructor_search.files import file_hash
from train import sharding
from train.collator import TextBatch
from train.config import TrainConfig
from train.distributed import gather, gather_with_gradient
from train.embedding import Piece, cached_backward, embed, pieces, plain_attention, plain_backward
from train.loss import (
    Identities,
    consistency_loss,
    distillation_loss,
    info_nce,
    official_loss,
    similarity_loss,
    wordings_loss,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

    from instructor_search.encoder.encoder import InstructorEncoder

MICRO_BATCH_TOKENS = (2048, 32_768)  # of a CPU, of a GPU
Sides: TypeAlias = list[Tensor] | None  # embeddings of queries, positives and negatives


class Objective:
    """What a run minimises. ``guide``, ``teacher``, ``reference``: other encoders, see ``train.loss``."""

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        pad_id: int,
        *,
        guide: InstructorEncoder | None = None,
        teacher: InstructorEncoder | None = None,
        reference: InstructorEncoder | None = None,
    ) -> None:
        """``pad_id``: of the model's tokenizer."""
        self.config, self.accelerator, self.pad_id = config, accelerator, pad_id
        self.guide, self.teacher, self.reference = guide, teacher, reference

    def backward(self, model: Any, batches: Sequence[TextBatch], share: float, *, last: bool) -> Tensor:
        """Add the gradients of batches' losses times ``share`` to the parameters'; return the losses' sum, detached.

        ``batches``: each of one task, their texts go through the model together. ``last``: of an optimiser step, when
        ranks add up their gradients.
        """
        accelerator, config = self.accelerator, self.config
        parts = self._pieces([text for batch in batches for text in batch.texts])
        counts = [len(batch.texts) for batch in batches]
        known = list(
            zip(
                [self._identities(batch) for batch in batches],
                self._known(self.guide, [batch.texts for batch in batches], batches),
                self._known(self.teacher, [batch.plain for batch in batches], batches),
                self._known(self.reference, [b.reference if self._keeps(b) else None for b in batches], batches),
                strict=True,
            )
        )

        def loss_of(vectors: Tensor) -> Tensor:
            with torch.autocast(vectors.device.type, enabled=False):  # scores are of float32
                losses = [
                    self._batch_loss(batch_vectors, batch, *of_batch)
                    for batch_vectors, batch, of_batch in zip(vectors.split(counts), batches, known, strict=True)
                ]
            return torch.stack(losses).sum()

        # Each rank has the whole batch's loss but the gradient of its own texts only; DDP divides the sum by the ranks.
        scale = share * accelerator.num_processes
        silent = (lambda: sharding.silent(model)) if config.fsdp else lambda: accelerator.no_sync(model)
        with accelerator.autocast(), plain_attention(parts):
            if config.grad_cache:
                return cached_backward(
                    model, parts, loss_of, accelerator.backward, scale=scale, no_sync=silent, sync_last=last
                )
            with nullcontext() if last else silent():
                return plain_backward(model, parts, loss_of, accelerator.backward, scale=scale)

    def _keeps(self, batch: TextBatch) -> bool:
        """Whether a batch keeps to the reference model; where none is named, the first weights are consistency's."""
        if batch.similarity or batch.wordings:
            return bool(self.config.reference_model) or not self.config.consistency
        return bool(self.config.consistency)

    def _batch_loss(
        self, vectors: Tensor, batch: TextBatch, ids: Identities, guide: Sides, teacher: Sides, reference: Sides
    ) -> Tensor:
        accelerator, config = self.accelerator, self.config
        rank, world = accelerator.process_index, accelerator.num_processes
        sides = [gather_with_gradient(v, rank, world) for v in _sides(vectors, batch.size)]
        if batch.similarity or batch.wordings:
            target = None if reference is None else (reference[0], reference[1])
            distance = similarity_loss if batch.similarity else wordings_loss
            return config.similarity_weight * distance(sides[0], sides[1], target)
        loss = self._loss(sides, ids, guide, teacher)
        return loss if reference is None else loss + config.consistency * consistency_loss(sides, reference)

    def _identities(self, batch: TextBatch) -> Identities:
        """Return those of the global batch."""
        device, world = self.accelerator.device, self.accelerator.num_processes
        return Identities(*(gather(x.to(device), world) for x in vars(batch.identities).values()))

    def _pieces(self, texts: list[TokenizedText]) -> list[Piece]:
        tokens = self.config.micro_batch_tokens or MICRO_BATCH_TOKENS[self.accelerator.device.type != "cpu"]
        rows = max(1, tokens // self.config.max_source_length) if self.config.fsdp else None
        return pieces(texts, tokens, self.pad_id, self.accelerator.device, rows=rows)

    def _loss(self, sides: list[Tensor], ids: Identities, guide: Sides, teacher: Sides) -> Tensor:
        config, total = self.config, None
        for dim in config.matryoshka_dims or (sides[0].shape[1],):
            query, positive, negative = (side[:, :dim] for side in sides)
            if config.loss == "official":
                loss = official_loss(query, positive, negative, config.cl_temperature, ids.used)
            else:
                loss = info_nce(
                    query,
                    positive,
                    negative,
                    config.cl_temperature,
                    ids,
                    bidirectional=config.bidirectional,
                    guide=(guide[0], guide[1], guide[2]) if guide else None,
                    margin=config.guide_margin,
                )
            if teacher is not None:
                known = teacher[0], teacher[1], teacher[2]
                kept = distillation_loss((query, positive, negative), known, config.cl_temperature, ids.used)
                loss = loss + config.distillation_weight * kept
            total = loss if total is None else total + loss
        assert total is not None
        return total / len(config.matryoshka_dims or (1,))

    @torch.no_grad()
    def _known(
        self,
        encoder: InstructorEncoder | None,
        texts: Sequence[list[TokenizedText] | None],
        batches: Sequence[TextBatch],
    ) -> list[Sides]:
        """Return another encoder's embeddings of each global batch's sides; None without texts of it, or encoder."""
        wanted = [side_texts or [] for side_texts in texts]
        if encoder is None or not any(wanted):
            return [None] * len(batches)
        vectors = embed(encoder.model, self._pieces([text for side_texts in wanted for text in side_texts]))
        world = self.accelerator.num_processes
        return [
            [gather(side, world) for side in _sides(side_texts, batch.size)] if len(side_texts) else None
            for side_texts, batch in zip(
                vectors.split([len(side_texts) for side_texts in wanted]), batches, strict=True
            )
        ]


def check_reader(role: str, other: InstructorEncoder, encoder: InstructorEncoder) -> None:
    """Refuse a guide, teacher or reference with another tokenizer: it reads ids that were made for the model.

    Raises:
        ValueError: the two differ.
    """
    first, second = (file_hash(e.checkpoint.transformer_folder / "tokenizer.json") for e in (other, encoder))
    if first != second:
        raise ValueError(f"the {role} {other.name} has another tokenizer than {encoder.name}; expected the same one")
    other.model.eval()


def _sides(vectors: Tensor, size: int) -> list[Tensor]:
    """Return the embeddings of queries, positives and negatives."""
    return [vectors[:size], vectors[size : 2 * size], vectors[2 * size :]]
