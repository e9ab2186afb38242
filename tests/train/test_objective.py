"""What is minimised besides the loss of labels, over whole runs: adapters, a guide, a teacher, a reference model, leading parts."""

import numpy as np
import pytest
import torch

from instructor_search import load_encoder
from instructor_search.instructions import InstructedText
from tests.train.test_trainer import assert_equal, config, mixture, trainer, weights
from train.config import TrainConfig
from train.examples import Mixture


def test_adapters_train_resume_and_are_saved_as_plain_weights(tiny_folder, tmp_path):
    options = {"lora_rank": 4, "save_steps": 2, "max_steps": 5, "grad_cache": True}
    whole = trainer(tiny_folder, config(tmp_path / "whole", **options))
    trained = {n for n, p in whole.encoder.model.backbone.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    whole.run()
    cut = trainer(tiny_folder, config(tmp_path / "cut", **options))
    for _ in range(3):
        cut.step()
        if cut.step_number == 2:
            cut.save()
    resumed = trainer(tiny_folder, config(tmp_path / "cut", **options))
    resumed.run()
    assert_equal(weights(tmp_path / "whole/model"), weights(tmp_path / "cut/model"))
    saved, base = weights(tmp_path / "whole/model"), weights(tiny_folder)
    assert saved.keys() == base.keys()
    name = "backbone.encoder.block.0.layer.0.SelfAttention.q.weight"
    change = saved[name] - base[name]
    assert 0 < torch.linalg.matrix_rank(change, atol=1e-6) <= 4
    whole.encoder.model.eval()
    direct = whole.encoder.encode([("Represent: ", "a red car")])
    again = load_encoder(str(tmp_path / "whole/model"), device="cpu").encode([("Represent: ", "a red car")])
    np.testing.assert_allclose(again, direct, atol=1e-5)


def test_a_guide_changes_the_loss_and_reads_the_same_tokens(tiny_folder, tmp_path, minilm):
    losses = {}
    for margin in (None, -2.0, 2.0):  # none; takes nothing out; takes every other candidate out
        guide = None if margin is None else load_encoder(str(tiny_folder), device="cpu")
        made = config(
            tmp_path / "run", dropout=0.0, guide=None if margin is None else "tiny", guide_margin=margin or 0.0
        )
        losses[margin] = trainer(tiny_folder, made, guide=guide).step()[0]
    assert losses[-2.0] == pytest.approx(losses[None], rel=1e-6)
    assert losses[2.0] == pytest.approx(0, abs=1e-6) and losses[None] > 0.1
    with pytest.raises(ValueError, match="instructor-minilm has another tokenizer than instructor-tiny"):
        trainer(tiny_folder, config(tmp_path / "run"), guide=minilm)
    with pytest.raises(ValueError, match="the official loss takes none"):
        TrainConfig(guide="x", loss="official")


def test_a_teacher_counts_where_no_label_decides(tiny_folder, tmp_path):
    teacher = load_encoder(str(tiny_folder), device="cpu")
    unlabelled = Mixture({"a": [e._replace(label=None) for e in mixture().tasks["colour"]]}, {})

    def loss(data, **options):
        made = config(tmp_path / "run", dropout=0.0, max_negatives=0, **options)
        return trainer(tiny_folder, made, data, teacher=options.get("teacher") and teacher).step()[0]

    plain = loss(unlabelled, drop_instruction=0.0)
    assert loss(unlabelled, drop_instruction=0.0, teacher="tiny") > plain + 1e-4
    # A student that is its teacher and sees no instructions either has nothing to learn of it.
    assert loss(unlabelled, drop_instruction=1.0, teacher="tiny") == pytest.approx(
        loss(unlabelled, drop_instruction=1.0), abs=1e-5
    )
    assert loss(mixture(), teacher="tiny") == loss(mixture())
    with pytest.raises(ValueError, match="distillation_weight is 0; expected a number above 0"):
        TrainConfig(distillation_weight=0)


def test_consistency_holds_embeddings_to_the_first_ones_whatever_the_words(tiny_folder, tmp_path):
    reference = load_encoder(str(tiny_folder), device="cpu")

    def run(**options):
        made = config(tmp_path / "run", dropout=0.0, drop_instruction=0.0, **options)
        return trainer(tiny_folder, made, reference=reference if options.get("consistency") else None)

    def loss(**options):
        return run(**options).step()[0]

    assert loss(vary_instruction=0.0, consistency=5.0) == pytest.approx(loss(vary_instruction=0.0), abs=1e-5)
    varied = {"vary_instruction": 1.0, "paraphrase_per_example": True}
    assert loss(**varied, consistency=5.0) > loss(**varied) + 1e-3
    pairs = [example.query for example in mixture().tasks["colour"][:20]]
    other = [InstructedText(t.instruction.replace("Represent", "Encode"), t.text) for t in pairs]
    first, distances = reference.encode(pairs), {}
    for weight in (0.0, 50.0):
        made = run(**varied, consistency=weight)
        for _ in range(8):
            made.step()
        made.model.eval()
        distances[weight] = float(1 - (made.encoder.encode(other) * first).sum(1).mean())
    assert distances[50.0] < 0.5 * distances[0.0]
    with pytest.raises(ValueError, match="consistency is -1; expected 0"):
        TrainConfig(consistency=-1)


def test_matryoshka_trains_the_leading_part(tiny_folder, tmp_path):
    for dims, trained in (((4,), 4), ((4, 8), 8), ((), None)):
        run = trainer(tiny_folder, config(tmp_path / "run", matryoshka_dims=dims, dropout=0.0))
        run.objective.backward(run.model, [run.batches.prepared(0)[1]], 1.0, last=True)
        sizes = run.encoder.model.dense[-1][0].weight.grad.abs().amax(1)  # of each number of the embedding
        assert sizes[:trained].min() > 1e-4
        assert trained is None or sizes[trained:].max() < 1e-5 * sizes.max()
