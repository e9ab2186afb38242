"""The application from its start to its end: a first start, without a network, with tools for programs, Ctrl-C."""

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.ui.browsing import search, titles
from tests.ui.conftest import ASTRONOMY, Application, running

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


ALONE = """
import fcntl, socket, struct, sys, urllib.request
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # loopback up: IFF_UP and IFF_RUNNING
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x41))
try:
    socket.create_connection(("192.0.2.1", 80), 2)
    sys.exit("there is a network")
except OSError:
    pass
sys.path.insert(0, {root!r})
from tests.ui.conftest import running
with running("--store", {store!r}) as application:
    page = urllib.request.urlopen(application.address).read().decode()
    assert "<gradio-app" in page
    print("whole")
"""


@pytest.mark.slow
@pytest.mark.trust
def test_a_first_start_and_a_second(open_page, tmp_path):
    """An empty folder: the page comes at once, the collection while it is looked at; Ctrl-C ends it in order."""
    with running("--store", str(tmp_path / "store"), cwd=tmp_path) as application:
        page = open_page(application.address)  # waits until a collection stands there
        assert page.input_value("#collection input") == "corpus"
        search(page, "mercury", ASTRONOMY)
        page.wait_for_selector("#results .card")
        assert titles(page)[0] == "Mercury (planet)"
        assert application.stop() == 0
        assert "Traceback" not in "".join(application.lines)
    with running("--store", str(tmp_path / "store"), "--read-only", cwd=tmp_path) as application:
        page = open_page(application.address)
        search(page, "mercury", ASTRONOMY)
        assert page.locator("#results [data-action=up]:disabled").count() == 10
        assert "first start" not in "".join(application.lines)


@pytest.mark.slow
@pytest.mark.trust
def test_without_any_network(tmp_path, own_store):
    """Started where there is no network but loopback, the page is whole: nothing of it comes from elsewhere."""
    if not shutil.which("unshare"):
        pytest.skip("unshare is not installed")
    script = tmp_path / "alone.py"
    script.write_text(ALONE.format(root=str(ROOT), store=str(own_store)))
    command = ["unshare", "-rn", sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    if done.stderr.startswith("unshare:"):
        pytest.skip(f"no network namespace can be made here: {done.stderr.strip()[:100]}")
    assert "whole" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.trust
def test_programs_and_language_models_can_ask(own_store, tmp_path):
    with running("--store", str(own_store), "--mcp") as application:
        from gradio_client import Client

        client = Client(application.address, verbose=False)
        hits = client.predict(query="mercury", instruction=ASTRONOMY, collection="corpus", top_k=2, api_name="/search")
        assert hits[0]["title"] == "Mercury (planet)"
        told = json.loads(urllib.request.urlopen(f"{application.address}gradio_api/mcp/schema").read())
        tools = {tool["name"]: tool for tool in told}
        for name in ("search", "compare", "prompt"):
            found = next(tool for key, tool in tools.items() if key.endswith(name))
            assert any("instruction" in key for key in found["inputSchema"]["properties"])


def test_ctrl_c_ends_it(own_store):
    application = Application("--store", str(own_store))
    started = time.monotonic()
    assert application.stop() == 0
    assert time.monotonic() - started < 30 and "Traceback" not in "".join(application.lines)
    assert Path(own_store).is_dir()
