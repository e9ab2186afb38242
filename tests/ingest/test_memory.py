"""A file larger than memory should be: it is streamed from disk to rows."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

CHILD = """
import resource, sys
from pathlib import Path
from ingest import IngestConfig, ingest
from tests.toy import HashEncoder
from instructor_search.store import maintenance

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

maintain, peaks = maintenance.maintain, []
maintenance.maintain = lambda collection: (peaks.append(peak()), maintain(collection))[1]
report = ingest(IngestConfig(paths=(Path(sys.argv[1]),), store=sys.argv[2], instruction="doc: "), encoder=HashEncoder(8))
print(report.chunks_total, peaks[0], peak())
"""


def ingest(path, store):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(store)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return tuple(map(int, done.stdout.split()))  # chunks, peak MB before the indexes are made, peak MB at the end


def write_text(path, megabytes):
    sentence = "The committee met twice that spring to weigh the cost of a new bridge across the river, number {}.\n"
    with path.open("w") as stream:
        number = size = 0
        while size < megabytes << 20:
            size += stream.write(sentence.format(number) + ("\n" if number % 5 == 0 else ""))
            number += 1


@pytest.mark.slow
def test_200_megabytes_of_text_take_no_more_memory_than_10(tmp_path):
    write_text(tmp_path / "small.txt", 10)
    write_text(tmp_path / "large.txt", 200)
    small_chunks, small, small_end = ingest(tmp_path / "small.txt", tmp_path / "s1")
    large_chunks, large, large_end = ingest(tmp_path / "large.txt", tmp_path / "s2")
    print(f"10 MB: {small_chunks} chunks, {small} MB, {small_end} MB with the indexes made")
    print(f"200 MB: {large_chunks} chunks, {large} MB, {large_end} MB with the indexes made")
    assert large_chunks == pytest.approx(20 * small_chunks, rel=0.02)
    assert large < small + 250  # keys of the file's chunks grow (about 200 bytes each), its text does not
    assert large_end < 2000  # making the indexes costs memory by the number of chunks
