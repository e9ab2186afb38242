"""The contrastive losses, on embeddings; cosine similarity over a temperature.

``official_loss`` is INSTRUCTOR's own. ``info_nce`` is the full in-batch form (Gao et al., arXiv 2104.08821; Karpukhin
et al., arXiv 2004.04906): other queries' positives are negatives too, save those that are known to be no negatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

_NEVER = -torch.inf


@dataclass(frozen=True)
class Identities:
    """What tells false negatives: int64 hashes of the texts, and of the labels (0: none).

    query, positive, label: (batch,); negative: (batch * negatives,); used: bool (batch * negatives,), False where an
    example has fewer negatives than others and its place is filled.
    """

    query: Tensor
    positive: Tensor
    negative: Tensor
    label: Tensor
    used: Tensor


def official_loss(
    query: Tensor, positive: Tensor, negative: Tensor, temperature: float, used: Tensor | None = None
) -> Tensor:
    """Return INSTRUCTOR's loss: CE(query i over its positive and all negatives) + CE(positive i over all queries).

    Other queries' positives are no negatives of a query; the sum is not averaged (the released training script; paper
    section 2.2). query, positive: (batch, dim); negative: (batch * negatives, dim); ``used``: see ``Identities``.
    """
    q, p, n = (normalize(x, dim=-1) for x in (query, positive, negative))
    own = (q * p).sum(-1, keepdim=True)  # (batch, 1)
    scores = torch.cat([own, _mask(q @ n.T, used)], dim=1) / temperature  # (batch, 1 + batch * negatives)
    forward = cross_entropy(scores, torch.zeros(len(q), dtype=torch.long, device=q.device))
    backward = cross_entropy(p @ q.T / temperature, torch.arange(len(q), device=q.device))
    return forward + backward


def info_nce(
    query: Tensor,
    positive: Tensor,
    negative: Tensor,
    temperature: float,
    identities: Identities,
    *,
    bidirectional: bool = True,
    teacher: tuple[Tensor, Tensor, Tensor] | None = None,
    margin: float = 0.0,
) -> Tensor:
    """Return the mean cross-entropy of each query's positive among all positives and negatives of the batch.

    Left out as false negatives: a candidate that is the query's own text or its positive's, or that has the query's
    label; with a ``teacher`` (embeddings of query, positive and negative) also those that it finds nearer to the query
    than the positive minus ``margin`` (GISTEmbed, arXiv 2402.16829). ``bidirectional`` adds the positives' side, over
    all queries, and halves the sum. Shapes as in ``official_loss``.
    """
    q, p, n = (normalize(x, dim=-1) for x in (query, positive, negative))
    wrong = false_negatives(identities)
    if teacher is not None:
        wrong = wrong | _nearer_by_teacher(teacher, margin)
    scores = torch.cat([q @ p.T, q @ n.T], dim=1).masked_fill(wrong, _NEVER) / temperature
    places = torch.arange(len(q), device=q.device)
    loss = cross_entropy(scores, places)
    if not bidirectional:
        return loss
    back = (p @ q.T).masked_fill(wrong[:, : len(q)].T, _NEVER) / temperature  # (batch, batch)
    return (loss + cross_entropy(back, places)) / 2


def false_negatives(ids: Identities) -> Tensor:
    """Return what must not count as a negative, bool (batch, batch + batch * negatives): columns are candidates."""
    candidates = torch.cat([ids.positive, ids.negative])
    wrong = (candidates[None] == ids.query[:, None]) | (candidates[None] == ids.positive[:, None])
    size = len(ids.query)
    wrong[:, :size] |= (ids.label[:, None] == ids.label[None]) & (ids.label != 0)[:, None]
    wrong[:, size:] |= ~ids.used[None]
    wrong[:, :size].fill_diagonal_(False)
    return wrong


def _nearer_by_teacher(teacher: tuple[Tensor, Tensor, Tensor], margin: float) -> Tensor:
    q, p, n = (normalize(x, dim=-1) for x in teacher)
    scores = torch.cat([q @ p.T, q @ n.T], dim=1)
    own = (q * p).sum(-1, keepdim=True)
    wrong = scores > own - margin
    wrong[:, : len(q)].fill_diagonal_(False)
    return wrong


def _mask(scores: Tensor, used: Tensor | None) -> Tensor:
    return scores if used is None else scores.masked_fill(~used[None], _NEVER)
