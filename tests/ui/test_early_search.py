"""Who searches or compares before the page knows its collection, or before there is one."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.ui.browsing import at, search, wait_for_address, wait_for_hits
from tests.ui.conftest import running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.trust,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def open_slowly(page, address):
    """Open a page whose first answer is held back; return what lets it go."""
    held, is_open = [], False
    page.route("**/gradio_api/queue/join*", lambda route: route.continue_() if is_open else held.append(route))
    page.goto(address)
    page.wait_for_selector("#query, #compare-query")

    def release():
        nonlocal is_open
        is_open = True
        for route in held:
            route.continue_()
        page.wait_for_function("document.querySelector('#collection input').value")

    return release


@pytest.mark.parametrize(("chosen", "found"), [({}, "corpus/"), ({"c": "weather"}, "notes/")])
def test_who_searches_before_the_page_knows_the_collection(two, open_page, chosen, found):
    page = open_page(f"{two.address}theme.css", ready="html")
    release = open_slowly(page, at(two, **chosen))
    assert page.input_value("#collection input") == ""
    search(page, "mercury")
    wait_for_hits(page, found)
    assert "without an instruction" not in page.inner_text("#results .found")
    release()
    wait_for_hits(page, found)
    wait_for_address(page, q="mercury", c=chosen.get("c", "corpus"))
    assert page.input_value("#query textarea") == "mercury"


def test_who_compares_before_the_page_knows_the_collection(two, open_page):
    page = open_page(f"{two.address}theme.css", ready="html")
    release = open_slowly(page, two.address)
    page.click("[data-tab-id=compare]")
    page.fill("#compare-query textarea", "mercury")
    page.press("#compare-query textarea", "Enter")
    wait_for_hits(page, "corpus/", "#comparison")
    assert page.input_value("#compare-query textarea") == "mercury"
    release()


@contextlib.contextmanager
def halted_ingest(store, wanted="."):
    """Stop the process that makes the first collection of a store once ``wanted`` is there; give what lets it go on."""
    found, ended = [], threading.Event()

    def look():
        while not found and not ended.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    is_ours = b"ui.child" in path.read_bytes() and (path.parent / "cwd").resolve() == store.parent
                    if is_ours and (store.parent / wanted).exists():
                        found.append(int(path.parent.name))
                        os.kill(found[0], signal.SIGSTOP)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield lambda: os.kill(found[0], signal.SIGCONT)
    finally:
        ended.set()
        looking.join()
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
@pytest.mark.parametrize("wanted", [".", "store/corpus/manifest.json"])  # before it is there, and while it is empty
def test_who_searches_before_there_is_a_collection_is_answered_when_it_is_there(open_page, tmp_path, wanted):
    store = tmp_path / "store"
    with halted_ingest(store, wanted) as go_on, running("--store", str(store), cwd=tmp_path) as application:
        page = open_page(application.address, ready="#starting .panel")
        page.fill("#query textarea", "mercury")
        page.press("#query textarea", "Enter")
        page.wait_for_selector("#results .panel.note")
        go_on()
        wait_for_hits(page, "corpus/", timeout=90_000)
        assert "without an instruction" not in page.inner_text("#results .found")
        wait_for_address(page, c="corpus", q="mercury")
