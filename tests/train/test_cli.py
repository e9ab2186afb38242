"""accelerate launch -m train, as it is typed, and what it says to wrong input."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingest.cli import main as ingest
from instructor_search import load_encoder
from instructor_search.store.lock import writer_lock
from tests.conftest import ROOT
from train.cli import main
from train.config import TrainConfig

LAUNCH = Path(sys.executable).with_name("accelerate")


def launch(*arguments, folder, home):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [str(LAUNCH), "launch", "-m", "train", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


def rows(count=40, **more):
    return [
        {
            "query": ["Represent the number: ", f"number {i}"],
            "pos": ["Represent the word: ", f"word {i}"],
            "neg": [],
            **more,
        }
        for i in range(count)
    ]


def write(path, lines):
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return str(path)


FAST = ["--max_steps", "3", "--per_device_train_batch_size", "4", "--eval_examples", "5", "--max_source_length", "32"]


def test_with_no_mixture_and_a_second_run(tiny_folder, tmp_path, monkeypatch, capsys):
    arguments = ["--model_name_or_path", str(tiny_folder), "--json", *FAST]
    first = launch(*arguments, folder=tmp_path, home=tmp_path)
    assert first.returncode == 0, first.stderr[-2000:]
    report = json.loads(first.stdout)
    assert report["steps"] == 3 and report["model"] == "runs/train/model"
    assert set(report["scores"]["after"]) == {"stdlib-code", "stdlib-modules", "stdlib-signatures", "average"}
    assert json.loads((tmp_path / "runs/train/train_config.json").read_text())["max_steps"] == 3
    encoder = load_encoder(str(tmp_path / "runs/train/model"), device="cpu")
    assert encoder.fingerprint != load_encoder(str(tiny_folder), device="cpu").fingerprint
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["pairs_per_second"] == 0.0  # it was done already
    assert load_encoder(str(tmp_path / "runs/train/model"), device="cpu").fingerprint == encoder.fingerprint
    (tmp_path / "note.md").write_text("A note about a cat.")
    options = ["--instruction", "--model", "runs/train/model", "--json", "--store", str(tmp_path / "store")]
    assert ingest(["note.md", *options]) == 0
    assert json.loads(capsys.readouterr().out)["chunks_embedded"] == 1


BAD = {
    "no positive": ([{"query": ["a", "b"]}, *rows()], 'data.jsonl:1: expected {"query": [instruction, text]'),
    "empty text": ([*rows(1), {**rows(1)[0], "pos": ["x", "  "]}], "data.jsonl:2: the text of pos is empty"),
    "no pair": ([{"query": "a", "pos": "b"}], "data.jsonl:1: expected"),
    "too small": (rows(3), "no task has 4 examples, a global batch; the largest has"),
    "long instruction": ([{**r, "query": ["word " * 60, r["query"][1]]} for r in rows()], "no text would be seen"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_one_line(name, tiny_folder, tmp_path, capsys):
    lines, words = BAD[name]
    path = write(tmp_path / "data.jsonl", lines)
    code = main(
        ["--mixture", path, "--model_name_or_path", str(tiny_folder), "--output_dir", str(tmp_path / "run"), *FAST]
    )
    error = capsys.readouterr().err
    assert code == 1 and error.count("\n") == 1 and error.startswith("error: ") and words in error


def test_epochs_are_counted_in_steps(tiny_folder, tmp_path, capsys):
    path = write(tmp_path / "data.jsonl", rows(40))
    arguments = [
        "--mixture",
        path,
        "--model_name_or_path",
        str(tiny_folder),
        "--output_dir",
        str(tmp_path / "run"),
        *FAST,
    ]
    assert main([*arguments, "--num_train_epochs", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 20  # 2 x 40 examples, 4 a step


def test_wrong_wishes_are_one_line(tiny_folder, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    good = write(tmp_path / "good.jsonl", rows())
    for arguments, words in (
        (["--mixture", str(tmp_path / "none")], "no training data at"),
        (["--mixture", good, "--output_dir", str(tmp_path / "mine")], "exists and is no training run's"),
        (["--mixture", good, "--tasks", "x"], "has no task x"),
        (["--cl_temperature", "0"], "cl_temperature is 0.0; expected a number above 0"),
        (["--num_train_epochs", "0"], "num_train_epochs is 0.0; expected a finite number above 0"),
        (["--num_train_epochs", "-2"], "num_train_epochs is -2.0; expected"),
        (["--num_train_epochs", "inf"], "num_train_epochs is inf; expected"),
        (["--num_train_epochs", "nan"], "num_train_epochs is nan; expected"),
        (["--from_collection", "x", "--mixture", good], "give --mixture or --from_collection, not both"),
        (["--from_collection", "x", "--tasks", "y"], "--tasks chooses among a mixture's tasks"),
        (["--from_collection", "nope", "--store", str(tmp_path)], "no collection 'nope'"),
        (["--mixture", good, "--model_name_or_path", "/no/such"], "no model folder '/no/such'"),
        (["--tasks", "none"], "no task none; there is: stdlib-code, stdlib-signatures, stdlib-modules"),
    ):
        assert main(["--output_dir", str(tmp_path / "run"), *FAST, *arguments]) == 1
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        main(["--learning_rate", "fast"])
    assert "argument --learning_rate: invalid float value: 'fast'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--learning_rat", "1"])
    assert "unrecognized arguments: --learning_rat 1" in capsys.readouterr().err
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


INF, NAN = float("inf"), float("nan")
NOT_MEANT = {
    "matryoshka_dims": [(0,), (64, -1)],
    "max_grad_norm": [0.0, -1.0, NAN],
    "cl_temperature": [-1.0, INF, NAN],
    "consistency": [-1.0, INF, NAN],
    "distillation_weight": [INF, NAN],
    "similarity_weight": [INF, NAN],
    "sampling_alpha": [INF, NAN],
    "guide_margin": [INF, -INF, NAN],
    "learning_rate": [0.0, -1e-5, INF, NAN],
    "warmup_ratio": [-0.1, 1.1, NAN],
    "lora_alpha": [0, -1, 16],
    "lora_rank": [-1],
    "sampling_cap": [0, -5],
    "eval_steps": [-1],
    "eval_examples": [-3],
    "weight_decay": [-1.0, NAN],
    "seed": [-1],
    "max_negatives": [-1],
    "dropout": [2.0, 1.0, -0.1, NAN],
    "attention_dropout": [-1.0, 1.0],
    "adam_beta1": [1.0, -0.1],
    "adam_beta2": [1.0, NAN],
    "adam_epsilon": [0.0, -1.0],
    "max_source_length": [1, 0, -4],
    "micro_batch_tokens": [0],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in NOT_MEANT.items() for value in values])
def test_a_value_that_cannot_be_meant_is_named(name, value):
    shown = re.escape(str(value[-1] if isinstance(value, tuple) else value))
    with pytest.raises(ValueError, match=rf"^{name} is {shown}\b.*; expected "):
        TrainConfig(**{name: value})


def test_the_defaults_and_values_at_the_ends_of_ranges_are_taken():
    assert TrainConfig().as_dict()["max_source_length"] == 96
    TrainConfig(
        matryoshka_dims=(1,),
        guide_margin=-2.0,
        consistency=0.0,
        lora_rank=1,
        lora_alpha=1,
        sampling_cap=1,
        eval_examples=0,
        max_negatives=0,
        seed=0,
        weight_decay=0.0,
        dropout=None,
        attention_dropout=None,
        adam_beta1=0.0,
        warmup_ratio=1.0,
        drop_instruction=0.0,
        max_source_length=2,
    )


@pytest.mark.slow
def test_a_run_that_was_interrupted_and_killed_goes_on(tiny_folder, tmp_path):
    data = write(tmp_path / "data.jsonl", rows(80))
    common = [
        "--model_name_or_path",
        tiny_folder,
        "--mixture",
        data,
        "--save_steps",
        "1",
        "--json",
        "--per_device_train_batch_size",
        "4",
        "--eval_examples",
        "5",
        "--max_steps",
        "60",
    ]
    command = [sys.executable, "-m", "train", *map(str, common), "--output_dir", str(tmp_path / "run")]
    reached = []
    for number in (signal.SIGINT, signal.SIGKILL):
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        start = max(reached, default=0)
        deadline = time.monotonic() + 60
        while not (tmp_path / f"run/checkpoint-{start + 3}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        run.send_signal(number)
        error = run.communicate()[1]
        reached.append(max(int(p.name.split("-")[1]) for p in (tmp_path / "run").glob("checkpoint-*")))
        if number == signal.SIGINT:
            assert run.returncode == 130 and "Traceback" not in error
            assert f"the same command goes on from {tmp_path}/run/checkpoint-{reached[0]}" in error
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["steps"] == 60 and reached[0] < report["resumed_at"] <= reached[1] < 60, done.stderr[-500:]
    assert not list((tmp_path / "run").glob(".checkpoint-*"))


def test_help_is_quick():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "train", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0 and "--cl_temperature" in done.stdout
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "train.config" in loaded and not loaded & {"torch", "accelerate", "transformers", "numpy"}


def test_a_second_run_in_one_folder_is_refused_and_the_first_ones_files_stay(tiny_folder, tmp_path, capsys):
    path, run = write(tmp_path / "data.jsonl", rows()), tmp_path / "run"
    arguments = ["--mixture", path, "--model_name_or_path", str(tiny_folder), "--output_dir", str(run), *FAST]
    assert main(arguments) == 0
    capsys.readouterr()
    before = sorted(p.name for p in run.iterdir())
    with writer_lock(run):
        assert main([*arguments, "--overwrite_output_dir"]) == 1
    error = capsys.readouterr().err
    assert "training run 'run' is being written to by process" in error and error.count("\n") == 1
    assert sorted(p.name for p in run.iterdir()) == before
    (run / "left.txt").write_text("of the run before")
    assert main([*arguments, "--overwrite_output_dir"]) == 0
    assert (run / "model/model.safetensors").is_file() and not (run / "left.txt").exists()


def test_what_consistency_and_similarity_keep_to(tiny_folder, minilm, tmp_path, monkeypatch):
    from accelerate import Accelerator

    from tests.train.test_trainer import mixture
    from train import cli

    def made(*_, reference, **__):
        found.append(reference and reference.fingerprint)
        raise ValueError("seen enough")

    monkeypatch.setattr("train.trainer.Trainer", made)
    found: list[str | None] = []
    for options in ({"consistency": 1.0}, {"reference_model": str(tiny_folder)}, {}):
        with pytest.raises(ValueError, match="seen enough"):
            cli._run(TrainConfig(**options), mixture(), tmp_path, Accelerator(cpu=True))
    assert found == [minilm.fingerprint, load_encoder(str(tiny_folder)).fingerprint, None]
