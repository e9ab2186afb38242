"""What a run did: counts, reasons and times, as an object, as text, and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from instructor_search.commands.parser import counted


@dataclass
class IngestReport:
    """Sources are files. ``failed`` could not be read; ``skipped`` were passed over on purpose."""

    collection: str
    view: str
    model: str
    document_instruction: str
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    documents: int = 0
    chunks_embedded: int = 0
    chunks_kept: int = 0
    chunks_deleted: int = 0
    texts_cut: int = 0
    chunks_total: int = 0
    rows_left_out: int = 0  # of an example pool: without an input or an output
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # sources whose file is gone, kept because --prune was not given
    made: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    is_dropped: bool = False  # a new collection in which nothing could be stored

    @property
    def nothing_changed(self) -> bool:
        """Whether the collection is as it was before."""
        return not (self.added or self.changed or self.removed or self.chunks_embedded or self.chunks_deleted)

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return asdict(self) | {"nothing_changed": self.nothing_changed}

    def as_text(self) -> str:
        """Return the summary that a person reads."""
        lines = [
            f"collection {self.collection}: {counted(self.chunks_total, 'chunk')}, view {self.view} ({self.model})"
        ]
        if self.is_dropped:
            lines = [f"collection {self.collection}: not made"]
        if self.nothing_changed:
            one = self.unchanged == 1
            kept = "the file is stored as it is" if one else f"all {self.unchanged} files are stored as they are"
            same = f"nothing changed: {kept}"
            nothing = "nothing was stored yet" if self.interrupted else "nothing could be stored"
            lines.append(same if self.unchanged or not (self.failed or self.interrupted) else nothing)
        else:
            lines.append(
                f"files: {self.added} added, {self.changed} changed, {self.unchanged} unchanged, "
                f"{self.removed} removed; {counted(self.documents, 'document')} read"
            )
            lines.append(
                f"chunks: {self.chunks_embedded:,} embedded, {self.chunks_kept:,} kept, {self.chunks_deleted:,} deleted"
            )
        if self.texts_cut:
            lines.append(
                f"cut: {counted(self.texts_cut, 'chunk')} longer than the window beside this instruction; "
                "what is beyond it is in no vector (a smaller --chunk-tokens helps)"
            )
        if self.rows_left_out:
            lines.append(f"left out: {counted(self.rows_left_out, 'row')} without an input or an output")
        lines += grouped("skipped", self.skipped) + grouped("could not read", self.failed)
        if self.missing:
            lines.append(
                f"gone: {counted(len(self.missing), 'file')} no longer there ({some(self.missing)}); "
                "--prune removes the chunks"
            )
        lines += [f"made: {text}" for text in self.made]
        if self.seconds:
            lines.append(self._times())
        if self.interrupted:
            lines.append("interrupted: what is counted above is stored; run the same command again to finish")
        return "\n".join(lines)

    def _times(self) -> str:
        total = self.seconds["total"]
        embedding = self.seconds.get("embedding", 0.0)
        parts = ", ".join(f"{name} {value:.1f} s" for name, value in self.seconds.items() if name != "total")
        rate = f", {self.chunks_embedded / embedding:.0f} texts/s" if embedding and self.chunks_embedded else ""
        return f"time: {total:.1f} s ({parts}){rate}"


def grouped(title: str, items: list[tuple[str, str]]) -> list[str]:
    """Return a line a reason: how many have it, and some of their names."""
    reasons = Counter(reason for _, reason in items)
    lines = []
    for reason, count in reasons.most_common():
        names = [name for name, why in items if why == reason]
        lines.append(f"{title}: {count} x {reason} ({some(names)})")
    return lines


def some(names: list[str], limit: int = 3) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
