"""``python -m ui.app`` under the guard: started, asked by HTTP, and ended by Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from threading import Timer
from typing import Any

from tests.guard.guarded import Guard

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")


@contextlib.contextmanager
def application(guard: Guard, *arguments: object) -> Iterator[str]:
    """Yield the address of an application; it is ended by Ctrl-C, and must end well."""
    command = guard.watched([sys.executable, "-m", "ui.app", "--port", "0", *map(str, arguments)])
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=guard.folder, env=guard.environment()
    )
    watchdog = Timer(240, process.kill)
    watchdog.start()
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if ADDRESS.search(line):
                break
        found = ADDRESS.search("".join(lines))
        assert found, "".join(lines)
        yield found[0]
        guard.interrupt(process)
        said = process.stdout.read()
        assert process.wait(60) == 0 and "Traceback" not in said, said
    finally:
        watchdog.cancel()
        if process.poll() is None:
            guard.interrupt(process)
            process.kill()
            process.wait()


def opened(address: str) -> str:
    """Return a page, with what it loads from here."""
    with urllib.request.urlopen(address, timeout=120) as answer:
        return answer.read().decode()


def asked(address: str, name: str, *values: Any) -> Any:
    """Return what a function of the application answers to a POST, as its page and programs ask it."""
    body = json.dumps({"data": values}).encode()
    request = urllib.request.Request(f"{address}gradio_api/call/{name}", body, {"Content-Type": "application/json"})
    event = json.loads(urllib.request.urlopen(request, timeout=120).read())["event_id"]
    stream = opened(f"{address}gradio_api/call/{name}/{event}")
    assert "event: complete" in stream, stream[:2000]
    return json.loads(stream.split("event: complete\ndata: ", 1)[1].splitlines()[0])
