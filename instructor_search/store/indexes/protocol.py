"""What every index of a collection can do, whatever it is of and whoever made the library behind it.

An index is built from the collection's table and can always be made again from it. What a search uses of it is opened
by ``open``; such a reader holds one version of the table and has a ``sync`` of its own, which writes nothing.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Findings(NamedTuple):
    """What a check found, in sentences. ``notes``: what a user may want to know and need not mend."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Index(Protocol):
    """Something beside or in the table that makes searches of it fast."""

    def open(self) -> object | None:
        """Return the newest whole one for reading; None where there is none, or where the table uses it by itself."""

    def sync(self) -> list[str]:
        """Make it if it is due, else bring it to the table's version, and save it; return what was made, in words.

        Under the writer's lock. Where it is not due any more, or no longer wanted, it is dropped.

        Raises:
            StoreError: the table cannot be read, or the index cannot be written; what was saved before stays.
        """

    def drop(self) -> None:
        """Delete all that is saved of it, under the writer's lock. Readers that have it open go on."""

    def verify(self) -> Findings:
        """Compare what is saved with what was written, or with the table. Needs no lock."""
