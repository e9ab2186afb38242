"""A session over the shipped corpus, the application in a process of its own, and a real browser."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import ROOT

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")
ASTRONOMY = "Represent the astronomy question for retrieving supporting documents: "
MYTHOLOGY = "Represent the Roman mythology question for retrieving supporting documents: "
NEWS, NEWS_QUERY = (
    "Represent the news article for retrieval: ",
    "Represent the news query for retrieving reports of the event: ",
)


@pytest.fixture(scope="session")
def own_store(corpus_store, tmp_path_factory) -> Path:
    """A copy of the corpus' collection that tests may change."""
    folder = tmp_path_factory.mktemp("ui") / "store"
    shutil.copytree(corpus_store, folder)
    return folder


@pytest.fixture(scope="session")
def session(own_store, tmp_path_factory):
    from ui.config import AppConfig
    from ui.session import Session

    made = Session(AppConfig(store=str(own_store), runs=tmp_path_factory.mktemp("runs")))
    yield made
    made.close()


class Application:
    """``python -m ui.app`` as a user starts it."""

    def __init__(self, *arguments: str, cwd: Path = ROOT) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ui.app", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=environment,
        )
        self.lines: list[str] = []
        self._ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        self._ready.wait(180)
        found = ADDRESS.search("".join(self.lines))
        if not found:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"it did not come up within 180 s: {''.join(self.lines)}")
        self.address = found[0]

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            if ADDRESS.search(line):
                self._ready.set()
        self._ready.set()

    def stop(self) -> int:
        """Press Ctrl-C and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextlib.contextmanager
def running(*arguments: str, cwd: Path = ROOT):
    application = Application(*arguments, cwd=cwd)
    try:
        yield application
    finally:
        if application.process.poll() is None:
            application.process.kill()
            application.process.wait()


@pytest.fixture(scope="session")
def application(own_store, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs_of_app")
    with running("--store", str(own_store), "--runs", str(runs), "--allow-folder", str(ROOT / "corpus")) as made:
        yield made


@pytest.fixture(scope="module")
def victim(corpus_store, tmp_path_factory):
    """An application with a store of its own, to attack; ``store``: that folder."""
    folder = tmp_path_factory.mktemp("attacked")
    shutil.copytree(corpus_store, folder / "store")
    with running("--store", str(folder / "store"), "--runs", str(folder / "runs")) as made:
        made.store = folder / "store"
        yield made


@pytest.fixture(scope="module")
def two(corpus_store, tmp_path_factory):
    """An application with two collections, ``corpus`` and ``weather``."""
    from ingest.cli import main

    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(corpus_store, folder / "store")
    (folder / "notes").mkdir()
    for name, text in (("rain", "Rain falls from clouds."), ("mercury", "The mercury rises in the heat.")):
        (folder / "notes" / f"{name}.md").write_text(f"# {name.capitalize()}\n\n{text}\n")
    assert (
        main(
            [
                str(folder / "notes"),
                "--collection",
                "weather",
                "--instruction",
                NEWS,
                "--store",
                str(folder / "store"),
                "--quiet",
                "--json",
            ]
        )
        == 0
    )
    with running("--store", str(folder / "store"), "--runs", str(folder / "runs"), "--collection", "corpus") as made:
        yield made


def chromium() -> str:
    """Return the system's chromium, or skip with the reason."""
    pytest.importorskip("playwright", reason="the browser tests need playwright (extra dev)")
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    pytest.skip("no chromium is installed; on Debian: apt-get install chromium")


@pytest.fixture(scope="module")  # while it is open its event loop runs, which other files' tests cannot share
def browser():
    path = chromium()
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
        try:
            opened = playwright.chromium.launch(executable_path=path, args=options)
        except Error as error:
            pytest.skip(f"chromium cannot run here: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


class Problems(list):
    """What a page did that it must not: scripts that failed, requests that left this machine."""


@pytest.fixture
def open_page(browser):
    """Return what opens a page in a window of its own; at the end nothing may have gone wrong in any of them."""
    contexts, problems = [], Problems()

    def open_at(address: str, *, width: int = 1280, height: int = 900, dark: bool = False, ready: str = "#query"):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(240_000)  # a slow day takes three times as long
        page.on("pageerror", lambda error: problems.append(f"script: {error}"))
        page.on("request", lambda r: None if is_local(r.url) else problems.append(f"request to {r.url}"))
        page.goto(address)
        page.wait_for_selector(ready)
        if ready == "#query":
            page.wait_for_function("document.querySelector('#collection input')?.value")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert not problems


def is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


def make_prompt(page, text, task):
    """Fill in the tab Prompts and press its button; the pool of the demonstration is made if there is none."""
    if page.locator("#pool input").input_value() == "":
        page.click("#pool-form button >> nth=0")
        page.click("#demo-pool")
        page.wait_for_function("document.querySelector('#pool input').value === 'bug-examples'")
    page.fill("#prompt-input textarea", text)
    page.fill("#prompt-task textarea", task)
    page.click("#prompt-go")
    page.wait_for_selector("pre.prompt")
