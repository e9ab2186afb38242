"""Runs the model with torch, on any device. ``inference`` loads this module when the first text is embedded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from instructor_search.encoder.checkpoint import Checkpoint
from instructor_search.encoder.modeling import InstructorModel
from instructor_search.encoder.tokenization import TokenizedText, pad
from instructor_search.errors import ModelError

# Padded tokens of a forward pass. On two cores 2,048 is a tenth faster than 16,384 and takes less memory: the
# activations stay in the cache. A GPU wants more work at a time.
CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 2_048, 16_384
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchRuntime:
    """A loaded model on a device."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str | None = None,
        allow_pickle: bool = False,
        precision: str = "fp32",
        pad_id: int = 0,
    ) -> None:
        """Load the weights and move them to ``device`` (None: CUDA, MPS or CPU, the first that is there)."""
        self.device = _usable(device or best_device())
        model = InstructorModel.from_checkpoint(checkpoint, allow_pickle=allow_pickle)
        self.model = model.to(self.device, _TYPES[precision])
        self.pad_id = pad_id

    @property
    def batch_tokens(self) -> int:
        """Padded tokens of a forward pass at most."""
        return CPU_BATCH_TOKENS if self.device.type == "cpu" else GPU_BATCH_TOKENS

    def move(self, device: str) -> None:
        """Move the model to another device."""
        wanted = _usable(device)
        self.model.to(wanted)
        self.device = wanted

    @torch.inference_mode()
    def embed(
        self,
        tokenized: Sequence[TokenizedText],
        batches: Iterable[list[int]],
        *,
        normalize: bool = False,
        on_batch: Callable[[int], None] | None = None,
    ) -> torch.Tensor:
        """Return embeddings, float32 (n, dim), in input order; ``batches`` are row numbers that go together."""
        vectors: torch.Tensor | None = None
        for rows in batches:
            part = self._forward([tokenized[row] for row in rows], normalize)[0]
            if vectors is None:
                vectors = torch.empty(len(tokenized), part.shape[1], device=self.device)
            vectors[rows] = part
            if on_batch:
                on_batch(len(rows))
        return torch.empty(0, 0) if vectors is None else vectors

    @torch.inference_mode()
    def features(self, batch: Sequence[TokenizedText], *, normalize: bool) -> list[dict[str, Any]]:
        """Return for each text its ids, masks, token embeddings (length, hidden) and embedding (dim,)."""
        vectors, hidden, ids, attention = self._forward(batch, normalize)
        return [
            {
                "input_ids": ids[row, : len(item.ids)],
                "attention_mask": attention[row, : len(item.ids)],
                "context_masks": torch.tensor(item.num_masked),
                "token_embeddings": hidden[row, : len(item.ids)],
                "sentence_embedding": vectors[row],
            }
            for row, item in enumerate(batch)
        ]

    def _forward(self, batch: Sequence[TokenizedText], normalize: bool) -> tuple[torch.Tensor, ...]:
        ids, attention, pooling = (torch.from_numpy(a).to(self.device) for a in pad(batch, self.pad_id))
        hidden = self.model.token_embeddings(ids, attention)  # (batch, length, hidden)
        vectors = self.model.pool(hidden, pooling).float()  # (batch, dim)
        if normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return vectors, hidden, ids, attention


def _usable(device: str) -> torch.device:
    try:
        wanted = torch.device(device)
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise ModelError(f"device {device!r} cannot be used ({reason}); expected cpu, cuda, cuda:N or mps") from error
    return wanted


def best_device() -> str:
    """Return "cuda", "mps" or "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
