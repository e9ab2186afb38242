"""What must not stand in a prompt: the input itself with its answer, near-copies of it, the same example twice."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from instructor_search.records import Demonstration


class Dropped(NamedTuple):
    """A demonstration that was left out, and why."""

    demonstration: Demonstration
    reason: str


def normal_form(text: str) -> str:
    """Return what makes two texts the same: letters, digits and symbols in lower case, without accents' variants.

    White space and punctuation (not signs such as + and <, which mean something in code and formulas) do not count.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = re.sub(r"[^\w+<>=*/%&|^~$€£#@-]+", " ", folded)
    return " ".join(words.split()) or folded.strip()


def sift(demonstrations: Sequence[Demonstration], text: str) -> tuple[list[Demonstration], list[Dropped]]:
    """Return the demonstrations that may be shown for ``text``, in their order, and those dropped, with the reason."""
    asked = normal_form(text)
    seen: set[tuple[str, str]] = set()
    kept, dropped = [], []
    for example in demonstrations:
        normalised = normal_form(example.input), normal_form(example.output)
        if normalised[0] == asked:
            dropped.append(Dropped(example, "it is the input itself"))
        elif normalised in seen:
            dropped.append(Dropped(example, "a copy of a better one"))
        else:
            seen.add(normalised)
            kept.append(example)
    return kept, dropped
