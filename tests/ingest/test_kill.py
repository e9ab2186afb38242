"""A run that is killed loses nothing that it acknowledged, and the next run finishes the rest without duplicates."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest

from instructor_search import Collection
from instructor_search.store.verify import verify
from tests.conftest import ROOT

CHILD = """
import sys
import instructor_search.store.writer as writer
from ingest import IngestConfig, ingest
from pathlib import Path
from tests.toy import HashEncoder
writer.FIRST_BATCH = writer.LAST_BATCH = 16  # many commits, so that a kill falls between, inside and after them

def say(records):
    print(*(f"{r.source}={r.hash}" for r in records), flush=True)

print("ready", flush=True)
config = IngestConfig(paths=(Path(sys.argv[1]),), store=sys.argv[2], instruction="doc: ")
ingest(config, on_commit=say, encoder=HashEncoder(seconds=0.003))
print("done", flush=True)
"""


class Child:
    """An ingest in a process of its own; what it prints goes to a file, which survives its death."""

    def __init__(self, folder, store, log):
        self.log = log
        with log.open("w") as out:
            arguments = [sys.executable, "-c", CHILD, str(folder), str(store)]
            self.process = subprocess.Popen(arguments, stdout=out, stderr=subprocess.DEVNULL, cwd=ROOT)
        deadline = time.monotonic() + 60
        while "ready" not in log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)

    def kill_after(self, seconds):
        """Return whether it was killed before it was done."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        assert self.process.returncode in (0, -signal.SIGKILL)  # a run that is refused is no kill
        return "done" not in self.log.read_text()

    def finish(self):
        assert self.process.wait(timeout=120) == 0

    @property
    def acknowledged(self):
        return dict(word.split("=") for word in self.log.read_text().split() if "=" in word)


def write_files(folder, random_source, generation):
    """Write (generation 0) or change some files; return their sources."""
    written = set()
    words = "the value of an object is returned to committee bridge river cost stone".split()
    for number in range(120):
        if generation == 0 or random_source.random() < 0.6:
            lines = [" ".join(random_source.choices(words, k=30)) + "." for _ in range(random_source.randint(1, 6))]
            body = f"File {number}, generation {generation}.\n\n" + "\n\n".join(lines)
            (folder / f"{number:03}.txt").write_text(body)
            written.add(f"docs/{number:03}.txt")
    return written


def stored(store):
    collection = Collection.open("docs", store)
    return collection, {s: r.hash for s, r in collection.sources().items()}


@pytest.mark.parametrize("num_kills", [2, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.trust])])
def test_kills(tmp_path, num_kills):
    """Random moments from the start to the end of a run, over files that change whenever a run came to its end."""
    chance = random.Random(7)
    folder, store, log = tmp_path / "docs", tmp_path / "store", tmp_path / "log"
    folder.mkdir()
    write_files(folder, chance, 0)
    kills = generation = 0
    moments = []
    acknowledged: dict[str, str] = {}
    while kills < num_kills:
        span = 1.8 if generation == 0 else 1.2
        child = Child(folder, store, log)
        moment = chance.uniform(0.0, span)
        killed = child.kill_after(moment)
        acknowledged |= child.acknowledged
        if killed:
            kills += 1
            moments.append((len(child.acknowledged), moment))
        if (store / "docs" / "manifest.json").exists():
            _nothing_lost(store, acknowledged)
        if not killed:
            generation += 1
            for source in write_files(folder, chance, generation):
                acknowledged.pop(source, None)  # until its new revision is
    assert len({count for count, _ in moments}) > num_kills // 5, moments  # the kills fell into different stages
    child = Child(folder, store, log)
    child.finish()
    collection, _ = stored(store)
    report = verify(collection)
    assert report.problems == [] and report.notes == []
    _same_as_a_fresh_run(folder, collection, tmp_path)


def _nothing_lost(store, acknowledged):
    collection, known = stored(store)
    assert verify(collection).problems == []  # no duplicate keys, no vector that is not its own, no half source
    with_rows = collection.sources_with_rows()
    for source, digest in acknowledged.items():
        assert source in with_rows and known[source].startswith(digest)


def _same_as_a_fresh_run(folder, collection, tmp_path):
    Child(folder, tmp_path / "fresh", tmp_path / "log").finish()
    fresh, _ = stored(tmp_path / "fresh")
    columns = ["id", "document_id", "source", "text", "start", "end", "ordinal", "source_hash", "vector_default"]
    ours, theirs = (
        sorted(json.dumps(row, sort_keys=True) for row in c.chunks.search().select(columns).to_list())
        for c in (collection, fresh)
    )
    assert ours == theirs


def test_ctrl_c_keeps_what_was_stored_and_says_so(tmp_path, tiny_folder):
    chance = random.Random(5)
    folder, store = tmp_path / "docs", tmp_path / "store"
    folder.mkdir()
    write_files(folder, chance, 0)
    code = """
import sys, time, instructor_search.store.writer as writer
writer.FIRST_BATCH = writer.LAST_BATCH = 8
embed = writer.embed
def slowly(*arguments):  # or a run may be over before it is interrupted
    time.sleep(0.3)
    return embed(*arguments)
writer.embed = slowly
from ingest.cli import main
sys.exit(main(sys.argv[1:]))
"""
    arguments = [str(folder), "--store", str(store), "--model", str(tiny_folder), "--instruction", "--quiet"]
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.02)
        try:
            if stored(store)[1]:
                break
        except Exception:  # noqa: S112 - the collection is being made
            continue
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, (child.returncode, out, err)
    assert "interrupted" in out and "Traceback" not in err
    done = subprocess.run(
        [sys.executable, "-m", "ingest", *arguments, "--json"], capture_output=True, text=True, cwd=ROOT
    )
    report = json.loads(done.stdout)
    assert report["unchanged"] + report["added"] + report["changed"] == 120 and report["unchanged"] > 0
    collection, _ = stored(store)
    assert verify(collection).problems == [] and verify(collection).notes == []
