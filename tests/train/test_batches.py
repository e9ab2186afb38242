"""The batches of a run: their arithmetic, which the loop prints, and that a step's tokens follow from its number."""

import pytest

from tests.train.test_trainer import config, trainer
from train.config import batch_arithmetic, examples_a_step


@pytest.mark.parametrize(
    ("ranks", "accumulated", "batch", "a_step"), [(1, 1, 32, 32), (2, 1, 64, 64), (4, 8, 128, 1024)]
)
def test_arithmetic_of_a_batch(tmp_path, ranks, accumulated, batch, a_step):
    made = config(tmp_path, per_device_train_batch_size=32, gradient_accumulation_steps=accumulated)
    assert examples_a_step(made, ranks) == a_step
    assert batch_arithmetic(made, ranks) == (
        f"batch: 32 per device x {ranks} ranks = {batch} examples of one task; "
        f"x {accumulated} accumulated = {a_step} examples a step"
    )


def test_the_loop_prints_its_arithmetic_before_the_first_step(tiny_folder, tmp_path, capsys):
    made = config(tmp_path / "run", max_steps=1, gradient_accumulation_steps=3)
    trainer(tiny_folder, made).run()
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "batch: 8 per device x 1 ranks = 8 examples of one task; x 3 accumulated = 24 examples a step"


def test_tokens_of_a_step_follow_from_its_number(tiny_folder, tmp_path):
    made = config(tmp_path / "run", vary_instruction=1.0, drop_instruction=0.0)
    first, again = trainer(tiny_folder, made).batches, trainer(tiny_folder, made).batches
    later = again.digest_of(5)
    batch, own = first.prepared(5)
    assert own.size == len(batch.rows) == 8
    assert first.digest_of(5) == later != first.digest_of(6)
