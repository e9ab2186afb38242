"""What a run finds where another one stopped: cut files, other settings, a folder to be emptied; and losses that are no
numbers."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from instructor_search import load_encoder
from instructor_search.encoder.tokenization import InstructedTokenizer
from instructor_search.instructions import InstructedText
from tests.conftest import ROOT
from tests.train.test_cli import FAST, rows, write
from tests.train.test_similarity import similarity_mixture
from tests.train.test_trainer import config, mixture, trainer, weights
from train import checkpoints
from train.cli import main
from train.collator import Collator
from train.examples import TrainingExample
from train.trainer import DivergedError


def saved(folder):
    return sorted(p.name for p in folder.glob("checkpoint-*"))


@pytest.fixture
def run(tiny_folder, tmp_path):
    """A run of three steps with a checkpoint each, and the command that made it."""
    arguments = [
        "--mixture",
        write(tmp_path / "data.jsonl", rows()),
        "--model_name_or_path",
        str(tiny_folder),
        *FAST,
        "--save_steps",
        "1",
        "--save_total_limit",
        "3",
        "--output_dir",
        str(tmp_path / "run"),
    ]
    assert main(arguments) == 0
    return tmp_path / "run", arguments


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--model_name_or_path", "/nope"], "/nope"),
        (["--model_name_or_path", "{run}/model"], "--model_name_or_path {run}/model lies in {run}"),
        (["--resume_from_checkpoint", "{run}/checkpoint-2"], "lies in {run}, which --overwrite_output_dir empties"),
        (["--mixture", "/nope.jsonl"], "no training data at /nope.jsonl"),
    ],
)
def test_nothing_is_deleted_before_all_is_well(wrong, words, run, capsys):
    folder, arguments = run
    before = sorted(folder.rglob("*"))
    assert main([*arguments, "--overwrite_output_dir", *(w.format(run=folder) for w in wrong)]) == 1
    assert words.format(run=folder) in capsys.readouterr().err and sorted(folder.rglob("*")) == before


def test_a_refused_run_leaves_the_settings_of_the_one_before(run, capsys):
    folder, arguments = run
    assert main([*arguments, "--learning_rate", "0.5"]) == 1
    assert "learning_rate was 2e-05, now 0.5" in capsys.readouterr().err
    assert json.loads((folder / "train_config.json").read_text())["learning_rate"] == 2e-5
    assert main([*arguments, "--eval_tasks", "EverydaySentences", "--eval_data", "bundled"]) == 1
    assert "the training data has changed (eval_tasks: with them nothing is held out)" in capsys.readouterr().err


def test_a_run_goes_on_beside_files_that_were_cut_off(run, capsys):
    folder, arguments = run
    shutil.rmtree(folder / "checkpoint-3")
    (folder / "scores.json").write_text("")
    with (folder / "train_log.jsonl").open("a") as stream:
        stream.write('{"step": 3, "lo')
    (folder / "checkpoint-1/complete.json").write_text("[]")
    for left in (".checkpoint-2.9.9.part", ".checkpoint-2.9.9.old", "..checkpoint-2.9.9.part.9.9.part"):
        (folder / left).mkdir()
    capsys.readouterr()
    assert main([*arguments, "--logging_steps", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed_at"] == 2
    lines = [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3] and not checkpoints.is_complete(folder / "checkpoint-1")
    assert not list(folder.glob(".*checkpoint*"))


def test_a_run_that_starts_anew_says_each_step_once(tiny_folder, tmp_path):
    for stop in (3, 8):
        made = trainer(tiny_folder, config(tmp_path / "run", save_steps=100, logging_steps=1))
        real = made.step
        made.step = lambda made=made, real=real, stop=stop: (
            (_ for _ in ()).throw(KeyboardInterrupt) if (made.step_number == stop) else real()
        )
        if stop == 3:
            with pytest.raises(KeyboardInterrupt):
                made.run()
        else:
            made.run()
    lines = (tmp_path / "run/train_log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 9))


def test_damaged_checkpoints_of_later_steps_take_no_whole_ones_place(tiny_folder, tmp_path):
    folder = tmp_path / "run"
    trainer(tiny_folder, config(folder, save_steps=1, save_total_limit=3, max_steps=3)).run()
    for name in ("checkpoint-2", "checkpoint-3"):
        (folder / name / "model.safetensors").write_bytes(b"")
    going = trainer(tiny_folder, config(folder, save_steps=1, save_total_limit=1, max_steps=3))
    going.resume()
    assert going.step_number == 1
    going.step()
    going.save()
    assert saved(folder) == ["checkpoint-2", "checkpoint-3"] and checkpoints.newest(folder) == folder / "checkpoint-2"
    going.step()
    going.save()
    assert saved(folder) == ["checkpoint-3"] and checkpoints.newest(folder) == folder / "checkpoint-3"


def test_the_best_model_of_another_folder_is_not_this_ones(tiny_folder, tmp_path):
    def made(name, score, **options):
        return trainer(
            tiny_folder,
            config(tmp_path / name, max_steps=4, save_steps=2, eval_steps=2, **options),
            evaluate=lambda _: {"average": score},
        )

    assert made("first", 0.9).run()["best"] == {"step": 2, "score": 0.9}
    report = made("second", 0.5, resume_from_checkpoint=str(tmp_path / "first/checkpoint-2")).run()
    assert report["best"] == {"step": 4, "score": 0.5} and (tmp_path / "second/best/model.safetensors").is_file()


@pytest.mark.parametrize(("rate", "words"), [(1e30, "step 2: weights are not finite"), (1e12, "the loss is nan")])
def test_what_is_no_number_ends_the_run_and_whole_checkpoints_stay(rate, words, tiny_folder, tmp_path):
    folder = tmp_path / "run"
    made = trainer(tiny_folder, config(folder, learning_rate=rate, warmup_ratio=0.0, save_steps=1, save_total_limit=1))
    with pytest.raises(DivergedError, match=words):
        made.run()
    assert saved(folder) == [f"checkpoint-{made.step_number - (rate == 1e30)}"] and not (folder / "model").exists()
    assert all(value.isfinite().all() for value in weights(checkpoints.newest(folder)).values())


def test_other_words_leave_half_of_the_window_to_the_text(tiny):
    instruction, window = "Represent this question for finding answers: ", 40
    tokenizer = InstructedTokenizer(tiny.tokenizer.tokenizer, window)
    most, lengths = max(window // 2, tokenizer.num_instruction_tokens(instruction)), set()
    for number in range(60):
        query = InstructedText(instruction, "text " * 40)
        labels = (f"a class with a name that goes on and on, the {n}" for n in ("first", "second", "third"))
        examples = [TrainingExample(query, query._replace(text="x"), (), label) for label in labels]
        (text, *_) = Collator(tokenizer, vary_instruction=1.0)(examples, 0, (0, number, 0)).texts
        lengths.add(text.num_masked)
        assert len(text.ids) == window and text.num_masked <= most + tokenizer.num_special
    assert len(lengths) > 2


def test_consistency_alone_leaves_similarity_its_own_target(tiny_folder, tmp_path):
    data, losses = similarity_mixture(), {}
    other = load_encoder(str(tiny_folder), runtime="torch", precision="fp32", device="cpu")
    with torch.no_grad():
        for value in other.model.parameters():
            value.add_(0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    for name, options in {
        "plain": {},
        "first weights": {"consistency": 5.0},
        "named": {"reference_model": "it"},
    }.items():
        made = trainer(
            tiny_folder, config(tmp_path / name, dropout=0.0, **options), data, reference=other if options else None
        )
        number = next(n for n in range(8) if made.batches.sampler.batch(n).task == "similarity")
        losses[name] = float(made.objective.backward(made.model, [made.batches.prepared(number)[1]], 1.0, last=True))
    assert losses["plain"] == losses["first weights"] != losses["named"]


@pytest.mark.slow
def test_torchrun_makes_one_run_of_two_processes_on_a_cpu(tiny_folder, tmp_path):
    data = write(tmp_path / "data.jsonl", rows(80))
    common = [
        "--model_name_or_path",
        str(tiny_folder),
        "--mixture",
        data,
        "--json",
        "--dropout",
        "0",
        "--no-bf16",
        "--eval_examples",
        "5",
        "--max_steps",
        "3",
        "--max_source_length",
        "32",
    ]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "train",
        *common,
        "--per_device_train_batch_size",
        "4",
        "--output_dir",
        str(tmp_path / "two"),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if k != "ACCELERATE_USE_CPU"},
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert json.loads(done.stdout)["steps"] == 3 and done.stdout.count("\n") == 1
    assert main([*common, "--per_device_train_batch_size", "8", "--output_dir", str(tmp_path / "one")]) == 0
    for name, value in weights(tmp_path / "one/model").items():
        torch.testing.assert_close(weights(tmp_path / "two/model")[name], value, rtol=1e-4, atol=1e-5)


def test_dims_beyond_the_model_are_named(tiny_folder, tmp_path):
    with pytest.raises(ValueError, match="matryoshka_dims names 100000; "):
        trainer(tiny_folder, config(tmp_path / "run", matryoshka_dims=(4, 100_000)), mixture())
