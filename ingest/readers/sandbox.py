"""Parses files in a child process with memory and time limits, so that a hostile or damaged file costs one error line.

The child reads requests (JSON lines) from its input and answers with JSON lines; nothing it sends is ever executed.
Run by itself (``python -m ingest.readers.sandbox``) this module is the child.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ingest.readers.formats import ReadOptions
from ingest.readers.parsing import read_here
from instructor_search.errors import InstructorSearchError, ReaderError
from instructor_search.records import Block, Document

MEMORY_LIMIT = 2 << 30  # bytes of address space
SILENCE_LIMIT_SECONDS = 60.0  # between two lines of the answer
CPU_LIMIT_SECONDS = 120  # for one file


class Sandbox:
    """The parent's side: one child, started when first needed, restarted after it died."""

    def __init__(self, memory_limit: int = MEMORY_LIMIT, silence_limit_seconds: float = SILENCE_LIMIT_SECONDS) -> None:
        """Set the limits; no process is started yet."""
        self.memory_limit = memory_limit
        self.silence_limit_seconds = silence_limit_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._buffer = bytearray()

    def read(self, path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
        """Yield the documents of a file; their blocks are lists.

        Raises:
            ReaderError: the file cannot be read, or its parser died, took too long or too much memory.
        """
        child = self._start()
        request = {"path": str(path.resolve()), "source": source, "text_fields": options.text_fields}
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            self.close()
            raise ReaderError("the parser process ended before it was asked") from None
        finished = False
        try:
            while "end" not in (answer := self._answer()):
                if "error" in answer:
                    finished = True
                    raise ReaderError(answer["error"])
                answer["blocks"] = [Block(text, tuple(heading), page) for text, heading, page in answer["blocks"]]
                yield Document(**answer)
            finished = True
        finally:
            if not finished:
                self.close()  # the rest of the answer must not be taken for the next one's

    def _answer(self) -> dict[str, Any]:
        assert self._child is not None and self._child.stdout is not None
        handle = self._child.stdout.fileno()
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if not select.select([handle], [], [], self.silence_limit_seconds)[0]:
                self.close()
                raise ReaderError(f"its parser took longer than {self.silence_limit_seconds:.0f} s: stopped")
            part = os.read(handle, 1 << 20)
            if not part:
                self.close()
                raise ReaderError(f"its parser died (damaged file, or more than {self.memory_limit >> 20} MiB needed)")
            self._buffer += part
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return json.loads(line)

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            root = str(Path(__file__).resolve().parents[2])
            path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
            self._buffer = bytearray()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "ingest.readers.sandbox", str(self.memory_limit)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C reaches the parent only, which then closes the child
            )
        return self._child

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    pipe.close()
            self._child = None


@cache
def shared_sandbox() -> Sandbox:
    """Return the sandbox of this process."""
    sandbox = Sandbox()
    atexit.register(sandbox.close)
    return sandbox


def _limit(memory: int) -> None:
    try:
        import resource
    except ImportError:  # not on this system: the parent's time limit still holds
        return
    _set_soft_limit(resource.RLIMIT_AS, memory)
    _set_soft_limit(resource.RLIMIT_CORE, 0)


def _set_soft_limit(kind: int, wanted: int) -> None:
    """Set a limit, within what the system allows this process anyway."""
    import resource

    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _limit_cpu() -> None:
    """Allow CPU_LIMIT_SECONDS more, for one file."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime) + CPU_LIMIT_SECONDS
    _set_soft_limit(resource.RLIMIT_CPU, limit)


def _serve(memory: int) -> None:
    """Answer requests until the parent closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a parser prints must not reach the answers
    _limit(memory)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_cpu()
        try:
            options = ReadOptions(tuple(request["text_fields"]))
            for document in read_here(Path(request["path"]), request["source"], options):
                fields = {**document.__dict__, "blocks": list(document.blocks), "metadata": dict(document.metadata)}
                answers.write(json.dumps(fields).encode() + b"\n")
            answers.write(b'{"end": true}\n')
        except InstructorSearchError as error:
            answers.write(json.dumps({"error": str(error)}).encode() + b"\n")
        except MemoryError:
            answers.write(
                json.dumps({"error": f"needs more than {memory >> 20} MiB of memory: refused"}).encode() + b"\n"
            )
        except Exception as error:  # parsers of damaged files raise anything; the parent reports it for this file
            text = f"{type(error).__name__}: {str(error)[:200]}"
            answers.write(json.dumps({"error": f"its parser failed ({text})"}).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
