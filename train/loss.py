"""The contrastive losses, on embeddings; cosine similarity over a temperature.

``official_loss`` is INSTRUCTOR's own. ``info_nce`` is the full in-batch form (Gao et al., arXiv 2104.08821; Karpukhin
et al., arXiv 2004.04906): other queries' positives are negatives too, save those that are known to be no negatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div, log_softmax, normalize

_NEVER = -torch.inf


@dataclass(frozen=True)
class Identities:
    """What tells false negatives: int64 hashes of the texts, of the queries with their instructions, and of the labels.

    query, positive, asked, label (0: none): (batch,); negative: (batch * negatives,); used: bool (batch * negatives,),
    False where an example has fewer negatives than others and its place is filled.
    """

    query: Tensor
    positive: Tensor
    negative: Tensor
    asked: Tensor
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
    positive_scores = (q * p).sum(-1, keepdim=True)  # (batch, 1)
    scores = torch.cat([positive_scores, _mask(q @ n.T, used)], dim=1) / temperature  # (batch, 1 + batch * negatives)
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
    guide: tuple[Tensor, Tensor, Tensor] | None = None,
    margin: float = 0.0,
) -> Tensor:
    """Return the mean cross-entropy of each query's positive among all positives and negatives of the batch.

    Left out as false negatives: a candidate that is the query's own text or its positive's, that has the query's label,
    or that is the positive of the same query in another example; with a ``guide`` (embeddings of query, positive and
    negative) also those that it finds nearer to the query than the positive minus ``margin`` (GISTEmbed, arXiv
    2402.16829). ``bidirectional`` adds the positives' side, over all queries, and halves the sum. Shapes as in
    ``official_loss``.
    """
    q, p, n = (normalize(x, dim=-1) for x in (query, positive, negative))
    wrong = false_negatives(identities)
    if guide is not None:
        wrong = wrong | _nearer_by_guide(guide, margin)
    scores = torch.cat([q @ p.T, q @ n.T], dim=1).masked_fill(wrong, _NEVER) / temperature
    places = torch.arange(len(q), device=q.device)
    loss = cross_entropy(scores, places)
    if not bidirectional:
        return loss
    back = (p @ q.T).masked_fill(wrong[:, : len(q)].T, _NEVER) / temperature  # (batch, batch)
    return (loss + cross_entropy(back, places)) / 2


def distillation_loss(
    student: tuple[Tensor, Tensor, Tensor], teacher: tuple[Tensor, Tensor, Tensor], temperature: float, used: Tensor
) -> Tensor:
    """Return KL(teacher || student) of each query over all positives and negatives, and each positive over all queries.

    Both are distributions of cosine similarity over ``temperature`` (Hinton et al., arXiv 1503.02531). The two sides
    are averaged. Triples of (query, positive, negative), shapes as in ``official_loss``; ``used``: see ``Identities``.
    """
    (q, p, n), (tq, tp, tn) = ([normalize(x, dim=-1) for x in side] for side in (student, teacher))
    left_out = torch.cat([torch.zeros(len(p), dtype=torch.bool, device=used.device), ~used])[None]

    def divergence(mine: Tensor, other: Tensor, wrong: Tensor | None) -> Tensor:
        if wrong is not None:  # a large number, not infinity: 0 * inf is no number
            mine, other = mine.masked_fill(wrong, -1e4), other.masked_fill(wrong, -1e4)
        mine, other = (log_softmax(x / temperature, dim=1) for x in (mine, other))
        return kl_div(mine, other, reduction="batchmean", log_target=True)

    forward = divergence(torch.cat([q @ p.T, q @ n.T], 1), torch.cat([tq @ tp.T, tq @ tn.T], 1), left_out)
    return (forward + divergence(p @ q.T, tp @ tq.T, None)) / 2


def consistency_loss(found: list[Tensor], known: list[Tensor]) -> Tensor:
    """Return the mean of 1 - cosine between each embedding and what is known of it; lists of (n, dim)."""
    first, second = torch.cat(found), torch.cat(known)
    return (1 - cosine_similarity(first.float(), second.float(), dim=-1)).mean()


def similarity_loss(query: Tensor, positive: Tensor, known: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return the mean of 1 - cosine of texts under an instruction that is to change nothing, and the same under none.

    (batch, dim) each; the positives are a target and get no gradient. ``known``: what another model finds of both texts
    under no instruction; then both are drawn to that.
    """
    if known is not None:
        return consistency_loss([query, positive], list(known))
    return consistency_loss([query], [positive.detach()])


def wordings_loss(query: Tensor, positive: Tensor, known: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return the mean of 1 - cosine between texts under two wordings of one instruction, and the mean of both.

    (batch, dim) each; the mean is a target and gets no gradient. ``known``: what another model finds of both, the mean
    of which is the target then. Over many wordings that is the mean over all of them.
    """
    first, second = (normalize(side.detach().float(), dim=-1) for side in known or (query, positive))
    return consistency_loss([query, positive], [first + second] * 2)


def false_negatives(ids: Identities) -> Tensor:
    """Return what must not count as a negative, bool (batch, batch + batch * negatives): columns are candidates."""
    candidates = torch.cat([ids.positive, ids.negative])
    wrong = (candidates[None] == ids.query[:, None]) | (candidates[None] == ids.positive[:, None])
    size = len(ids.query)
    wrong[:, :size] |= (ids.label[:, None] == ids.label[None]) & (ids.label != 0)[:, None]
    wrong[:, :size] |= ids.asked[:, None] == ids.asked[None]
    wrong[:, size:] |= ~ids.used[None]
    wrong[:, :size].fill_diagonal_(False)
    return wrong


def _nearer_by_guide(guide: tuple[Tensor, Tensor, Tensor], margin: float) -> Tensor:
    q, p, n = (normalize(x, dim=-1) for x in guide)
    scores = torch.cat([q @ p.T, q @ n.T], dim=1)
    positive_scores = (q * p).sum(-1, keepdim=True)
    wrong = scores > positive_scores - margin
    wrong[:, : len(q)].fill_diagonal_(False)
    return wrong


def _mask(scores: Tensor, used: Tensor | None) -> Tensor:
    return scores if used is None else scores.masked_fill(~used[None], _NEVER)
