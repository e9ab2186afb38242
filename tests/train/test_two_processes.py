"""Two processes (gloo, torchrun) train as one does on the same global batches."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from instructor_search import load_encoder
from tests.conftest import ROOT
from tests.train.test_trainer import config, trainer

RUN = """
import json, shutil, sys
from pathlib import Path
from accelerate import Accelerator
from instructor_search import load_encoder
from tests.train.test_similarity import similarity_mixture
from tests.train.test_trainer import config, mixture
from tests.train.test_wordings import wordings_mixture
from train.examples import Mixture
from train.trainer import Trainer
folder, model, batch, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
accelerator = Accelerator(cpu=True)
made = config(folder, per_device_train_batch_size=batch // accelerator.num_processes, max_steps=6, dropout=0.0,
              logging_steps=1, save_steps=4, max_negatives=1, weight_decay=0.0, similarity_weight=2.0, **options,
              adam_epsilon=1e-4)  # else Adam makes whole steps of gradients that are nothing but rounding
def mean(encoder):
    return {"average": float(encoder.encode([("Represent: ", "a red car")]).mean())}
evaluate = mean if made.eval_steps else None
data = Mixture({**mixture().tasks, **similarity_mixture().tasks, **wordings_mixture().tasks}, {})
run = Trainer(made, load_encoder(model, device="cpu"), data, accelerator, evaluate=evaluate)
run.folder.mkdir(parents=True, exist_ok=True)
tasks = []
real = run.batches.prepared
def prepared(number):
    batch, own = real(number)
    tasks.append((batch.task, own.size))
    return batch, own
run.batches.prepared = prepared
run.run()
if made.fsdp:  # once more, from its checkpoint-4
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.copytree(run.folder, f"{folder}-first")
        for name in ("checkpoint-6", "model"):
            shutil.rmtree(run.folder / name)
    accelerator.wait_for_everyone()
    again = Trainer(made, load_encoder(model, device="cpu"), data, accelerator, evaluate=evaluate).run()
    assert again["resumed_at"] == 4
rank, size = accelerator.process_index, accelerator.num_processes
Path(f"{folder}-rank{rank}.json").write_text(json.dumps([rank, size, tasks]))
"""


def train(processes, folder, model, **options):
    script = folder.with_suffix(".py")
    script.write_text(RUN)
    launch = (
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            str(processes),
            "--master_port",
            "0",
            "--rdzv_backend",
            "c10d",
            "--rdzv_endpoint",
            "localhost:0",
        ]
        if processes > 1
        else [sys.executable]
    )
    command = [*launch, str(script), str(folder), str(model), "8", json.dumps(options)]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "HOME": str(folder.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [json.loads(Path(f"{folder}-rank{rank}.json").read_text()) for rank in range(processes)]
    return ranks, *left_in(folder)


def left_in(folder):
    log = [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log if "loss" in line]
    return losses, load_encoder(str(folder / "model"), device="cpu").model.state_dict()


@pytest.fixture(scope="module")
def one_process(tiny_folder, tmp_path_factory):
    """One process with the plain options; it also scores, which changes nothing of the training."""
    folder = tmp_path_factory.mktemp("one") / "one"
    return folder, *train(1, folder, tiny_folder, eval_steps=3)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="info-nce"),
        pytest.param(
            {"loss": "official", "grad_cache": True, "micro_batch_tokens": 60, "gradient_accumulation_steps": 2},
            id="official-cached",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"gradient_accumulation_steps": 3, "batches_per_pass": 2},
            id="two-of-three-together",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_loss_curve_is_that_of_one_process(tiny_folder, tmp_path, options, one_process):
    one_ranks, one, one_weights = train(1, tmp_path / "one", tiny_folder, **options) if options else one_process[1:]
    two_ranks, two, two_weights = train(2, tmp_path / "two", tiny_folder, **options)
    assert [r[:2] for r in one_ranks] == [[0, 1]] and [r[:2] for r in two_ranks] == [[0, 2], [1, 2]]
    names = [[task for task, _ in rank[2]] for rank in two_ranks]
    assert names[0] == names[1] == [task for task, _ in one_ranks[0][2]]  # one task at a time, on all ranks
    assert set(names[0]) == {"colour", "thing", "similarity", "wordings"}
    assert {size for rank in two_ranks for _, size in rank[2]} == {4}
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5)
    changed = 0.0
    base = load_encoder(str(tiny_folder), device="cpu").model.state_dict()
    for name, value in one_weights.items():
        torch.testing.assert_close(two_weights[name], value, rtol=1e-4, atol=1e-5)
        changed = max(changed, float((value - base[name]).abs().max()))
    assert changed > 2e-3


def test_weights_spread_over_ranks_train_as_whole_ones_do_and_resume(tiny_folder, tmp_path, one_process):
    folder, _, one, one_weights = one_process
    options = {"fsdp": True, "grad_cache": True, "micro_batch_tokens": 4 * 48, "eval_steps": 3}  # 4 texts a piece
    _, again, again_weights = train(2, tmp_path / "two", tiny_folder, **options)
    two, two_weights = left_in(tmp_path / "two-first")
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5)
    for name, value in one_weights.items():
        torch.testing.assert_close(two_weights[name], value, rtol=1e-4, atol=1e-5)
    first, second = (json.loads((f / "scores.json").read_text()) for f in (folder, tmp_path / "two-first"))
    assert first["before"]["average"] != pytest.approx(first["after"]["average"], abs=1e-4)
    for moment in ("before", "3", "6", "after"):
        assert second[moment]["average"] == pytest.approx(first[moment]["average"], abs=1e-5)
    assert again == two  # from checkpoint-4 on
    for name, value in two_weights.items():
        torch.testing.assert_close(again_weights[name], value, rtol=0, atol=0)


def test_weights_cannot_be_spread_over_one_process(tiny_folder, tmp_path):
    with pytest.raises(ValueError, match="fsdp spreads the weights over processes; there is one"):
        trainer(tiny_folder, config(tmp_path / "run", fsdp=True))
