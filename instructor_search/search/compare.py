"""One query seen from several sides: under other instructions, or in other views. What came in, what went, what moved.

Rankings are compared as a whole by rank-biased overlap (Webber, Moffat and Zobel, "A similarity measure for indefinite
rankings", ACM TOIS 28(4), 2010), in its extrapolated form, equation 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import NamedTuple, Unpack

from instructor_search.instruction_rule import GivenInstruction, resolve
from instructor_search.records import Hit
from instructor_search.search.ranking import Mode, RankingOptions
from instructor_search.search.searcher import Searcher
from instructor_search.search.snippets import Snippets

PERSISTENCE = 0.9  # of rank-biased overlap: the first ten ranks have 86 % of the weight
DEEPER = 100  # ranks that are looked at to say where a hit of one side stands on the other


class Side(NamedTuple):
    """How the query is asked: which view (its searcher), under which query instruction."""

    searcher: Searcher
    instruction: GivenInstruction = None

    @property
    def sentence(self) -> str:
        """The query instruction as the encoder sees it."""
        return resolve(self.instruction, documents_under=self.searcher.view.document_instruction)


class Move(NamedTuple):
    """A hit of two rankings. ``before`` and ``after``: its ranks, None where it is beyond ``DEEPER``."""

    chunk_id: str
    title: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Difference:
    """What changes from one side (``first``, a number from 0) to another (``second``), within the top k.

    ``entered``: of the second only, by their rank there; ``left``: of the first only; ``moved``: of both, at another
    rank; ``stayed``: at the same rank. ``overlap``: rank-biased overlap, 0 to 1.
    """

    first: int
    second: int
    entered: tuple[Move, ...]
    left: tuple[Move, ...]
    moved: tuple[Move, ...]
    stayed: tuple[Move, ...]
    overlap: float


@dataclass(frozen=True)
class Comparison:
    """The hits of each side, and the difference of each pair of sides."""

    query: str
    instructions: tuple[str, ...]
    views: tuple[str, ...]
    hits: tuple[tuple[Hit, ...], ...]
    differences: tuple[Difference, ...]


def compare(
    query: str,
    sides: Sequence[Side],
    *,
    top_k: int = 10,
    where: str | None = None,
    snippets: str = Snippets.WORDS,
    **ranking: Unpack[RankingOptions],
) -> Comparison:
    """Return the ``top_k`` hits of each side and how they differ; the options are those of ``Searcher.search``.

    Raises:
        ValueError: fewer than two sides, a search by words alone (all sides are the same), or what a search refuses.
    """
    if ranking.get("mode") == Mode.TEXT:
        raise ValueError("mode is 'text': by words no instruction or view applies; expected dense or hybrid")
    if len(sides) < 2:
        raise ValueError(f"{len(sides)} instruction to compare; expected at least two, or two views")
    shown, ranks = [], []
    for side in sides:
        search = partial(side.searcher.search, query, instruction=side.sentence, where=where, **ranking)
        shown.append(tuple(search(top_k=top_k, snippets=snippets)))
        deep = search(top_k=max(DEEPER, top_k), snippets=Snippets.NONE)
        ranks.append({hit.chunk_id: hit.rank for hit in deep})
    pairs = combinations(range(len(sides)), 2)
    differences = tuple(difference(shown[a], shown[b], ranks[a], ranks[b], first=a, second=b) for a, b in pairs)
    views = tuple(side.searcher.view.name for side in sides)
    return Comparison(query, tuple(side.sentence for side in sides), views, tuple(shown), differences)


def difference(
    before: Sequence[Hit],
    after: Sequence[Hit],
    ranks_before: dict[str, int],
    ranks_after: dict[str, int],
    *,
    first: int = 0,
    second: int = 1,
) -> Difference:
    """Return what changes between two rankings; ``ranks``: of the deeper rankings, by chunk id."""
    old, new = {h.chunk_id: h for h in before}, {h.chunk_id: h for h in after}

    def move(hit: Hit) -> Move:
        return Move(hit.chunk_id, hit.title, ranks_before.get(hit.chunk_id), ranks_after.get(hit.chunk_id))

    both = [move(hit) for name, hit in new.items() if name in old]
    return Difference(
        first=first,
        second=second,
        entered=tuple(move(hit) for name, hit in new.items() if name not in old),
        left=tuple(move(hit) for name, hit in old.items() if name not in new),
        moved=tuple(m for m in both if m.before != m.after),
        stayed=tuple(m for m in both if m.before == m.after),
        overlap=rank_biased_overlap(list(old), list(new)),
    )


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], p: float = PERSISTENCE) -> float:
    """Return the extrapolated rank-biased overlap of two rankings without repetitions, 0 to 1.

    With S the shorter (length s) and L the longer (l), X(d) the number of common items in the first d of both
    (equation 32):  (1-p)/p * (sum_{d=1..l} X(d)/d p^d + sum_{d=s+1..l} X(s)(d-s)/(s d) p^d)
                    + ((X(l)-X(s))/l + X(s)/s) p^l

    Raises:
        ValueError: ``p`` is not between 0 and 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"p is {p}; expected a number between 0 and 1")
    short, long = sorted((first, second), key=len)
    if not short:
        return float(not long)
    size, depth = len(short), len(long)
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    total, common, common_at_size = 0.0, 0, 0
    for d in range(1, depth + 1):
        seen_long.add(long[d - 1])
        common += long[d - 1] in seen_short
        if d <= size:
            seen_short.add(short[d - 1])
            common += short[d - 1] in seen_long
            common_at_size = common
        total += common / d * p**d
        if d > size:
            total += common_at_size * (d - size) / (size * d) * p**d
    return (1 - p) / p * total + ((common - common_at_size) / depth + common_at_size / size) * p**depth
