"""The page's address: which tab and collection it names, and what an answer means for it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ui.session import Session

TABS = ("search", "compare", "map", "prompts", "collections", "evaluation")


def tab_of(given: Mapping[str, str]) -> str:
    """Return the tab that an address names, else the first."""
    tab = given.get("tab", "")
    return tab if tab in TABS else TABS[0]


def first_collection(session: Session, given: Mapping[str, str]) -> str | None:
    """Return the collection that an address names, else the one to show first."""
    return given["c"] if given.get("c") in session.whole_collections() else session.default_collection()


def asked_early(
    session: Session, name: str | None, instruction: str, view: str | None, given: Mapping[str, str]
) -> tuple[str | None, str]:
    """Return the collection and the instruction to search, also where the page was still opening and showed neither."""
    if name:
        return name, instruction
    meant = first_collection(session, given)
    return meant, instruction or session.default_instruction(meant, view or "")


def place(name: str | None, *, chosen: bool = False) -> str:
    """Return what the page's script needs to keep the address. ``chosen``: somebody chose the collection."""
    return json.dumps({"collection": name or "", "chosen": chosen})


def marked(answer: str, how: str) -> str:
    """Return an answer with what it means for the address: "again" replaces it, "restored" leaves it as it is."""
    return f'<div data-how="{how}">{answer}</div>'
