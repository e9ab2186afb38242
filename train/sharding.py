"""Weights, gradients and optimiser state spread over the ranks (FSDP), for models that one GPU cannot hold.

PyTorch's own ``fully_shard``: each block of the backbone is a unit that is gathered when it computes and freed after.
Every rank then has to run the same number of forward passes, so texts go through the model in pieces of as many rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from instructor_search.encoder.encoder import InstructorEncoder


@dataclass(frozen=True)
class Whole:
    """What is saved of an encoder, with all weights on the CPU."""

    model: Any
    checkpoint: Any
    max_tokens: int


def shard(encoder: InstructorEncoder) -> Whole:
    """Spread the model's weights over all ranks, in place; return a whole copy on the CPU, for saving.

    Raises:
        ValueError: the backbone has no list of blocks.
    """
    from torch.distributed.fsdp import fully_shard

    whole = Whole(copy.deepcopy(encoder.model).cpu(), encoder.checkpoint, encoder.max_tokens)
    for block in _blocks(encoder.model.backbone):
        fully_shard(block)
    fully_shard(encoder.model)
    return whole


def _blocks(backbone: nn.Module) -> nn.ModuleList:
    """Return the longest list of modules of one kind: a transformer's blocks."""
    lists = [m for m in backbone.modules() if isinstance(m, nn.ModuleList) and len({type(c) for c in m}) == 1]
    if not lists:
        raise ValueError(f"fsdp: {type(backbone).__name__} has no list of blocks to spread over the ranks")
    return max(lists, key=len)


def gather_model(model: nn.Module, whole: Whole) -> None:
    """Write the weights of all ranks into the main process' ``whole``. All ranks have to call it."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if state:
        whole.model.load_state_dict(state)


def gather_optimizer(model: nn.Module, optimizer: Any) -> dict[str, Any]:
    """Return the optimiser's whole state on the main process, an empty one on the others."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_optimizer_state_dict(model, optimizer, options=options))


def spread(model: nn.Module, optimizer: Any, weights: dict[str, Any], state: dict[str, Any]) -> None:
    """Load whole weights and optimiser state, which every rank has read, into this rank's parts."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict, set_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True)
    set_model_state_dict(model, weights, options=options)
    set_optimizer_state_dict(model, optimizer, state, options=options)


@contextmanager
def silent(model: Any) -> Iterator[None]:
    """Add gradients up on this rank only."""
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)
