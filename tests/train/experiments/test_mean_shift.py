"""python -m train.experiments.mean_shift: embeddings along their mean, against NumPy, and what is learned of an instruction."""

import random

import numpy as np
import pytest
import torch

from instructor_search import load_encoder
from instructor_search.instructions import InstructedText
from train.examples import TrainingExample, read_mixture, write_manifest, write_task
from train.experiments.mean_shift import MeanShift, last_norm_bias, main, pooled, targets, train
from train.experiments.mean_shift_texts import KINDS, ROWS, kind_of, texts_by_kind

LIKE, FIND = (
    "Represent the news sentence for measuring semantic similarity: ",
    "Represent the question for retrieving supporting documents: ",
)
CLASS = "Represent the headline sentence for classifying its topic: "


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    folder, chance = tmp_path_factory.mktemp("mixture"), random.Random(0)
    words = "the a red blue dog cat house runs sees old new tree river and of in stone light".split()

    def text():
        return " ".join(chance.choice(words) for _ in range(chance.randint(5, 12)))

    facts = {"licence": "MIT", "source": "made here", "symmetric": True, "document_instruction": ""}
    made = []
    for name, instruction in (("news", LIKE), ("questions", FIND), ("topics", CLASS)):
        rows = [
            TrainingExample(InstructedText(instruction, text()), InstructedText(instruction, text())) for _ in range(80)
        ]
        made.append(write_task(folder, rows, name=name, query_instruction=instruction, **facts))
    same = [InstructedText(LIKE, text()) for _ in range(200)]
    rows = [TrainingExample(side, InstructedText("", side.text)) for side in same]
    made.append(write_task(folder, rows, name="likeness_news", query_instruction=LIKE, **facts))
    write_manifest(folder, made)
    return folder


@pytest.fixture
def encoder():
    return load_encoder(runtime="torch", precision="fp32", device="cpu")


@pytest.mark.parametrize(
    ("instruction", "kind"),
    [
        ("", "none"),
        (LIKE, "similarity"),
        (FIND, "documents"),
        (CLASS, "rest"),
        ("Encode the text for scoring how alike it is to, and how similar: ", "similarity"),
        ("Represent the summary for comparing it with a reference summary: ", "rest"),
        ("Represent the question for retrieving duplicate questions: ", "rest"),
        ("Represent the sentence for retrieving similar examples: ", "rest"),
        ("Represent the query for retrieving code: ", "rest"),
    ],
)
def test_what_an_instruction_asks_for(instruction, kind):
    assert kind_of(instruction) == kind


def test_texts_are_sorted_by_what_is_asked_of_them(mixture):
    found = texts_by_kind(read_mixture(mixture), 3)
    assert tuple(found) == KINDS
    for kind, texts in found.items():
        assert 0 < len(texts) <= ROWS[kind]
        assert {kind_of(t.instruction) for t in texts} == {kind}
    assert found == texts_by_kind(read_mixture(mixture), 3) != texts_by_kind(read_mixture(mixture), 4)
    assert len({t.instruction for t in found["similarity"]}) > 500  # in many words


def test_every_embedding_moves_by_the_same_vector(mixture, tmp_path, encoder, capsys, monkeypatch):
    monkeypatch.setattr("train.experiments.mean_shift._TEXTS_OF_MEAN", 100)
    output = tmp_path / "moved"
    assert main(["default", "--mixture", str(mixture), "--everywhere", "2", "--output", str(output)]) == 0
    texts = [InstructedText(CLASS, f"the dog sees {n} trees") for n in range(20)]
    before, after = (pooled(e, texts) for e in (encoder, load_encoder(str(output), runtime="torch", device="cpu")))
    moved = after - before
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-5)
    length = float(capsys.readouterr().out.split("length of the mean: ")[1].split(",")[0])
    assert np.linalg.norm(moved[0]) == pytest.approx(2 * length, abs=2e-3)
    encoded = load_encoder(str(output), device="cpu", precision="fp32").encode(texts)
    np.testing.assert_allclose(encoded, after / np.linalg.norm(after, axis=1, keepdims=True), atol=1e-5)


def test_targets_against_numpy():
    random_numbers = np.random.default_rng(0)
    vectors, mean = random_numbers.normal(1, 1, (4, 8)).astype(np.float32), np.full(8, 0.5, np.float32)
    for shift in (MeanShift(1.5, 0.5, -0.25), MeanShift(2, 1, 0, after=True)):
        found = targets(vectors, mean, KINDS, shift).numpy()
        for row, kind, factor in zip(range(4), KINDS, shift, strict=False):
            v, m = vectors[row].astype(float), mean.astype(float)
            if shift.after:  # the mean of unit vectors, along the mean
                units = vectors / np.linalg.norm(vectors, axis=1)[:, None]
                v, m = units[row], m / np.linalg.norm(m) * np.linalg.norm(units.mean(0))
            expected = v + factor * m
            np.testing.assert_allclose(found[row], expected / np.linalg.norm(expected), atol=1e-6, err_msg=kind)


@pytest.mark.slow
def test_a_model_learns_to_move_where_it_is_asked_to(encoder, mixture):
    texts = {kind: many[:40] for kind, many in texts_by_kind(read_mixture(mixture)).items()}
    like, none = texts["similarity"], texts["none"]
    before = {id(group): pooled(encoder, group) for group in (like, none)}
    mean = (
        2 * pooled(encoder, like).mean(0) + torch.randn(encoder.dim, generator=torch.Generator().manual_seed(1)).numpy()
    )
    words = encoder.model.backbone.get_input_embeddings().weight.detach().clone()
    losses = train(encoder, texts, mean, MeanShift(similarity=1.5), steps=24, batch_size=24, learning_rate=2e-4)
    assert np.mean(losses[-10:]) < 0.5 * losses[0]
    assert torch.equal(words, encoder.model.backbone.get_input_embeddings().weight)

    def unit(vectors):
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def along(group):
        return ((unit(pooled(encoder, group)) - unit(before[id(group)])) @ (mean / np.linalg.norm(mean))).mean()

    assert along(like) > 0.05
    assert abs(along(none)) < 0.5 * along(like)
    with pytest.raises(ValueError, match="the loss of step .* is nan"):
        train(encoder, texts, mean, MeanShift(similarity=np.nan), steps=2, batch_size=8)


def test_what_cannot_be_is_one_line(mixture, tmp_path, capsys):
    start = ["default", "--mixture", str(mixture), "--output", str(tmp_path / "x")]
    (tmp_path / "there").mkdir()
    for flags, said in (
        ([], "nothing to do"),
        (["--rest", "nan"], "finite"),
        (["--rest", "1", "--steps", "0"], "--steps 0"),
        (["--rest", "1", "--output", str(tmp_path / "there")], "exists"),
    ):
        assert main([*start, *flags]) != 0
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_models_that_end_otherwise_are_refused(tiny_folder):
    with pytest.raises(ValueError, match="expected a BERT"):
        last_norm_bias(load_encoder(str(tiny_folder), runtime="torch", device="cpu"))
