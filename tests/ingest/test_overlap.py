"""While a batch is embedded and stored the next one is read."""

import threading
import time

import pytest

from ingest import IngestConfig, Progress, ingest
from instructor_search.errors import StoreError
from instructor_search.store import writer
from instructor_search.store.collection import Collection


class Slow:
    """An encoder that says when it works, and takes its time."""

    def __init__(self, encoder, seconds=0.0, fail_after=None):
        self.encoder, self.seconds, self.fail_after = encoder, seconds, fail_after
        self.calls, self.ended, self.started, self.threads = 0, 0, threading.Event(), set()

    def __getattr__(self, name):
        return getattr(self.encoder, name)

    def encode(self, texts, **options):
        self.calls += 1
        self.threads.add(threading.current_thread())
        self.started.set()
        for _ in range(20):
            time.sleep(self.seconds / 20)
            if options.get("on_batch"):
                options["on_batch"](0)
        if self.fail_after is not None and self.calls > self.fail_after:
            raise StoreError("the disk is full")
        self.ended += 1
        return self.encoder.encode(texts, **options)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "FIRST_BATCH", 4)
    monkeypatch.setattr(writer, "LAST_BATCH", 4)
    folder = tmp_path / "notes"
    folder.mkdir()
    for i in range(24):
        (folder / f"{i:02}.txt").write_text(f"Note number {i} is about the {i}th thing.")
    return folder


def config(files):
    return IngestConfig(paths=(files,), store=files.parent / "store", instruction="Represent the note: ")


def test_files_are_read_while_a_batch_is_embedded(files, tiny):
    slow, read, meanwhile = Slow(tiny, seconds=0.5), [], []

    class Watch(Progress):
        def read(self, num_bytes, num_documents, num_chunks):
            read.append(num_documents)
            if len(read) == 6:  # two after those of the first batch
                meanwhile.append(slow.started.wait(30) and slow.ended == 0)

    report = ingest(config(files), encoder=slow, progress=Watch())
    assert report.chunks_embedded == 24
    assert meanwhile == [True]
    assert threading.main_thread() not in slow.threads
    assert Collection.open("notes", files.parent / "store").num_chunks() == 24


def test_an_error_of_the_thread_ends_the_run_and_loses_nothing_that_was_stored(files, tiny):
    with pytest.raises(StoreError, match="disk is full"):
        ingest(config(files), encoder=Slow(tiny, fail_after=2))
    collection = Collection.open("notes", files.parent / "store")
    stored = collection.num_chunks()
    assert 4 < stored < 9  # of two batches of four, sources that are complete
    assert sorted(collection.sources()) == [f"notes/{i:02}.txt" for i in range(stored)]
    report = ingest(config(files), encoder=tiny)
    assert (report.unchanged, report.added, report.chunks_total) == (stored, 24 - stored, 24)


def test_an_interrupt_stops_the_batch_that_is_embedded(files, tiny):
    slow, read = Slow(tiny, seconds=20.0), []

    class Interrupted(Progress):
        def read(self, num_bytes, num_documents, num_chunks):
            read.append(num_documents)
            if len(read) == 5:
                assert slow.started.wait(30)
                raise KeyboardInterrupt

    started = time.perf_counter()
    report = ingest(config(files), encoder=slow, progress=Interrupted())
    assert time.perf_counter() - started < 10  # it did not wait for the batch
    assert report.interrupted and report.chunks_embedded == 0
    assert Collection.open("notes", files.parent / "store").num_chunks() == 0
    assert ingest(config(files), encoder=tiny).chunks_total == 24
