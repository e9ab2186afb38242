"""What a run tells while it goes on: to a person as a bar, to a program as JSON lines. Both on stderr."""

from __future__ import annotations

import json
import sys
import time
from threading import Lock
from typing import Any

_LEAST_SECONDS = 0.1  # between two lines of numbers


class Progress:
    """What a run tells while it goes on; the command line draws a bar from it. This one says nothing."""

    def start(self, num_files: int, num_bytes: int) -> None:
        """The number of files to read and their size."""

    def read(self, num_bytes: int, num_documents: int, num_chunks: int) -> None:
        """A file was read and cut."""

    def embedded(self, num_texts: int) -> None:
        """Texts were embedded; called from another thread than the rest."""

    def say(self, line: str) -> None:
        """A line for the person who waits."""

    def close(self) -> None:
        """The run is over."""


class Counts(Progress):
    """Counts of a run; ``draw`` shows them, one thread at a time."""

    bytes_read = documents = chunks = done = files = 0

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self.drawing = Lock()
        self.started = time.perf_counter()

    def read(self, num_bytes: int, num_documents: int, num_chunks: int) -> None:
        """Count a file that was read and cut."""
        self.files += 1
        self.bytes_read += num_bytes
        self.documents += num_documents
        self.chunks += num_chunks
        self._draw()

    def embedded(self, num_texts: int) -> None:
        """Count texts that were embedded."""
        self.done += num_texts
        self._draw()

    def _draw(self) -> None:
        with self.drawing:
            self.draw()

    def draw(self) -> None:
        """Show the counts."""


class Bar(Counts):
    """A bar over the bytes whose texts are embedded, with counts of documents and chunks."""

    def __init__(self, *, quiet: bool) -> None:
        """``quiet``: show nothing."""
        super().__init__()
        self.quiet = quiet
        self.bar: Any = None

    def start(self, num_files: int, num_bytes: int) -> None:
        """Open the bar, if there is anything to read."""
        from tqdm import tqdm

        self.started = time.perf_counter()
        if num_files and not self.quiet:
            form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
            self.bar = tqdm(total=num_bytes, desc="ingest", file=sys.stderr, bar_format=form, leave=False)

    def draw(self) -> None:
        """Move the bar on."""
        if self.bar is None:
            return
        share = min(self.done / self.chunks, 1.0) if self.chunks else 0.0
        rate = self.done / max(time.perf_counter() - self.started, 1e-9)
        self.bar.set_postfix_str(
            f"{self.documents:,} documents, {self.done:,}/{self.chunks:,} chunks, {rate:.0f} texts/s", refresh=False
        )
        self.bar.update(max(0, int(self.bytes_read * share) - self.bar.n))

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        from tqdm import tqdm

        if not self.quiet:
            tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class JsonLines(Counts):
    """One JSON object a line: {"event": "start" | "progress" | "say" | "end", ...}, for programs that show a run."""

    def __init__(self) -> None:
        """Nothing is told yet."""
        super().__init__()
        self._told = 0.0

    def start(self, num_files: int, num_bytes: int) -> None:
        """Tell how much there is to read."""
        self._write({"event": "start", "files": num_files, "bytes": num_bytes})

    def draw(self) -> None:
        """Tell the counts, ten times a second at most."""
        now = time.perf_counter()
        if now - self._told >= _LEAST_SECONDS:
            self._told = now
            self._write(self._counts("progress"))

    def say(self, line: str) -> None:
        """Pass a line on."""
        self._write({"event": "say", "line": line})

    def close(self) -> None:
        """Tell the last counts."""
        self._write(self._counts("end"))

    def _counts(self, event: str) -> dict[str, Any]:
        return {
            "event": event,
            "files": self.files,
            "bytes": self.bytes_read,
            "documents": self.documents,
            "chunks": self.chunks,
            "embedded": self.done,
        }

    def _write(self, values: dict[str, Any]) -> None:
        sys.stderr.write(json.dumps(values, ensure_ascii=True) + "\n")
        sys.stderr.flush()
