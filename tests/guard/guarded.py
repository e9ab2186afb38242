"""Runs commands as a new user would, and says which connections they tried to open beyond this machine.

Two layers. Python's audit events see and refuse what Python's own sockets do (on_path/sitecustomize.py). strace sees
what native code does too, and all children; it needs Debian's package ``strace`` and a kernel that lets it trace.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT

ON_PATH = Path(__file__).parent / "on_path"
STRACE = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg"]
KEPT = (
    "PATH",
    "LANG",
    "LD_LIBRARY_PATH",
    "TMPDIR",
    "CUDA_VISIBLE_DEVICES",
    "OMP_WAIT_POLICY",
    "INSTRUCTOR_SEARCH_CACHE",
)
_ADDRESS = re.compile(
    r"sin_port=htons\((?P<port>\d+)\), sin_addr=inet_addr\(\"(?P<four>[^\"]+)\"\)"
    r"|sin6_port=htons\((?P<port6>\d+)\).*?inet_pton\(AF_INET6, \"(?P<six>[^\"]+)\""
)


class Attempt(NamedTuple):
    """A connection beyond this machine; ``layer``: "python" or "strace"."""

    layer: str
    address: str
    detail: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.address}\n    {self.detail}"


@functools.cache
def why_no_strace() -> str | None:
    """Return why native code cannot be watched here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed; on Debian: apt-get install strace"
    done = subprocess.run([*STRACE, "-o", os.devnull, "true"], capture_output=True, text=True)
    return f"strace cannot trace here: {done.stderr.strip()[:200]}" if done.returncode else None


class Guard:
    """A folder with an empty home, and what was seen of the processes that were started in it."""

    def __init__(self, folder: Path, *, native: bool | None = None) -> None:
        """``native``: whether to watch native code; None: where it can be."""
        self.folder = folder
        self.native = why_no_strace() is None if native is None else native
        for name in ("home", "tmp", "native"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a new user: no switches, no caches, no proxy, no consent given or refused."""
        own = {
            "HOME": str(self.folder / "home"),
            "CONNECTIONS_ATTEMPTED": str(self.folder / "attempted.jsonl"),
            "CONNECTIONS_STARTED": str(self.folder / "started.jsonl"),
            "PYTHONPATH": os.pathsep.join([str(ON_PATH), str(ROOT)]),
        }
        return {name: os.environ[name] for name in KEPT if name in os.environ} | own | more

    def watched(self, command: Sequence[str]) -> list[str]:
        """Return the command with strace before it, where native code is watched."""
        number = len(list((self.folder / "native").iterdir()))
        trace = self.folder / "native" / f"{number}.txt"
        trace.touch()
        return [*STRACE, "-o", str(trace), *map(str, command)] if self.native else list(map(str, command))

    def run(self, *command: object, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.watched([str(c) for c in command]),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            cwd=self.folder,
            env=self.environment(**more),
            timeout=600,
        )

    def module(self, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m WORDS``; it must succeed."""
        done = self.run(sys.executable, "-m", *words, **more)
        assert done.returncode == 0, (
            f"{words}: exit code {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
        )
        return done

    def interrupt(self, process: subprocess.Popen[str]) -> None:
        """Press Ctrl-C in what was started: strace itself does not take it."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split() if self.native else []
        os.kill(int(children[0]) if children else process.pid, signal.SIGINT)

    def started(self) -> list[list[str]]:
        """Return the command lines of all Python processes that the guard was in."""
        return [line["command"] for line in _lines(self.folder / "started.jsonl")]

    def attempts(self) -> list[Attempt]:
        """Return all connections beyond this machine that were tried so far."""
        found = [
            Attempt(
                "python",
                line["address"],
                f"{line['event']} of {' '.join(line['command'])}; {' > '.join(line['stack'])}",
            )
            for line in _lines(self.folder / "attempted.jsonl")
        ]
        for trace in sorted((self.folder / "native").iterdir()):
            found += native_attempts(trace.read_text(encoding="utf-8", errors="replace"))
        return found

    def check(self) -> None:
        """Fail where anything was tried, or where the guard was in no process."""
        assert self.started()
        found = self.attempts()
        assert not found, "\n".join(map(str, found))


def native_attempts(trace: str) -> list[Attempt]:
    """Return what a trace says was sent beyond this machine, and to a name server wherever it is."""
    found = []
    for line in trace.splitlines():
        for match in _ADDRESS.finditer(line):
            address, port = match["four"] or match["six"], int(match["port"] or match["port6"])
            if port == 53 or not _is_here(address):
                found.append(Attempt("strace", f"{address} port {port}", line[:300]))
    return found


def _is_here(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_unspecified


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
