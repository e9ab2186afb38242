"""The forward pass of a batch in pieces of like length, with its graph kept or with GradCache.

GradCache (Gao et al., arXiv 2101.06983): embed everything without a graph, take the loss's gradient with respect to the
embeddings, then embed piece by piece again, with a graph, and hand each its gradient. Value and gradient are those of
the plain way; memory is that of one piece. The second pass repeats the first one's dropout.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from instructor_search.encoder.batching import batches
from instructor_search.encoder.tokenization import TokenizedText, pad

PLAIN_ATTENTION_LENGTH = 512  # tokens: matrices of longer texts may take more memory than they save


class Piece(NamedTuple):
    """Texts that go through the model together: their rows in the batch, and the model's inputs."""

    rows: list[int]
    inputs: tuple[Tensor, Tensor, Tensor]  # ids, attention mask, pooling mask, each (texts, length)


def pieces(
    texts: Sequence[TokenizedText], max_tokens: int, pad_id: int, device: Any, *, rows: int | None = None
) -> list[Piece]:
    """Return the texts in pieces of at most ``max_tokens`` padded tokens, the longest texts first.

    ``rows``: pieces of as many texts instead, so that ranks with as many texts have as many pieces.
    """
    return [
        Piece(chosen, tuple(torch.from_numpy(a).to(device) for a in pad([texts[r] for r in chosen], pad_id)))  # type: ignore[arg-type]
        for chosen in batches(texts, rows, max_tokens if rows is None else sys.maxsize)
    ]


@contextmanager
def plain_attention(parts: Sequence[Piece]) -> Iterator[None]:
    """Have attention in bfloat16 computed as matrix products on a CPU.

    PyTorch's fused attention is slow there, in the backward pass above all, and takes more memory (docs/training.md).
    To be entered around the backward pass too: gradient checkpointing repeats the forward pass in it.
    """
    ids = parts[0].inputs[0]  # the longest
    if not (ids.device.type == "cpu" and torch.is_autocast_enabled("cpu") and ids.shape[1] <= PLAIN_ATTENTION_LENGTH):
        yield
        return
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # of a CPU too, whatever its name says
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


def embed(model: Any, parts: Sequence[Piece]) -> Tensor:
    """Return embeddings, (texts, dim) in float32, in the texts' order, with their graph."""
    vectors = torch.cat([model(*part.inputs).float() for part in parts])
    order = torch.tensor([row for part in parts for row in part.rows], device=vectors.device)
    return vectors[torch.argsort(order)]


def plain_backward(
    model: Any,
    parts: Sequence[Piece],
    loss_of: Callable[[Tensor], Tensor],
    backward: Callable[[Tensor], None],
    *,
    scale: float = 1.0,
) -> Tensor:
    """Return the loss, detached; the parameters have its gradients times ``scale``."""
    loss = loss_of(embed(model, parts))
    backward(loss * scale)
    return loss.detach()


def cached_backward(
    model: Any,
    parts: Sequence[Piece],
    loss_of: Callable[[Tensor], Tensor],
    backward: Callable[[Tensor], None],
    *,
    scale: float = 1.0,
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext,
    sync_last: bool = True,
) -> Tensor:
    """Return the loss as ``plain_backward`` does, with the memory of one piece.

    ``no_sync``: keeps a DDP model's gradients local; not used for the last piece, unless ``sync_last`` is False.
    """
    states, vectors = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_random_state())
            vectors.append(model(*part.inputs).float())
    rows = [row for part in parts for row in part.rows]
    order = torch.argsort(torch.tensor(rows, device=vectors[0].device))
    whole = torch.cat(vectors)[order].requires_grad_()
    with torch.enable_grad():
        loss = loss_of(whole)
    (gradient,) = torch.autograd.grad(loss * scale, whole)
    for number, (part, state) in enumerate(zip(parts, states, strict=True)):
        after = _random_state()
        _restore(state)
        with nullcontext() if sync_last and number + 1 == len(parts) else no_sync():
            backward((model(*part.inputs).float() * gradient[part.rows]).sum())
        _restore(after)
    return loss.detach()


def _random_state() -> tuple[Tensor, list[Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _restore(state: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
