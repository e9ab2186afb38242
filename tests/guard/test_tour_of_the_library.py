"""No command opens a connection that nobody asked for: ingest, the library's commands, and the application."""

import sys
import time
from importlib.util import find_spec

import pytest

from tests.guard.application import application, asked, opened
from tests.guard.guarded import Guard, why_no_strace
from tests.guard.tour import ASTRONOMY, LIBRARY, PRODUCT, ROOMS

pytestmark = [pytest.mark.slow, pytest.mark.trust]

EVERY_MODULE = f"""
import importlib, pkgutil
from instructor_search.errors import MissingExtraError
for room in {ROOMS}:
    for found in pkgutil.walk_packages(importlib.import_module(room).__path__, room + "."):
        if not found.name.endswith("__main__"):
            try:
                importlib.import_module(found.name)
            except MissingExtraError:
                pass
"""
PROGRAM = """
from instructor_search import INSTRUCTOR
model = INSTRUCTOR("models/tiny")
model.encode([["Represent the Science title: ", "3D ActionSLAM"]])
model.save("models/saved")
INSTRUCTOR("models/saved", device="cpu").encode(["x"])
"""


def test_native_code_is_watched_here(tmp_path):
    if why_no_strace():
        pytest.skip(f"what native code opens is not seen: {why_no_strace()}")
    assert Guard(tmp_path).watched(["true"])[0] == "strace"


def test_the_guard_sees_a_package_that_does_not_ask(tmp_path):
    """OpenVINO as it is tells its makers that it was imported; ``openvino_runtime._openvino`` keeps it from that."""
    if find_spec("openvino_telemetry") is None:
        pytest.skip("this OpenVINO came without its telemetry")
    guard = Guard(tmp_path)
    guard.run(sys.executable, "-c", "import openvino")
    assert any("google-analytics" in attempt.address for attempt in guard.attempts())


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library(name, guard, filled):
    guard.module(*filled(LIBRARY[name]))
    if name == "ingest all kinds of files":
        assert "ingest.readers.sandbox" in {word for command in guard.started() for word in command}


def test_the_application_with_jobs_and_tools(guard, llm, output):
    """A first start makes the demonstration's collection in a child; then functions are asked as a page does."""
    with application(guard, "--store", output / "store", "--mcp", "--llm", llm) as address:
        assert "inputSchema" in opened(f"{address}gradio_api/mcp/schema")
        _wait_for_first_ingest(address)
        asked(address, "compare", "mercury", ASTRONOMY, PRODUCT, "corpus", "", "", 2)
    commands = [" ".join(command) for command in guard.started()]
    assert any("ui.child ingest" in c for c in commands) and any("ingest.readers.sandbox" in c for c in commands)


def _wait_for_first_ingest(address):
    """Search until the planet is found; the collection is there before its documents are."""
    for _ in range(240):
        if any(found["name"] == "corpus" for found in asked(address, "collections")[0]):
            (hits,) = asked(address, "search", "mercury", ASTRONOMY, "corpus", "", "dense", "", 2)
            if hits and hits[0]["title"] == "Mercury (planet)":
                return
        time.sleep(0.5)
    raise AssertionError("the first ingest did not bring the planet")


def test_a_program_with_a_local_model(guard, tiny_model):
    done = guard.run(sys.executable, "-c", PROGRAM)
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_module_can_be_imported(guard):
    done = guard.run(sys.executable, "-c", EVERY_MODULE)
    assert done.returncode == 0, done.stderr[-3000:]
