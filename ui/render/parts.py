"""The small pieces of the page: escaped texts, panels, chips, tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

MAX_CHIPS = 6
MAX_CELL = 90  # characters of a cell that are shown without a click


def text(value: Any) -> str:
    """Return a value as text that no browser takes for markup."""
    return escape(str(value).encode("utf-8", "replace").decode("utf-8"), quote=True)


_QUOTED = re.compile(r"(?<=')/[^'\n]+(?=')|(?<=\")/[^\"\n]+(?=\")")
_PATH = re.compile(r"(?<![\w./…])/(?:[^\s/'\"`,;:()<>]+/)+[^\s/'\"`,;:()<>]*")


def without_paths(message: str) -> str:
    """Return a message in which of each absolute path the last name is left: where files lie is no page's business."""
    message = re.sub(r"\bfile:/+", "/", message)
    for kind in (_QUOTED, _PATH):
        message = kind.sub(lambda match: "…/" + (match[0].rstrip("/").rpartition("/")[2]), message)
    return message


def panel(kind: str, title: str, *lines: str) -> str:
    """Return a box that says how things stand. ``kind``: error, warn, good, empty or note."""
    role = ' role="alert"' if kind == "error" else ""
    body = "".join(f"<p>{text(line)}</p>" for line in lines)
    return f'<div class="panel {kind}"{role}><h3>{text(title)}</h3>{body}</div>'


def error(message: str) -> str:
    """Return the box of something that cannot be done."""
    return panel("error", "That did not work", message)


def chips(facts: Mapping[str, Any]) -> str:
    """Return metadata as small labels; long values are cut, all of it stands in the tooltip."""
    shown = [(name, value) for name, value in facts.items() if value not in (None, "")]
    labels = [
        f'<span class="chip" title="{text(name)}: {text(value)}">{text(name)} <b>{text(str(value)[:60])}</b></span>'
        for name, value in shown[:MAX_CHIPS]
    ]
    if len(shown) > MAX_CHIPS:
        rest = ", ".join(f"{name}: {str(value)[:40]}" for name, value in shown[MAX_CHIPS:])
        labels.append(f'<span class="chip" title="{text(rest)}">+{len(shown) - MAX_CHIPS}</span>')
    return f'<div class="chips">{"".join(labels)}</div>' if labels else ""


def bar(share: float, label: str) -> str:
    """Return a bar that is filled by ``share``, 0 to 1."""
    percent = round(100 * min(max(share, 0.0), 1.0))
    return f'<span class="bar" role="img" aria-label="{text(label)}"><span style="width:{percent}%"></span></span>'


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    numbers: Iterable[int] = (),
    long: Iterable[int] = (),
    name: str = "",
) -> str:
    """Return a table of escaped cells.

    ``numbers``: columns that are set to the right; ``long``: those of texts that may be broken anywhere, and folded.
    """
    kinds = dict.fromkeys(numbers, ' class="number"') | dict.fromkeys(long, ' class="long"')

    def cell(tag: str, at: int, value: Any) -> str:
        shown = text(value)
        if "long" in kinds.get(at, "") and len(str(value)) > MAX_CELL:
            shown = f'<details><summary title="{shown}">{shown}</summary></details>'
        return f"<{tag}{kinds.get(at, '')}>{shown}</{tag}>"

    head = "".join(cell("th", at, column) for at, column in enumerate(columns))
    body = "".join("<tr>" + "".join(cell("td", i, v) for i, v in enumerate(row)) + "</tr>" for row in rows)
    caption = f'<caption class="visually-hidden">{text(name)}</caption>' if name else ""
    return (
        f'<div class="table-box" tabindex="0"><table class="rows">{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def address(**state: Any) -> str:
    """Return the query part of an address that shows this state again; empty values are left out."""
    return "?" + urlencode({name: value for name, value in state.items() if value not in (None, "")})


def under(instruction: str) -> str:
    """Return an instruction as it is spoken of."""
    return f"under “{instruction.strip()}”" if instruction.strip() else "without an instruction"
