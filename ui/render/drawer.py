"""What slides in from the right: a whole document, or why a hit has its score."""

from __future__ import annotations

from collections.abc import Sequence

from instructor_search.search.documents import StoredDocument
from instructor_search.search.explain import Explanation, Part
from ui.render.parts import chips, text, under

AROUND = 60_000  # characters of a long document that are shown before and after the passage


def drawer(title: str, below: str, body: str, label: str) -> str:
    """Return the frame; ``body`` is HTML of our own making."""
    return (
        f'<div class="shade" data-action="close"></div><aside class="drawer" role="dialog" aria-modal="true" '
        f'aria-label="{text(label)}"><header><div><h2>{text(title)}</h2>'
        f'<p>{text(below)}</p></div><button class="act" data-action="close" aria-label="Close">Close</button></header>'
        f'<div class="body" tabindex="0">{body}</div></aside>'
    )


def failure(message: str) -> str:
    """Return the drawer where there is nothing to show."""
    return drawer("That did not work", "", f'<p role="alert">{text(message)}</p>', "Error")


def document(found: StoredDocument, chunk_id: str) -> str:
    """Return a document with the passage of a hit marked."""
    passage = found.passage(chunk_id)
    first, last = max(0, passage.start - AROUND), min(len(found.text), passage.end + AROUND)
    before = ("[…] " if first else "") + found.text[first : passage.start]
    after = found.text[passage.end : last] + (" […]" if last < len(found.text) else "")
    inside = found.text[passage.start : passage.end]
    body = (
        f'{chips(found.metadata)}<div class="document" lang="">{text(before)}<mark id="passage">{text(inside)}</mark>'
        f"{text(after)}</div>"
    )
    page = f", page {passage.page}" if passage.page else ""
    return drawer(found.title, f"{found.document_id}{page}", body, f"Document {found.title}")


def explanation(title: str, found: Sequence[Explanation]) -> str:
    """Return how the tokens of a text make its score, under each instruction side by side, on one scale."""
    most = max((abs(p.contribution) for e in found for p in e.tokens if p.text), default=1.0)
    asked = max((abs(p.contribution) for e in found for p in e.query_tokens if p.text), default=1.0)
    sides = "".join(_why(one, most, asked) for one in found)
    legend = (
        '<p class="legend">takes from the score <i aria-hidden="true"></i> adds to it · each word shows its share; all '
        "of them sum to the score</p>"
    )
    query = found[0].query
    return drawer(
        title, f"for “{query[:200]}”", f'{legend}<div class="whys">{sides}</div>', f"Why {title} has its score"
    )


def _why(found: Explanation, most: float, most_asked: float) -> str:
    stored = ""
    if found.stored_score is not None and abs(found.stored_score - found.score) >= 0.00005:
        stored = f" · {found.stored_score:.4f} with the stored vector"
    special = sum(p.contribution for p in found.tokens if p.start == p.end)
    return (
        f'<section class="why"><h3>{text(_first_upper(under(found.instruction)))}</h3><p class="sum">score {found.score:.4f}{stored}</p>'
        f'{heat(found.text, found.tokens, most)}<h4>By sentence</h4><ul class="sentences">{_sentences(found)}</ul>'
        f"<h4>The query’s own words</h4>{heat(found.query, found.query_tokens, most_asked)}"
        f'<p class="sum">ends and marks of the text: {special:+.4f}</p></section>'
    )


def heat(whole: str, tokens: Sequence[Part], most: float) -> str:
    """Return a text with each token on a ground by what it adds: one colour for more, one for less."""
    pieces, at = [], 0
    for token in sorted((t for t in tokens if t.end > t.start), key=lambda t: t.start):
        start, end = max(token.start, at), max(token.end, at)
        if start > at:
            pieces.append(text(whole[at:start]))
        if end > start:
            pieces.append(_token(whole[start:end], token.contribution, most))
        at = end
    return f'<div class="heat">{"".join(pieces)}{text(whole[at:])}</div>'


def _token(shown: str, value: float, most: float) -> str:
    strength = min(abs(value) / max(most, 1e-9), 1.0)  # of the strongest ground on which text can be read
    colour = "--plus" if value >= 0 else "--minus"
    return f'<span title="{value:+.4f}" style="background:rgba(var({colour}),calc({strength:.2f}*var(--heat)))">{text(shown)}</span>'


def _sentences(found: Explanation) -> str:
    rows = [part for part in found.sentences if part.text.strip()]
    return "".join(
        f"<li><b>{part.contribution:+.3f}</b><span>{text(' '.join(part.text.split()))}</span></li>" for part in rows
    )


def _first_upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
