"""No command opens a connection that nobody asked for: all of them, and all that they start."""

import sys
import time
from pathlib import Path

import pytest

from tests.guard.application import application, asked, opened
from tests.guard.guarded import why_no_strace
from tests.guard.tour import ASTRONOMY, EVALUATION, LIBRARY, PRODUCT, ROOMS, TRAINING, filled

pytestmark = [pytest.mark.slow, pytest.mark.trust]

LAUNCH = [str(Path(sys.executable).with_name("accelerate")), "launch"]
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


def test_native_code_is_watched_here():
    if why_no_strace():
        pytest.skip(f"what native code opens is not seen: {why_no_strace()}")


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library(name, guard, places, endpoint):
    words = filled(LIBRARY[name], {**places, "output": guard.folder, "endpoint": endpoint.url})
    guard.module(*words)
    if name == "ingest all kinds of files":
        assert "ingest.readers.sandbox" in {word for command in guard.started() for word in command}


@pytest.mark.parametrize("name", EVALUATION)
def test_evaluation(name, guard, places):
    guard.module(*filled(EVALUATION[name], {**places, "output": guard.folder}))


@pytest.mark.parametrize("name", TRAINING)
def test_training(name, guard, places):
    words = filled(TRAINING[name], {**places, "output": guard.folder})
    if words[0] != "train":
        guard.module(*words)
        return
    done = guard.run(*LAUNCH, "-m", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    started = [" ".join(command) for command in guard.started()]
    assert any("launch" in command for command in started) and any("-m train" in command for command in started)
    assert ("--eval_tasks" in words) == any("-m eval" in command for command in started)


def test_training_in_two_processes(guard, places):
    words = filled(TRAINING["train adapters"], {**places, "output": guard.folder})
    done = guard.run(*LAUNCH, "--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
                     "--dynamo_backend", "no", "-m", *words, MASTER_ADDR="127.0.0.1")  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_application_with_jobs_and_tools(guard, places):
    """A first start makes the demonstration's collection in a child; then functions are asked as a page does."""
    made = guard.folder / "store"
    with application(guard, "--store", made, "--mcp", "--llm", places["llm"], "--runs", places["runs"]) as address:
        assert "mcp" in opened(f"{address}gradio_api/mcp/schema") or opened(f"{address}config")
        until = time.monotonic() + 120
        while time.monotonic() < until and not (made / "corpus" / "manifest.json").exists():
            time.sleep(0.5)
        (hits,) = asked(address, "search", "mercury", ASTRONOMY, "corpus", "", "hybrid", "", 2)
        assert hits[0]["title"].startswith("Mercury")
        asked(address, "compare", "mercury", ASTRONOMY, PRODUCT, "corpus", "", "", 2)
    commands = [" ".join(command) for command in guard.started()]
    assert any("ui.child ingest" in c for c in commands) and any("ingest.readers.sandbox" in c for c in commands)


def test_every_module_can_be_imported(guard):
    done = guard.run(sys.executable, "-c", EVERY_MODULE)
    assert done.returncode == 0, done.stderr[-3000:]
