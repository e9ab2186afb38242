"""What a user asks of the page, its API and its tools, and what they answer; checks of what a program may send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from instructor_search.errors import InstructorSearchError
from instructor_search.records import Hit

if TYPE_CHECKING:
    from instructor_search.store.manifest import View

MODES = ("dense", "text", "hybrid")


class AppError(InstructorSearchError):
    """Something that a user asked for cannot be done; the message says what to do."""


@dataclass(frozen=True)
class Asked:
    """One search as a user asks for it. ``instruction`` None: what goes with the view; ``view`` "": the default one."""

    collection: str
    query: str
    instruction: str | None
    view: str = ""
    mode: str = "dense"
    where: str = ""
    top_k: int = 10

    @property
    def sentence(self) -> str:
        """The instruction of a checked search."""
        return self.instruction or ""


@dataclass(frozen=True)
class Answer:
    """The hits of a search, and what is known of them."""

    asked: Asked
    view: View
    hits: tuple[Hit, ...]
    milliseconds: float
    tokens_cut: int
    judged: dict[str, bool]  # chunk id -> relevant
    num_chunks: int
    weak: bool = False  # no hit stands out from what random words score


def check_text(name: str, value: object) -> None:
    """Refuse what is no text, or has halves of characters; a program may send anything.

    Raises:
        AppError: it is none.
    """
    if not isinstance(value, str):
        raise AppError(f"{name} is {value!r:.40}; expected a text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise AppError(f"{name} has half a character (a lone surrogate); expected a text")


def check_length(name: str, value: object, most: int) -> None:
    """Refuse what is no text of at most so many characters.

    Raises:
        AppError: it is none.
    """
    check_text(name, value)
    if len(str(value)) > most:
        raise AppError(f"the {name} has {len(str(value)):,} characters; at most {most:,} are taken here")


def check_number(name: str, value: object) -> int:
    """Return a whole number (10.0 is one) and refuse anything else.

    Raises:
        AppError: it is none.
    """
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        raise AppError(f"{name} is {value!r:.40}; expected a whole number")
    return int(value)
