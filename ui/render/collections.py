"""A collection as a page shows it: numbers, views, documents."""

from __future__ import annotations

from instructor_search.commands.parser import counted
from ui.collections import CollectionFacts, ViewCost
from ui.render.parts import panel, table, text

MAX_SOURCES = 200


def size(number: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return ""


def duration(seconds: float) -> str:
    """Return seconds as people read them."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def collection(found: CollectionFacts) -> str:
    """Return the numbers and the views of a collection."""
    stored = (found.chunks, "chunk"), (sum(s.num_documents for s in found.sources), "document")
    numbers = [
        *(counted(number, noun).split() for number, noun in (*stored, (len(found.sources), "file"))),
        (size(found.size), "on disk"),
        counted(found.judgments, "judgment").split(),
    ]
    sums = "".join(f"<div><b>{text(value)}</b><span>{name}</span></div>" for value, name in numbers)
    rows = [
        (
            v.name,
            v.instruction.strip() or "none",
            v.model,
            v.dim,
            v.precision,
            v.index,
            "complete" if not v.missing else f"{counted(v.missing, 'chunk')} missing",
        )
        for v in found.views
    ]
    columns = ("view", "document instruction", "model", "numbers", "precision", "index", "vectors")
    said = (
        ""
        if found.chunks
        else panel("warn", "Nothing is stored yet", "If its work below ended early, press Resume; else add files.")
    )
    return f'{said}<div class="sums">{sums}</div>{table(columns, rows, numbers=(3,), long=(0, 1, 2), name="Views")}'


def documents(found: CollectionFacts, words: str = "") -> str:
    """Return the files of a collection whose names have ``words``."""
    wanted = [s for s in found.sources if all(w in s.source.lower() for w in words.lower().split())]
    rows = [(s.source, size(s.size), s.num_documents, s.num_chunks) for s in wanted[:MAX_SOURCES]]
    more = counted(len(wanted), "file") + (f", the first {MAX_SOURCES} shown" if len(wanted) > MAX_SOURCES else "")
    shown = table(("file", "size", "documents", "chunks"), rows, numbers=(1, 2, 3), name="Files")
    return f'<div class="found"><span>{more}</span></div>{shown}'


def cost(found: ViewCost) -> str:
    """Return what a new view takes, in a sentence."""
    return (
        f'<div class="panel note"><p>{counted(found.chunks, "chunk")}: about {duration(found.seconds)} of embedding on this '
        f"machine, and {size(found.size)} on disk.</p></div>"
    )
