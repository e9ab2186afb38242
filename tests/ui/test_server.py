"""What the server's log says when the application is ended while it starts."""

import asyncio
import contextlib
import logging
import signal
import subprocess
import sys

import pytest

pytest.importorskip("gradio", reason="Gradio is not installed (extra ui)")

from starlette.applications import Starlette  # noqa: E402

from tests.conftest import ROOT  # noqa: E402
from ui.server import _is_no_ending, _server  # noqa: E402


def test_a_start_that_is_cut_short_is_no_error():
    class Starting:
        async def __aenter__(self):
            await asyncio.sleep(60)

        async def __aexit__(self, *_):
            pass

    before, lines = signal.getsignal(signal.SIGTERM), []
    try:
        server = _server(Starlette(lifespan=lambda _: Starting()))
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())
        logging.getLogger("uvicorn.error").addHandler(handler)
        with contextlib.suppress(TimeoutError):
            asyncio.run(asyncio.wait_for(server.serve(), 0.3))  # then what still runs is cancelled, as at Ctrl-C
    finally:
        logging.getLogger("uvicorn.error").removeHandler(handler)
        signal.signal(signal.SIGTERM, before)
    assert not [line for line in lines if "CancelledError" in line]


@pytest.mark.parametrize(
    ("message", "shown"),
    [("Traceback ...\nRuntimeError: no room\n", True), ("Traceback ...\nasyncio.exceptions.CancelledError\n\n", False)],
)
def test_other_errors_of_a_start_are_shown(message, shown):
    assert _is_no_ending(logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, message, None, None)) == shown


CUT_SHORT = """
import signal, sys
import uvicorn
from ui.config import AppConfig
from ui.server import serve
loop_factory = uvicorn.Config.get_loop_factory
def interrupted(config):
    signal.raise_signal(signal.SIGINT)
    return loop_factory(config)
uvicorn.Config.get_loop_factory = interrupted
serve(AppConfig(port=0, read_only=True, store=sys.argv[1]), print)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_ctrl_c_between_the_address_and_the_loop(tmp_path):
    command = [sys.executable, "-c", CUT_SHORT, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0 and "Ctrl-C ends it" in done.stdout
    assert "never awaited" not in done.stderr and "Traceback" not in done.stderr
