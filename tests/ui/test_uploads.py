"""Files that are sent, kept, replaced, and what is left of tries that came to nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from instructor_search.errors import CollectionNotFoundError
from tests.conftest import ROOT
from tests.ui.sending import send
from tests.ui.waiting import wait_for
from ui import collections
from ui.asking import AppError
from ui.config import AppConfig, Limits
from ui.job import State
from ui.jobs import JobError
from ui.render import jobs as jobs_html
from ui.session import Session
from ui.uploads import Kept, UploadError, Uploads, relative_name


@pytest.fixture
def session(tmp_path):
    made = Session(AppConfig(store=str(tmp_path / "store")))
    yield made
    made.close()


def kept_files(session, name):
    folder = session.uploads.kept / name
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_equal_names_from_several_folders_are_all_kept(session):
    batch = send(session, {f"{folder}/README.md": folder.encode() for folder in ("a", "b", "a/c")})
    batch = send(session, {"README.md": b"one"}, batch)
    batch = send(session, {"README.md": b"two"}, batch)
    kept = session.uploads.keep(batch, "c")
    assert kept_files(session, "c") == {
        "a/README.md": b"a",
        "b/README.md": b"b",
        "a/c/README.md": b"a/c",
        "README.md": b"one",
        "README (2).md": b"two",
    }
    assert len(kept.added) == 5 and not list(session.uploads.staged.iterdir())


@pytest.mark.parametrize(
    ("replace", "files", "said"),
    [
        (False, {"a.md": b"old", "a (2).md": b"new", "b.md": b"same"}, "a.md is kept as a (2).md: that name was taken"),
        (True, {"a.md": b"new", "b.md": b"same"}, "replaced: a.md"),
    ],
)
def test_a_name_that_is_taken_is_said(session, replace, files, said):
    session.uploads.keep(send(session, {"a.md": b"old", "b.md": b"same"}), "c")
    kept = session.uploads.keep(send(session, {"a.md": b"new", "b.md": b"same"}), "c", replace=replace)
    assert kept_files(session, "c") == files
    assert kept.notes() == [said, "there already, unchanged: b.md"]


def test_a_file_and_a_folder_of_one_name(session):
    session.uploads.keep(send(session, {"a": b"file", "b/x": b"in a folder"}), "c")
    kept = session.uploads.keep(send(session, {"a/x": b"below", "b": b"file"}), "c", replace=True)
    assert kept_files(session, "c") == {"a": b"file", "b/x": b"in a folder", "x": b"below", "b (2)": b"file"}
    assert kept.notes() == ["a/x is kept as x: that name was taken", "b is kept as b (2): that name was taken"]


def test_uploads_are_counted_and_given_back(tmp_path):
    uploads = Uploads(tmp_path, file_bytes=1 << 20, batch_files=10, total_bytes=100_000)

    class Sender:
        pass

    sender = Sender()
    sender.uploads = uploads
    batch = send(sender, {"a": b"x" * 60_000})
    with pytest.raises(UploadError, match="all uploads together may have"):
        send(sender, {"b": b"x" * 60_000}, batch)
    assert [p.name for p in uploads.staged.rglob("*") if p.is_file()] == ["a"]
    uploads.remove(batch, "a")
    uploads.keep(send(sender, {"b": b"x" * 60_000}, batch), "c")
    uploads.drop("c")
    send(sender, {"d": b"x" * 60_000})


def test_what_a_killed_process_was_receiving_is_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = tmp_path / ".staged" / "01234567-0123-0123-0123-0123456789ab"
    folder.mkdir(parents=True)
    for process in (ended.pid, os.getpid()):
        (folder / f".abc.{process}.1.part").write_bytes(b"half")

    class Sender:
        uploads = Uploads(tmp_path, file_bytes=1 << 20, batch_files=10, total_bytes=100_000)

    send(Sender(), {"a": b"whole"})
    assert [p.name for p in folder.iterdir()] == [f".abc.{os.getpid()}.1.part"]


@pytest.mark.slow
@pytest.mark.trust
def test_fifty_eight_files_of_several_folders_are_found(session):
    files = {f"{n // 10}/note.txt": f"The parrot number {n} sings.".encode() for n in range(0, 580, 10)}
    job = collections.create(session, "many", "", send(session, files))
    wait_for(lambda: not job.is_running)
    assert job.state is State.DONE and job.report["added"] == 58 and job.title == "many: 58 files"
    job = collections.add_files(session, "many", send(session, {"0/note.txt": b"A parrot that is silent."}))
    wait_for(lambda: not job.is_running)
    assert len(session.library.collection("many").sources()) == 59
    assert "0/note.txt is kept as 0/note (2).txt" in jobs_html.jobs([job])
    job = collections.add_files(session, "many", send(session, {"1/note.txt": b"A parrot that sleeps."}), True)
    wait_for(lambda: not job.is_running)
    assert job.report["changed"] == 1 and "replaced: 1/note.txt" in jobs_html.jobs([job])


def test_what_a_failed_creation_left_is_removed(tmp_path):
    session = Session(AppConfig(store=str(tmp_path / "store"), model="/nowhere/at/all"))
    job = collections.create(session, "new", "", send(session, {"a.txt": b"Rain."}))
    wait_for(lambda: not job.is_running)
    assert job.state is State.FAILED and "new" not in session.collections()
    assert not (session.uploads.kept / "new").exists() and not list((tmp_path / "store" / ".jobs").iterdir())
    shown = jobs_html.jobs([job])
    assert "/nowhere" not in shown and str(tmp_path) not in shown


def test_no_try_is_kept_where_another_job_runs(session):
    job = collections.create(session, "first", "", send(session, {"a.txt": b"Rain."}))
    batch = send(session, {"a.txt": b"Snow."})
    with pytest.raises(JobError, match=r"another job is under way \(first: 1 file\)"):
        collections.create(session, "second", "", batch)
    assert session.uploads.staged_files(batch) == ["a.txt"] and not (session.uploads.kept / "second").exists()
    wait_for(lambda: not job.is_running)


def test_reading_only_starts_no_work(own_store, tmp_path):
    session = Session(AppConfig(store=str(own_store), read_only=True, runs=tmp_path))
    from ui import mapping, prompting, results

    with pytest.raises(JobError, match="--read-only"):
        collections.verify(session, "corpus")
    starts = (
        lambda: collections.add_view(session, "corpus", "v", "x"),
        lambda: collections.add_files(session, "corpus", "x"),
        lambda: collections.create(session, "x", "", "x"),
        lambda: collections.delete(session, "corpus", "corpus"),
        lambda: results.start(session, "quick", "default"),
        lambda: prompting.make_demo_pool(session),
    )
    for start in starts:
        with pytest.raises(AppError, match="--read-only"):
            start()
    before, mapping.AT_ONCE = mapping.AT_ONCE, -1
    try:
        with pytest.raises(JobError, match="--read-only"):
            mapping.lay_out(session, "corpus", ["default"], ["x"], "tsne")
    finally:
        mapping.AT_ONCE = before
    assert session.jobs.all() == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no such file: /home/ann/private/a b.txt", "no such file: …/a b.txt"),
        ("'/tmp/x/y.txt', and /srv/z/", "'…/y.txt', and …/z"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("[Errno 2] '/srv/my data/x/y z.txt'", "[Errno 2] '…/y z.txt'"),
        ("corpus/a/b.md is fine; 1/2/3", "corpus/a/b.md is fine; 1/2/3"),
        ("a /root", "a /root"),
    ],
)
def test_messages_name_no_folders_of_the_machine(said, shown):
    from ui.render.parts import without_paths

    assert without_paths(said) == shown


def test_a_wrong_name_lists_no_collections(own_store):
    from ui.handling import message_of

    session = Session(AppConfig(store=str(own_store)))
    with pytest.raises(CollectionNotFoundError, match="no collection 'nope'") as raised:
        collections.facts(session, "nope")
    assert "corpus" not in message_of(raised.value) and str(own_store) not in message_of(raised.value)


def test_a_value_error_of_a_library_is_not_shown():
    from ui.handling import message_of

    with pytest.raises(ValueError, match="Expecting") as raised:
        json.loads("{/private/text")
    assert "something unexpected" in message_of(raised.value)
    with pytest.raises(UploadError, match="too long") as refused:
        relative_name("x" * 300)
    assert message_of(refused.value).endswith("is too long, or lies too deep")


STARTED = """
import sys, time
from tests.ui.sending import send
from ui import collections
from ui.config import AppConfig
from ui.session import Session
session = Session(AppConfig(store=sys.argv[1]))
files = {f"{n}.txt": " ".join(f"word{n}x{i}" for i in range(150)).encode() for n in range(60)}
job = collections.create(session, "cut", "Represent the note: ", send(session, files))
while "cut" not in session.collections():
    time.sleep(0.02)
print("begun", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.trust
def test_a_job_is_offered_again_after_the_application_was_killed(tmp_path):
    store = tmp_path / "store"
    first = subprocess.Popen([sys.executable, "-c", STARTED, str(store)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "begun\n"
    session = Session(AppConfig(store=str(store)))
    assert session.jobs.restore() == []  # it is the other one's
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    time.sleep(1)
    (job,) = session.jobs.restore()
    assert job.state is State.CANCELLED and "Resume" in jobs_html.jobs([job])
    until = time.monotonic() + 60
    while time.monotonic() < until:  # the killed one's child may hold the collection for a moment
        job = session.jobs.again(job.id)
        wait_for(lambda job=job: not job.is_running)
        if job.state is State.DONE:
            break
    assert len(session.library.collection("cut").sources()) == 60
    assert not list((store / ".jobs").iterdir()) and Session(AppConfig(store=str(store))).jobs.restore() == []


def test_kept_notes_are_bounded_on_the_page():
    kept = Kept(ROOT, replaced=[f"{n}.txt" for n in range(500)])
    assert jobs_html.noted(kept.notes())[-1] == "and 480 more of these" and len(jobs_html.noted(kept.notes())) == 21


def test_limits_have_their_defaults():
    limits = Limits()
    assert limits.upload_bytes == 200 << 20 and AppConfig().upload_quota == 2048
