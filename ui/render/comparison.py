"""One query under two instructions: what moved, entered and left, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from instructor_search.records import Hit
from instructor_search.search.compare import Comparison, Difference, Move
from ui.asking import Asked
from ui.render.cards import card
from ui.render.parts import address, panel, text, under


def comparison(found: Comparison, asked: Asked, other: str, other_view: str = "") -> str:
    """Return the two sides of a comparison. ``other``: the second instruction; the first is that of ``asked``."""
    kept = json.dumps({**asdict(asked), "other": other}, ensure_ascii=False)
    shown = address(
        tab="compare",
        c=asked.collection,
        q=asked.query,
        i=asked.instruction or "-",
        j=other or "-",
        v=asked.view,
        u="" if other_view == asked.view else other_view,
        w=asked.where,
        k="" if asked.top_k == 10 else asked.top_k,
    )
    change = found.differences[0]
    if not any(found.hits):
        return panel("empty", "Nothing was found on either side", "Try other words, or loosen the filter.")
    sides = "".join(
        _side(hits, instruction, _marks(change, first=side == 0))
        for side, (hits, instruction) in enumerate(zip(found.hits, found.instructions, strict=True))
    )
    return (
        f'<div data-asked="{text(kept)}" data-url="{text(shown)}">{_sums(change)}<div class="sides">{sides}</div></div>'
    )


def _sums(change: Difference) -> str:
    numbers = (
        (f"{change.overlap:.2f}", "rank-biased overlap (1: the same)"),
        (len(change.entered), "entered"),
        (len(change.left), "left"),
        (len(change.moved), "moved"),
        (len(change.stayed), "stayed in place"),
    )
    cells = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for value, name in numbers)
    return f'<div class="sums" role="status">{cells}</div>'


def _side(hits: Sequence[Hit], instruction: str, marks: dict[str, str]) -> str:
    cards = "".join(_card(hit, marks.get(hit.chunk_id, "")) for hit in hits)
    empty = panel("empty", "No hits on this side")
    head = under(instruction)
    return f'<section class="side"><h3>{text(head[:1].upper() + head[1:])}</h3><div class="cards">{cards or empty}</div></section>'


def _card(hit: Hit, mark: str) -> str:
    acts = '<div class="acts"><button class="act" data-action="why">Why, under both?</button></div>'
    article = card(hit, top=1.0, badge=mark, actions=False)
    return article.removesuffix("</article>") + acts + "</article>"


def _marks(change: Difference, *, first: bool) -> dict[str, str]:
    """Return a badge for each chunk: where it stands on the other side."""
    marks = {m.chunk_id: _badge("stayed", "=", "at the same rank on both sides") for m in change.stayed}
    for move in change.moved:
        marks[move.chunk_id] = _moved(move, first=first)
    for move in change.left if first else change.entered:
        other = move.after if first else move.before
        where = f"rank {other} on the other side" if other else "not among the first 100 of the other side"
        kind = "left" if first else "entered"
        marks[move.chunk_id] = _badge(kind, f"{kind} · #{other}" if other else kind, where)
    return marks


def _moved(move: Move, *, first: bool) -> str:
    before, after = move.before or 0, move.after or 0
    here, there = (before, after) if first else (after, before)
    arrow = "↓" if there > here else "↑"
    return _badge("moved", f"{arrow} #{there}", f"rank {there} on the other side")


def _badge(kind: str, label: str, title: str) -> str:
    return f'<span class="badge {kind}" title="{text(title)}">{text(label)}</span>'
