"""Files and folders are written whole or not at all: a failure in the middle leaves what was there, and nothing else."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from instructor_search import files
from instructor_search.files import (
    abandon_folder,
    atomic_file,
    atomic_folder,
    is_alive,
    remove_all_parts,
    remove_folder,
    remove_gone,
    remove_parts,
    write_at_once,
)
from tests.conftest import ROOT


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def flushed(monkeypatch):
    """Names of what was written to the disk, in order, and of what had its place by then."""
    calls, fsync = [], os.fsync

    def note(handle):
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        calls.append((path.name, (path.parent / "out").exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    return calls


@pytest.mark.parametrize("before", [None, "old"])
def test_a_file_has_its_place_when_the_block_ends(tmp_path, before):
    path = tmp_path / "out"
    if before:
        path.write_text(before)
    with atomic_file(path) as part:
        part.write_text("new")
        assert part.parent == tmp_path and path.exists() == bool(before)
    assert path.read_text() == "new" and names(tmp_path) == ["out"]


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_in_the_middle_of_a_file_leaves_what_was(tmp_path, before, error):
    path = tmp_path / "out"
    if before:
        path.write_text(before)
    with pytest.raises(error), atomic_file(path) as part:
        part.write_text("half")
        raise error
    assert names(tmp_path) == (["out"] if before else []) and (not before or path.read_text() == before)


@pytest.mark.parametrize("step", [(os, "fsync"), (Path, "replace")], ids=["flush", "rename"])
def test_a_full_disk_at_the_end_of_a_file_leaves_what_was(tmp_path, monkeypatch, step):
    write_at_once(tmp_path / "out", "old")
    monkeypatch.setattr(*step, full)
    with pytest.raises(OSError, match="No space left"):
        write_at_once(tmp_path / "out", "new")
    assert names(tmp_path) == ["out"] and (tmp_path / "out").read_text() == "old"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, flushed):
    write_at_once(tmp_path / "out", "text")
    assert [is_there for _, is_there in flushed] == [False]


def test_two_threads_write_one_file_side_by_side(tmp_path):
    path, meet, failed = tmp_path / "out", threading.Barrier(2), []

    def write(text):
        try:
            with atomic_file(path) as part:
                part.write_text(text)
                meet.wait(10)  # both have written
                assert part.read_text() == text
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=[text]) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and path.read_text() in ("one", "two") and names(tmp_path) == ["out"]


def folder_of(path, text):
    path.mkdir()
    (path / "file").write_text(text)
    return path


def test_a_folder_has_its_place_when_the_block_ends(tmp_path, flushed):
    with atomic_folder(tmp_path / "above" / "out") as part:
        (part / "deep").mkdir()
        (part / "deep" / "file").write_text("text")
        assert not (tmp_path / "above" / "out").exists()
    assert names(tmp_path / "above") == ["out"] and (tmp_path / "above/out/deep/file").read_text() == "text"
    assert [name for name, _ in flushed] == ["deep", "file", flushed[2][0], "above"]
    assert flushed[2][0].endswith(".part") and not flushed[2][1]  # the folder itself, before it had its name


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_in_the_middle_of_a_folder_leaves_what_was(tmp_path, overwrite, error):
    path = folder_of(tmp_path / "out", "old")
    with pytest.raises(error), atomic_folder(path, overwrite=overwrite) as part:
        (part / "file").write_text("half")
        raise error
    assert names(tmp_path) == ["out"] and (path / "file").read_text() == "old"


def test_a_folder_gives_way_only_when_asked(tmp_path):
    path = folder_of(tmp_path / "out", "old")
    with pytest.raises(OSError, match="not empty"), atomic_folder(path) as part:
        (part / "other").write_text("new")
    assert names(tmp_path) == ["out"] and names(path) == ["file"]
    with atomic_folder(path, overwrite=True) as part:
        (part / "other").write_text("new")
    assert names(tmp_path) == ["out"] and names(path) == ["other"]


@pytest.mark.parametrize("failing", ["flush", "rename"])
def test_a_folder_that_gave_way_comes_back(tmp_path, monkeypatch, failing):
    path, rename = folder_of(tmp_path / "out", "old"), Path.rename
    if failing == "flush":
        monkeypatch.setattr(files, "flush_folder", full)
    else:
        monkeypatch.setattr(Path, "rename", lambda own, to: full() if own.suffix == ".part" else rename(own, to))
    with pytest.raises(OSError, match="No space left"), atomic_folder(path, overwrite=True) as part:
        (part / "file").write_text("new")
    assert names(tmp_path) == ["out"] and (path / "file").read_text() == "old"


def test_a_handler_of_a_signal_can_undo_what_is_not_finished(tmp_path):
    path = folder_of(tmp_path / "out", "old")
    block = atomic_folder(path, overwrite=True)
    part = block.__enter__()
    path.rename(part.with_suffix(".old"))  # as far as it can come
    abandon_folder(path)
    assert names(tmp_path) == ["out"] and (path / "file").read_text() == "old"


KILLED = """
import os, sys
from pathlib import Path
from instructor_search.files import atomic_folder
with atomic_folder(Path(sys.argv[1])) as part:
    (part / "file").write_text("half")
    os._exit(9)
"""


def test_parts_of_killed_processes_are_removed_and_no_others(tmp_path):
    for name in ("a", "a.1"):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], cwd=ROOT, check=False)
    (tmp_path / f".a.{os.getpid()}.1.part").mkdir()
    (tmp_path / ".a.kept.part").mkdir()
    assert len(names(tmp_path)) == 4
    remove_parts(tmp_path / "a")
    left = names(tmp_path)
    assert len(left) == 3 and sum(name.startswith(".a.1.") for name in left) == 1
    remove_parts(tmp_path / "nowhere" / "a")


def dead_process():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_what_gave_way_to_a_killed_process_comes_back_where_nothing_has_its_place(tmp_path):
    pid = dead_process()
    folder_of(tmp_path / f".a.{pid}.1.old", "of a")
    folder_of(tmp_path / f".b.{pid}.1.old", "before b")
    folder_of(tmp_path / "b", "of b")
    folder_of(tmp_path / f".c.{os.getpid()}.1.old", "of a process that runs")
    remove_all_parts(tmp_path)
    assert names(tmp_path) == [f".c.{os.getpid()}.1.old", "a", "b"]
    assert [(tmp_path / name / "file").read_text() for name in "ab"] == ["of a", "of b"]


def test_all_parts_of_killed_processes_go_files_too(tmp_path):
    pid = dead_process()
    for name in (f".x.{pid}.1.part", f".y.z.{os.getpid()}.1.part", ".part", "whole"):
        (tmp_path / name).write_text("")
    (tmp_path / f".y.{pid}.1.part").mkdir()
    remove_all_parts(tmp_path)
    assert names(tmp_path) == [".part", f".y.z.{os.getpid()}.1.part", "whole"]
    remove_all_parts(tmp_path / "nowhere")


REMOVED = """
import os, shutil, sys
from pathlib import Path
from instructor_search import files
shutil.rmtree = lambda *_, **__: os._exit(9)
files.remove_folder(Path(sys.argv[1]))
"""


def test_a_deletion_that_was_killed_is_finished_by_the_next(tmp_path):
    for name in ("a", "b"):
        folder_of(tmp_path / name, "old")
    subprocess.run([sys.executable, "-c", REMOVED, str(tmp_path / "a")], cwd=ROOT, check=False)
    assert len(names(tmp_path)) == 2 and names(tmp_path)[0].endswith(".gone") and names(tmp_path)[1] == "b"
    remove_folder(tmp_path / "b")
    assert names(tmp_path) == []
    remove_gone(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        remove_folder(tmp_path / "b")


def test_no_signal_is_sent_on_windows(monkeypatch):
    assert is_alive(str(os.getpid())) and not is_alive(str(dead_process())) and not is_alive("no number")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("it would end the process"))
    assert is_alive(str(os.getpid())) and not is_alive("no number")
