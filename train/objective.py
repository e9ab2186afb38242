"""The loss of a global batch on this rank's texts, and its gradients: forward passes, exchange, losses."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from instructor_search.encoder.tokenization import TokenizedText
from train import sharding
from train.collator import TextBatch
from train.config import TrainConfig
from train.distributed import gather, gather_with_gradient
from train.embedding import Piece, cached_backward, embed, pieces, plain_attention, plain_backward
from train.loss import Identities, consistency_loss, distillation_loss, info_nce, likeness_loss, official_loss

if TYPE_CHECKING:
    from accelerate import Accelerator

    from instructor_search.encoder.inference import InstructorEncoder


class Objective:
    """What a run minimises. ``guide``, ``teacher``, ``anchor``: encoders that are not trained, see ``train.loss``."""

    def __init__(
        self, config: TrainConfig, accelerator: Accelerator, pad_id: int, *, guide: InstructorEncoder | None = None,
        teacher: InstructorEncoder | None = None, anchor: InstructorEncoder | None = None,
    ) -> None:  # fmt: skip
        """``pad_id``: of the model's tokenizer."""
        self.config, self.accelerator, self.pad_id = config, accelerator, pad_id
        self.guide, self.teacher, self.anchor = guide, teacher, anchor

    def backward(self, model: Any, batch: TextBatch, share: float, *, last: bool) -> Tensor:
        """Add the gradients of a batch times ``share`` to the parameters'; return its loss, detached.

        ``last``: of an optimiser step, when ranks add up their gradients.
        """
        accelerator, world = self.accelerator, self.accelerator.num_processes
        parts = self._pieces(batch.texts)
        identities = Identities(*(gather(x.to(accelerator.device), world) for x in vars(batch.identities).values()))
        guide = self._embeddings_of(self.guide, parts, batch.size) if self.guide else None
        teacher = self._known(self.teacher, batch.plain, batch.size)
        kept = batch.likeness or self.config.consistency
        anchor = self._known(self.anchor if kept else None, batch.anchor, batch.size)

        def loss_of(vectors: Tensor) -> Tensor:
            sides = [gather_with_gradient(v, accelerator.process_index, world) for v in _sides(vectors, batch.size)]
            with torch.autocast(vectors.device.type, enabled=False):  # scores are of float32
                if batch.likeness:
                    known = None if anchor is None else (anchor[0], anchor[1])
                    return self.config.likeness_weight * likeness_loss(sides[0], sides[1], known)
                loss = self._loss(sides, identities, guide, teacher)
                return loss if anchor is None else loss + self.config.consistency * consistency_loss(sides, anchor)

        # Each rank has the whole batch's loss but the gradient of its own texts only; DDP divides the sum by the ranks.
        scale = share * world
        silent = (lambda: sharding.silent(model)) if self.config.fsdp else lambda: accelerator.no_sync(model)
        with accelerator.autocast(), plain_attention(parts):
            if self.config.grad_cache:
                return cached_backward(
                    model, parts, loss_of, accelerator.backward, scale=scale, no_sync=silent, sync_last=last
                )
            with nullcontext() if last else silent():
                return plain_backward(model, parts, loss_of, accelerator.backward, scale=scale)

    def _pieces(self, texts: list[TokenizedText]) -> list[Piece]:
        tokens = self.config.micro_batch_tokens
        rows = max(1, tokens // self.config.max_source_length) if self.config.fsdp else None
        return pieces(texts, tokens, self.pad_id, self.accelerator.device, rows=rows)

    def _loss(
        self, sides: list[Tensor], ids: Identities, guide: list[Tensor] | None, teacher: list[Tensor] | None
    ) -> Tensor:
        config, total = self.config, None
        for dim in config.matryoshka_dims or (sides[0].shape[1],):
            query, positive, negative = (side[:, :dim] for side in sides)
            if config.loss == "official":
                loss = official_loss(query, positive, negative, config.cl_temperature, ids.used)
            else:
                loss = info_nce(
                    query, positive, negative, config.cl_temperature, ids, bidirectional=config.bidirectional,
                    guide=(guide[0], guide[1], guide[2]) if guide else None, margin=config.guide_margin,
                )  # fmt: skip
            if teacher is not None:
                known = teacher[0], teacher[1], teacher[2]
                kept = distillation_loss((query, positive, negative), known, config.cl_temperature, ids.used)
                loss = loss + config.distillation_weight * kept
            total = loss if total is None else total + loss
        assert total is not None
        return total / len(config.matryoshka_dims or (1,))

    def _known(
        self, encoder: InstructorEncoder | None, texts: list[TokenizedText] | None, size: int
    ) -> list[Tensor] | None:
        return self._embeddings_of(encoder, self._pieces(texts), size) if encoder and texts is not None else None

    @torch.no_grad()
    def _embeddings_of(self, encoder: InstructorEncoder, parts: list[Piece], size: int) -> list[Tensor]:
        """Return another encoder's embeddings of the whole batch's sides."""
        vectors = embed(encoder.model, parts)
        return [gather(side, self.accelerator.num_processes) for side in _sides(vectors, size)]


def _sides(vectors: Tensor, size: int) -> list[Tensor]:
    """Return the embeddings of queries, positives and negatives."""
    return [vectors[:size], vectors[size : 2 * size], vectors[2 * size :]]
