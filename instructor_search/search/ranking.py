"""How hits are ranked: where candidates come from, how two rankings become one, how deep to look."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypedDict

from instructor_search.search.candidates import Found
from instructor_search.search.fusion import reciprocal_rank_fusion, weighted_fusion
from instructor_search.search.reranking import Reranker

CANDIDATES = 100  # of each ranking that go into a fusion or are thinned out, at least
MAX_TOP_K = 10_000
_DEPTHS = (10, 100, 1000, MAX_TOP_K)  # a page is a part of a ranking of one of these depths


class Mode(StrEnum):
    """How candidates are found: by vector, by words, or by both."""

    DENSE = "dense"
    TEXT = "text"
    HYBRID = "hybrid"


class RankingOptions(TypedDict, total=False):
    """The fields of ``Ranking`` as keywords of a search."""

    mode: str
    dense_weight: float | None
    reranker: Reranker | None
    rerank_depth: int
    drop_copies: float | None
    diversity: float


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """How hits are ranked.

    Attributes:
        mode: where candidates come from.
        dense_weight: of a hybrid search's cosines in a weighted sum, 0 to 1; None: reciprocal rank fusion.
        reranker: scores the best ``rerank_depth`` candidates anew.
        drop_copies: cosine from which a hit that is so near to a better one is left out; None: none is.
        diversity: 0 to 1, how much hits should be unlike one another (maximal marginal relevance); 0: not at all.
    """

    mode: str = Mode.DENSE
    dense_weight: float | None = None
    reranker: Reranker | None = None
    rerank_depth: int = CANDIDATES
    drop_copies: float | None = None
    diversity: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: a value is out of its range, or the mode is unknown.
        """
        if self.mode not in list(Mode):
            raise ValueError(f"mode is {self.mode!r}; expected one of {', '.join(Mode)}")
        for name in ("dense_weight", "drop_copies", "diversity"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; expected 0 to 1")
        if self.dense_weight is not None and self.mode != Mode.HYBRID:
            raise ValueError(f"dense_weight is for a hybrid search; the mode is {self.mode!r}")

    @property
    def thins_out(self) -> bool:
        """Whether hits are left out or chosen by their likeness."""
        return self.drop_copies is not None or self.diversity > 0

    def depth(self, count: int) -> int:
        """Return how many candidates of each kind are found so that ``count`` hits can be ranked.

        Pages of one size class are parts of the same ranking, so that no hit is on two of them.
        """
        count = max(count, self.rerank_depth) if self.reranker else count
        if self.mode == Mode.HYBRID or self.thins_out:
            count = max(CANDIDATES, 2 * count)
        return next((depth for depth in _DEPTHS if depth >= count), count)


class Candidate(NamedTuple):
    """A chunk on its way into the hits: ``signals`` are the scores and ranks it came with."""

    id: str
    row: int
    score: float
    signals: dict[str, float]


def fuse(rankings: dict[str, list[Found]], how: Ranking) -> list[Candidate]:
    """Return the candidates of one ranking or of two put together, best first."""
    signals: dict[str, dict[str, float]] = {}
    rows: dict[str, int] = {}
    scores: dict[str, float] = {}
    for name, ranking in rankings.items():
        for rank, hit in enumerate(ranking, 1):
            rows[hit.id], scores[hit.id] = hit.row, hit.score
            signals.setdefault(hit.id, {}).update({name: hit.score, f"{name}_rank": rank})
    if how.mode == Mode.HYBRID and how.dense_weight is None:
        scores = reciprocal_rank_fusion({name: [f.id for f in ranking] for name, ranking in rankings.items()})
    elif how.mode == Mode.HYBRID:
        weights = {"dense": how.dense_weight or 0.0, "text": 1 - (how.dense_weight or 0.0)}
        scores = weighted_fusion({n: {f.id: f.score for f in ranking} for n, ranking in rankings.items()}, weights)
    order = sorted(scores, key=lambda name: (-scores[name], name))
    return [Candidate(name, rows[name], scores[name], signals[name]) for name in order]
