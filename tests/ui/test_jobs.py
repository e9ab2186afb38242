"""The application's child processes."""

import os
import signal
import subprocess
import sys
import time

from tests.conftest import ROOT

START = """
import sys, time
from ui.jobs import Jobs
jobs = Jobs(at_once=1, megabytes=8000, hours=1)
settings = {"paths": [sys.argv[1]], "instruction": "x", "store": sys.argv[2], "json": True}
job = jobs.start("ingest", "c", "ingest", settings)
while not job.lines:
    time.sleep(0.05)
print(jobs._children[job.id].pid, flush=True)
time.sleep(600)
"""


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_job_ends_with_an_application_that_is_killed(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(3000):  # minutes of work
        (folder / f"{number}.txt").write_text(f"Text {number}. " + "Bees make honey in the garden. " * 60)
    parent = subprocess.Popen(
        [sys.executable, "-c", START, str(folder), str(tmp_path / "store")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    assert is_alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + 40
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_alive(child)
