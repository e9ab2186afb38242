"""Training on one process: it learns, it resumes exactly, and what goes wrong leaves the last checkpoint whole."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from instructor_search import load_encoder
from instructor_search.instructions import InstructedText
from tests.conftest import ROOT
from train import checkpoints
from train.checkpoints import CheckpointError
from train.config import TrainConfig, learning_rate
from train.dev_evaluation import accuracy, split
from train.examples import Mixture, TrainingExample
from train.trainer import Trainer

COLOURS, THINGS = ("red", "green", "blue", "black"), ("car", "house", "tree", "boat", "shirt", "door")


def mixture(count=60):
    """Two tasks over the same kind of text: find the colour, find the thing, whatever the other is."""
    rng = np.random.default_rng(0)
    tasks = {}
    for name, words, others in (("colour", COLOURS, THINGS), ("thing", THINGS, COLOURS)):
        rows = []
        for _ in range(count):
            word, other = rng.choice(words, 2, replace=False)
            instruction = f"Represent the sentence for finding its {name}: "
            query, positive, negative = (
                InstructedText(instruction, f"{rng.integers(100)} {w} {rng.choice(others)} in {rng.integers(100)}")
                for w in (word, word, other)
            )
            rows.append(TrainingExample(query, positive, (negative,), str(word)))
        tasks[name] = rows
    return Mixture(tasks, {})


def config(folder, **options):
    values = {
        "per_device_train_batch_size": 8,
        "max_steps": 8,
        "save_steps": 3,
        "learning_rate": 1e-3,
        "max_source_length": 48,
        "logging_steps": 2,
        "dropout": 0.1,
    }
    return TrainConfig(output_dir=str(folder), bf16=False, **{**values, **options})


def trainer(tiny_folder, made, data=None, **options):
    from accelerate import Accelerator

    encoder = load_encoder(str(tiny_folder), device="cpu")
    (ROOT / made.output_dir).mkdir(parents=True, exist_ok=True)
    return Trainer(made, encoder, data or mixture(), Accelerator(cpu=True), **options)


def weights(folder):
    return load_encoder(str(folder), device="cpu").model.state_dict()


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_training_teaches_and_the_model_loads(tiny_folder, tmp_path):
    training, held_out = split(mixture(200), 20)
    made = config(tmp_path / "run", max_steps=60, learning_rate=5e-3, eval_steps=30)
    report = trainer(tiny_folder, made, training, evaluate=lambda e: accuracy(e, held_out)).run()
    before, after = report["scores"]["before"]["average"], report["scores"]["after"]["average"]
    assert after > before + 0.1
    assert set(report["scores"]) == {"before", "30", "60", "after"} and report["best"]["step"] in (30, 60)
    lines = [json.loads(line) for line in (tmp_path / "run/train_log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    model = load_encoder(str(tmp_path / "run/model"), device="cpu")
    assert model.max_tokens == load_encoder(str(tiny_folder), device="cpu").max_tokens  # not training's shorter window
    assert accuracy(model, held_out) == report["scores"]["after"]
    from instructor_search.encoder.runtimes.choose import can_build_graph

    assert can_build_graph(model.checkpoint.config)
    on_openvino = load_encoder(str(tmp_path / "run/model"), runtime="openvino", precision="fp32")
    texts = [("Represent: ", "a red car"), ("", "a blue boat")]
    np.testing.assert_allclose(on_openvino.encode(texts), model.encode(texts), atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"grad_cache": True, "gradient_accumulation_steps": 2}], ids=["plain", "cached"]
)
def test_a_run_that_was_cut_off_ends_with_the_same_weights(tiny_folder, tmp_path, options):
    trainer(tiny_folder, config(tmp_path / "whole", **options)).run()
    for stop in (3, 5):
        folder = tmp_path / f"cut{stop}"
        cut = trainer(tiny_folder, config(folder, **options))
        real = cut.step

        def step(cut=cut, real=real, stop=stop):
            if cut.step_number == stop:
                raise KeyboardInterrupt
            return real()

        cut.step = step
        with pytest.raises(KeyboardInterrupt):
            cut.run()
        assert checkpoints.newest(folder).name == "checkpoint-3"
        resumed = trainer(tiny_folder, config(folder, **options))
        report = resumed.run()
        assert report["steps"] == 8
        assert_equal(weights(tmp_path / "whole/model"), weights(folder / "model"))
        assert_equal(weights(tmp_path / "whole/checkpoint-8"), weights(folder / "checkpoint-8"))
        logs = [
            [json.loads(line)["step"] for line in (f / "train_log.jsonl").read_text().splitlines()]
            for f in (tmp_path / "whole", folder)
        ]
        assert logs == [[2, 4, 6, 8]] * 2


def test_accumulation_and_grad_cache_do_not_change_the_result(tiny_folder, tmp_path):
    """Without dropout: pieces of any size and GradCache give the same weights, within float32."""
    results = []
    for name, options in (
        ("a", {}),
        ("b", {"micro_batch_tokens": 64}),
        ("c", {"micro_batch_tokens": 64, "grad_cache": True}),
        ("d", {"gradient_checkpointing": True}),
    ):
        run = trainer(tiny_folder, config(tmp_path / name, dropout=0.0, max_steps=3, **options))
        run.run()
        results.append(weights(tmp_path / name / "model"))
    for other in results[1:]:
        for name, value in results[0].items():
            torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "roles"),
    [
        ({}, ()),
        ({"grad_cache": True, "micro_batch_tokens": 64}, ()),
        ({"consistency": 3.0}, ("reference",)),
        (
            {},
            ("reference", "guide", "teacher"),
        ),  # a reference model for similarity alone, a teacher where there are no labels
    ],
)
def test_batches_that_go_through_the_model_together_do_not_change_the_result(tiny_folder, tmp_path, options, roles):
    """Without dropout: the losses of an optimiser step and the weights are the same, within float32."""
    data = mixture()
    plain = [example._replace(label=None) for example in data.tasks["colour"]]
    alike = [TrainingExample(e.query, InstructedText("", e.query.text)) for e in plain]
    data = Mixture({**data.tasks, "plain": plain, "similarity": alike}, {})
    other = load_encoder(str(tiny_folder), runtime="torch", precision="fp32", device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        for value in other.model.parameters():
            value.add_(0.02 * torch.randn_like(value))
    results, losses = [], []
    for together in (1, 3, 5):  # of five: 3 + 2
        folder = tmp_path / str(together)
        made = config(
            folder,
            dropout=0.0,
            max_steps=3,
            gradient_accumulation_steps=5,
            batches_per_pass=together,
            vary_instruction=0.8,
            logging_steps=1,
            **options,
        )
        run = trainer(tiny_folder, made, data, **dict.fromkeys(roles, other))
        assert set(run.batches.sampler.tasks) == set(data.tasks)
        run.run()
        results.append(weights(folder / "model"))
        losses.append([json.loads(line)["loss"] for line in (folder / "train_log.jsonl").read_text().splitlines()])
    for found, loss in zip(results[1:], losses[1:], strict=True):
        assert loss == pytest.approx(losses[0], rel=1e-4)
        for name, value in results[0].items():
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)


def test_the_newest_whole_checkpoint_is_taken(tiny_folder, tmp_path):
    folder = tmp_path / "run"
    trainer(tiny_folder, config(folder, save_total_limit=3)).run()
    assert checkpoints.newest(folder).name == "checkpoint-8"
    with (folder / "checkpoint-8/model.safetensors").open("r+b") as stream:
        stream.truncate(1000)
    assert checkpoints.newest(folder).name == "checkpoint-6"
    (folder / "checkpoint-6/complete.json").unlink()
    assert checkpoints.newest(folder).name == "checkpoint-3"
    with pytest.raises(CheckpointError, match="is no whole checkpoint"):
        trainer(tiny_folder, config(folder, resume_from_checkpoint=str(folder / "checkpoint-6"))).resume()
    resumed = trainer(tiny_folder, config(folder))
    resumed.resume()
    assert resumed.step_number == 3


def test_another_configuration_is_refused(tiny_folder, tmp_path):
    folder = tmp_path / "run"
    trainer(tiny_folder, config(folder, max_steps=3)).run()
    with pytest.raises(
        CheckpointError, match="max_steps was 3, now 4; learning_rate was 0.001, now 0.1; give the same"
    ):
        trainer(tiny_folder, config(folder, max_steps=4, learning_rate=0.1)).run()
    with pytest.raises(CheckpointError, match="the training data has changed"):
        trainer(tiny_folder, config(folder, max_steps=3), mixture(61)).run()
    trainer(tiny_folder, config(folder, max_steps=3, save_steps=1, logging_steps=1)).run()  # these may differ


def test_other_words_for_the_next_examples_are_refused(tiny_folder, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    varied = {"vary_instruction": 1.0, "drop_instruction": 0.0}
    run = trainer(tiny_folder, config(folder, **varied))
    for _ in range(3):
        run.step()
    run.save()
    resumed = trainer(tiny_folder, config(folder, **varied))
    resumed.resume()
    assert resumed.step_number == 3
    monkeypatch.setattr("train.collator.vary", lambda *_: "Represent it in words of another version: ")
    with pytest.raises(CheckpointError, match="draws or words the next examples otherwise"):
        trainer(tiny_folder, config(folder, **varied)).resume()


def test_a_full_disk_leaves_the_checkpoints_before(tiny_folder, tmp_path):
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.train.test_trainer import config, trainer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = trainer(Path({str(tiny_folder)!r}), config({str(tmp_path / "run")!r}))
run.step(); run.step(); run.step(); run.save()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # a write beyond is refused, as on a full disk
run.step()
try:
    run.save()
except Exception as error:
    print(type(error).__name__, str(error)[:300])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.startswith("CheckpointError cannot write"), done.stderr[-2000:]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["checkpoint-3"]
    assert checkpoints.is_complete(tmp_path / "run/checkpoint-3")


def test_tensorboard_has_the_numbers_of_the_log(tiny_folder, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer(tiny_folder, config(tmp_path / "run", report_to="tensorboard", max_steps=4)).run()
    found = EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    lines = [json.loads(line) for line in (tmp_path / "run/train_log.jsonl").read_text().splitlines()]
    for name in ("loss", "learning_rate", "pairs_per_second"):
        shown = [(e.step, e.value) for e in found.Scalars(name)]
        assert shown == [(line["step"], pytest.approx(line[name], rel=1e-5)) for line in lines]
    assert [line["step"] for line in lines] == [2, 4]


def test_bf16_computes_like_float32_and_keeps_float32_weights(tiny_folder, tmp_path):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    losses = {}
    for name in ("no", "bf16"):
        AcceleratorState._reset_state(reset_partial_state=True)
        folder = tmp_path / name
        folder.mkdir()
        encoder = load_encoder(str(tiny_folder), device="cpu")
        accelerator = Accelerator(cpu=True, mixed_precision=name)
        run = Trainer(config(folder, dropout=0.0), encoder, mixture(), accelerator)
        losses[name] = [run.step()[0] for _ in range(5)]
        assert {p.dtype for p in encoder.model.parameters()} == {torch.float32}
    AcceleratorState._reset_state(reset_partial_state=True)
    assert losses["bf16"] == pytest.approx(losses["no"], rel=0.1) and losses["bf16"] != losses["no"]
    assert losses["bf16"][0] == pytest.approx(losses["no"][0], rel=0.03)


def test_old_checkpoints_go(tiny_folder, tmp_path):
    trainer(tiny_folder, config(tmp_path / "run", save_steps=1, save_total_limit=2, max_steps=5)).run()
    assert sorted(p.name for p in (tmp_path / "run").glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-5"]


def test_averaging_with_the_first_weights(tiny_folder, tmp_path):
    trainer(tiny_folder, config(tmp_path / "a", max_steps=3)).run()
    trainer(tiny_folder, config(tmp_path / "b", max_steps=3, average_with_base=0.25)).run()
    base, trained, mixed = weights(tiny_folder), weights(tmp_path / "a/model"), weights(tmp_path / "b/model")
    for name, value in mixed.items():
        torch.testing.assert_close(value, 0.75 * trained[name] + 0.25 * base[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("constant", [0.5] + [1.0] * 9),
        ("cosine", [0.5, 1.0, 1.0, 0.9619398, 0.8535534, 0.6913417, 0.5, 0.3086583, 0.1464466, 0.0380602]),
    ],
)
def test_the_schedule(schedule, expected):
    made = TrainConfig(learning_rate=1.0, max_steps=10, warmup_ratio=0.2, lr_scheduler_type=schedule)
    assert [learning_rate(made, step) for step in range(10)] == pytest.approx(expected)


def test_wrong_values_are_named():
    for options, words in (
        ({"cl_temperature": 0.0}, "cl_temperature is 0.0; expected a number above 0"),
        ({"loss": "triplet"}, "loss is 'triplet'; expected one of info-nce, official"),
        ({"max_steps": 0}, "max_steps is 0; expected at least 1"),
        ({"drop_instruction": 2.0}, "drop_instruction is 2.0; expected 0 to 1"),
    ):
        with pytest.raises(ValueError, match=words):
            TrainConfig(**options)
