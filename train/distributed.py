"""Embeddings of all ranks on every rank, with the gradient of a rank's own ones."""

from __future__ import annotations

import torch
from torch import Tensor


def gather(values: Tensor, world_size: int) -> Tensor:
    """Return the values of all ranks in their order, (ranks * n, ...); all ranks have the same n."""
    if world_size == 1:
        return values
    values = values.contiguous()
    parts = [torch.empty_like(values) for _ in range(world_size)]
    torch.distributed.all_gather(parts, values)
    return torch.cat(parts)


def gather_with_gradient(vectors: Tensor, rank: int, world_size: int) -> Tensor:
    """Return ``gather``; the rows of this rank keep their graph.

    With the same loss computed on every rank, the sum of the ranks' parameter gradients is the gradient that one
    process would have of the whole batch.
    """
    if world_size == 1:
        return vectors
    everything = gather(vectors.detach(), world_size)
    before, after = everything[: rank * len(vectors)], everything[(rank + 1) * len(vectors) :]
    return torch.cat([before, vectors, after])
