"""The tab Collections in a browser: forms, folders that are sent, work that is cut short."""

import os
import signal
import subprocess
import time
from urllib.parse import urlencode

import pytest

from tests.ui.conftest import running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.trust,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def open_tab(open_page, application):
    return open_page(f"{application.address}?{urlencode({'tab': 'collections'})}", ready="#create")


def choose(page, where, files):
    page.set_input_files(f"{where} input.{'folder' if isinstance(files, os.PathLike) else 'files'}", files)
    page.wait_for_selector(f"{where} [data-state=ready]")


def job_done(page, title):
    page.wait_for_selector(f"#jobs .job:has-text('{title}')[data-state=done]")
    return page.inner_text(f"#jobs .job:has-text('{title}') >> nth=0")


@pytest.fixture
def application(tmp_path):
    with running("--store", str(tmp_path / "store"), "--no-auth", cwd=tmp_path) as made:
        yield made


def make_folder(tmp_path):
    folder = tmp_path / "notes"
    for name in ("a/README.md", "b/README.md", "README.md", ".git/config", "a/.hidden"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"The parrot of {name} sings.")
    return folder


def test_a_folder_is_sent_with_its_names_and_nothing_is_overwritten(application, open_page, tmp_path):
    page, folder = open_tab(open_page, application), make_folder(tmp_path)
    page.wait_for_selector("#jobs [data-state=done]")  # the first start's own ingest has ended
    page.click("#create")
    page.wait_for_selector("text=the collection has no name yet")
    page.fill("#new-name textarea, #new-name input", "sent")
    choose(page, "#new-files", folder)
    assert "left out: notes/.git/config: hidden" in page.inner_text("#new-files")
    assert page.locator("#new-files .staged li").count() == 3
    page.click("#create")
    assert "3 files added" in job_done(page, "sent: 3 files")
    page.wait_for_function("document.querySelector('#new-files .uploader').dataset.state === 'empty'")
    assert page.input_value("#new-name textarea, #new-name input") == ""
    page.wait_for_function("document.querySelector('#collection input').value === 'sent'")
    kept = tmp_path / "store" / ".uploads" / "sent" / "notes"
    assert (kept / "b" / "README.md").read_text() == "The parrot of b/README.md sings."
    page.click("text=Add files to the chosen collection")
    (folder / "README.md").write_text("A parrot that is silent.")
    choose(page, "#more-files", folder)
    page.click("#add-files")
    said = job_done(page, "sent: 1 more file")
    assert "notes/README.md is kept as notes/README (2).md" in said and "unchanged: notes/a/README.md" in said
    (folder / "README.md").write_text("A parrot that sleeps.")
    choose(page, "#more-files", folder)
    page.check("#replace input")
    page.click("#add-files")
    page.wait_for_selector("#jobs .job:has-text('replaced: notes/README.md')[data-state=done]")
    assert (kept / "README.md").read_text() == "A parrot that sleeps."


def many_files(tmp_path):
    files = []
    for number in range(80):
        files.append(tmp_path / f"note{number}.txt")
        files[-1].write_text(" ".join(f"word{number}x{i}" for i in range(100)))
    return files


def children(pid):
    found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in found.splitlines() if "ui.child" in line]


def test_work_that_was_killed_is_offered_again(tmp_path, open_page):
    store = tmp_path / "store"
    with running("--store", str(store), cwd=tmp_path) as application:
        page = open_tab(open_page, application)
        page.wait_for_selector("#jobs [data-state=done]")  # the first start's own ingest
        page.fill("#new-name textarea, #new-name input", "cut")
        choose(page, "#new-files", many_files(tmp_path))
        page.click("#create")
        wait_for_collection(store)
        (child,) = children(application.process.pid)
        os.kill(child, signal.SIGKILL)
        page.wait_for_selector("#jobs [data-state=failed] [data-action=again]")
        page.click("#jobs [data-action=again]")
        page.wait_for_selector("#jobs [data-state=running]")
        application.process.kill()
        application.process.wait()
    until = time.monotonic() + 60
    while subprocess.run(["pgrep", "-f", str(store)], capture_output=True).stdout and time.monotonic() < until:
        time.sleep(0.2)
    with running("--store", str(store), cwd=tmp_path) as application:
        page = open_tab(open_page, application)
        page.click("#jobs [data-action=again]")
        job_done(page, "cut: 80 files")
        assert not list((store / ".jobs").iterdir())


def wait_for_collection(store):
    until = time.monotonic() + 60
    while not (store / "cut" / "manifest.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
