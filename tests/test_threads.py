"""Threads of the commands that compute sleep while they wait: by what OpenMP itself says when it is loaded."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

COMMANDS = {
    "train": (["train", "--mixture", "nothing.jsonl"], "error: no training data at nothing.jsonl"),
    "eval": (["eval", "--suite", "nothing", "--data", "bundled"], "error: unknown suite or task: nothing"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' OpenMP says it in other words")
@pytest.mark.parametrize("given", [None, "ACTIVE"])
@pytest.mark.parametrize("name", COMMANDS)
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(name, given):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | {"OMP_DISPLAY_ENV": "TRUE"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    arguments, error = COMMANDS[name]
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 1 and error in done.stderr
    assert set(re.findall(r"OMP_WAIT_POLICY = '(\w+)'", done.stderr)) == {given or "PASSIVE"}  # of each copy loaded
