"""The hits of a search as cards."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

from instructor_search.commands.parser import counted
from instructor_search.records import Hit
from ui.asking import Answer, Asked
from ui.render.parts import address, bar, chips, panel, text, under

WEAK = (
    '<div class="panel note" role="status"><h3>No hit stands out</h3><p>These scores are like those of random words in '
    "this view.</p></div>"
)
EXAMPLES_TITLE = "Same word, another instruction, other documents"


def answer(found: Answer, *, read_only: bool = False) -> str:
    """Return a search's hits, or why there are none."""
    asked = found.asked
    root = f'<div data-asked="{text(asked_json(asked))}" data-url="{text(search_address(asked))}">'
    if not found.hits:
        return root + no_hits(found) + "</div>"
    top = max((hit.score for hit in found.hits), default=1.0)
    cards = "".join(
        card(hit, top=1.0 if asked.mode == "dense" else top, judged=found.judged.get(hit.chunk_id), read_only=read_only)
        for hit in found.hits
    )
    return f'{root}{_head(found)}{WEAK if found.weak else ""}<div class="cards">{cards}</div></div>'


def _head(found: Answer) -> str:
    asked = found.asked
    how = "by words; no instruction applies" if asked.mode == "text" else under(asked.sentence)
    cut = f" · {counted(found.tokens_cut, 'token')} of the query did not fit" if found.tokens_cut else ""
    count = counted(len(found.hits), "hit")
    return (
        f'<div class="found" role="status"><span class="under">{count} {text(how)}</span><span class="grow"></span>'
        f"<span>{found.milliseconds:.0f} ms · {counted(found.num_chunks, 'chunk')} · view {text(found.view.name)}{text(cut)}</span>"
        '<button class="act" data-action="link" title="Copy the address of this search">Copy link</button></div>'
    )


def no_hits(found: Answer) -> str:
    """Return what is said where nothing was found."""
    if found.asked.where.strip():
        return panel(
            "empty",
            "Nothing matches",
            f"No chunk matches the filter {found.asked.where.strip()!r} and the "
            "query. Loosen the filter, or take it away.",
        )
    if not found.num_chunks:
        return panel("empty", "This collection is empty", "Upload files in the tab Collections.")
    if found.asked.mode == "text":
        return panel("empty", "No document has these words", "Search by meaning finds documents that say it otherwise.")
    return panel("empty", "Nothing was found", "Try other words, or another view.")


def card(
    hit: Hit, *, top: float, judged: bool | None = None, read_only: bool = False, badge: str = "", actions: bool = True
) -> str:
    """Return one hit. ``top``: the score of a full bar; ``badge``: HTML of our own making after the title."""
    place = " › ".join([hit.document_id, *([f"page {hit.page}"] if hit.page else [])])
    heading = " › ".join(hit.heading)
    metadata = {name: value for name, value in hit.metadata.items() if name not in ("mtime", "row")}
    label = f"score {hit.score:.4f}"
    score = (
        f'<span class="score">{badge}{bar(hit.score / top if top > 0 else 0, label)}<span>{hit.score:.4f}</span></span>'
    )
    return (
        f'<article class="card" data-chunk="{text(hit.chunk_id)}"><div class="top"><span class="rank">{hit.rank}</span>'
        f'<button class="title" data-action="open" title="Open the document at this passage">{text(hit.title)}</button>'
        f'{score}</div><p class="from">{text(place)}{" · " + text(heading) if heading and heading != hit.title else ""}</p>'
        f'<p class="snippet">{highlighted(hit.snippet, hit.best_sentence)}</p>{chips(metadata)}'
        f"{_acts(judged, read_only) if actions else ''}</article>"
    )


def _acts(judged: bool | None, read_only: bool) -> str:
    off = " disabled" if read_only else ""
    thumbs = "".join(
        f'<button class="act" data-action="{action}" aria-pressed="{str(judged is not None and judged == good).lower()}"'
        f"{off}>{label}</button>"
        for action, good, label in (("up", True, "✓ Relevant"), ("down", False, "✗ Not relevant"))
    )
    return (
        '<div class="acts"><button class="act" data-action="open">Open</button>'
        f'<button class="act" data-action="why">Why this score?</button>{thumbs}'
        '<span class="said visually-hidden" role="status"></span></div>'
    )


def highlighted(snippet: str, best: str) -> str:
    """Return a snippet with its best sentence marked; a snippet that ends within it marks what there is of it."""
    words = " ".join(best.split())
    at = snippet.find(words) if words else -1
    if at >= 0:
        before, inside, after = snippet[:at], words, snippet[at + len(words) :]
        return f"{text(before)}<mark>{text(inside)}</mark>{text(after)}"
    whole = re.sub(r"^\.\.\. | \.\.\.$", "", snippet)
    if words and whole and words.startswith(whole):
        return f"<mark>{text(whole)}</mark>{' ...' if snippet.endswith(' ...') else ''}"
    return text(snippet)


def asked_json(asked: Asked) -> str:
    """Return a search as the page keeps it with its hits."""
    return json.dumps(asdict(asked), ensure_ascii=False)


def search_address(asked: Asked) -> str:
    """Return the address of a search."""
    return address(
        tab="search",
        c=asked.collection,
        q=asked.query,
        i=asked.instruction or "-",
        v=asked.view,
        m="" if asked.mode == "dense" else asked.mode,
        w=asked.where,
        k="" if asked.top_k == 10 else asked.top_k,
    )


def examples(tries: tuple[tuple[str, str], ...]) -> str:
    """Return what the page shows before the first search."""
    buttons = "".join(
        f'<button class="try" data-action="try" data-value="{number}"><b>{text(query)}</b>'
        f"<span>{text(instruction.strip())}</span></button>"
        for number, (query, instruction) in enumerate(tries)
    )
    return (
        f'<div class="panel empty"><h3>{EXAMPLES_TITLE}</h3><p>The instruction says what you search for. Try one of '
        f'these, or ask in your own words.</p><div class="tries">{buttons}</div></div>'
    )
