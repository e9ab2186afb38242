"""No command opens a connection that nobody asked for: training, by both launchers."""

import socket
import sys
from pathlib import Path

import pytest

from tests.guard.guarded import Guard
from tests.guard.tour import TRAINING

pytestmark = [pytest.mark.slow, pytest.mark.trust]

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("name", TRAINING)
def test_training(name, guard, filled):
    words = filled(TRAINING[name])
    if words[0] != "train":
        guard.module(*words)
        return
    done = guard.run(BIN / "accelerate", "launch", "-m", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    started = [" ".join(command) for command in guard.started()]
    assert any("accelerate launch" in command for command in started)
    assert any("-m train " in command for command in started if "launch" not in command)
    assert ("--eval_tasks" in words) == any("-m eval" in command for command in started)


def test_two_processes_ask_for_no_name_but_their_machine_s(tmp_path, tiny_folder, store, titled):
    """torch asks what this machine and 127.0.0.1 are called, of a name server where no file says it; no more."""
    guard = Guard(tmp_path)
    words = [
        "-m",
        "train",
        "--model_name_or_path",
        tiny_folder,
        "--store",
        store,
        "--from_collection",
        titled,
        "--output_dir",
        tmp_path / "run",
        "--max_steps",
        "2",
        "--per_device_train_batch_size",
        "4",
        "--eval_examples",
        "5",
        "--max_source_length",
        "32",
    ]
    done = guard.run(
        BIN / "torchrun", "--nproc_per_node", "2", "--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0", *words
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert sum(command[-2:] == ["--max_source_length", "32"] for command in guard.started()) >= 3  # the launcher too
    own = {repr(name) for name in (socket.gethostname(), socket.getfqdn())}
    for attempt in guard.attempts():
        assert attempt.address in own if attempt.layer == "python" else attempt.address.endswith(" port 53"), str(
            attempt
        )
