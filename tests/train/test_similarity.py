"""Instructions that are to change nothing: the tasks made for them, and what training on them does to embeddings."""

import random

import numpy as np
import pytest
import torch

from instructor_search import load_encoder
from instructor_search.instructions import InstructedText
from tests.train.test_trainer import config, mixture, trainer
from train.cli import _as_text
from train.collator import Collator, kind_of
from train.config import TrainConfig
from train.dev_evaluation import split
from train.examples import Mixture, TrainingExample
from train.loss import similarity_loss
from train.medi.build import triples
from train.medi.contamination import EvaluationTexts
from train.medi.similarity import GOALS, LONG_WORDS, MAX_ROWS, documents, prose, with_similarity
from train.medi.sources import RawTask
from train.wording import vary


def task(kind, rows, query, document="", name="x"):
    return RawTask(name, kind, rows, query, document or query, "MIT", "somewhere", symmetric=False)


POSTS = task(
    "classification",
    [(f"post number {n}", str(n % 3)) for n in range(2000)],
    "Represent the forum post for classifying its mood: ",
)
ANSWERS = task(
    "pairs",
    [(f"question {n}", f"answer {n}" + " word" * LONG_WORDS, ()) for n in range(200)],
    "Represent the medical question for retrieving an answer: ",
    "Represent the medical answer for retrieval: ",
)
ALIKE = "Represent the sentence for measuring similarity: "


def similarity_mixture():
    rows = [
        TrainingExample(InstructedText(ALIKE, e.query.text), InstructedText("", e.query.text))
        for e in mixture().tasks["colour"]
    ]
    return Mixture({"similarity": rows}, {})


def test_prose_is_asked_for_its_similarity_and_finds_itself():
    made = prose(POSTS, 0)
    assert made.name == "likeness_x" and len(made.rows) == MAX_ROWS == len(set(made.rows))
    texts = {row[0] for row in POSTS.rows}
    allowed = {f"Represent the forum post for {g.format(kind='post', kinds='posts')}: " for g in GOALS}
    assert set(made.instructions) == allowed
    examples, dropped = triples(made, None)
    assert len(examples) == MAX_ROWS and not dropped
    for example in examples:
        assert example.is_similarity and example.query.text in texts and not example.negatives
    assert prose(POSTS, 0).rows == made.rows != prose(POSTS, 1).rows


def test_questions_few_texts_and_short_documents_give_none():
    questions = task(
        "classification",
        [(f"who is {n}", "a") for n in range(500)],
        "Represent the trivia question for classifying its category: ",
    )
    assert prose(questions, 0) is None
    assert prose(task("classification", POSTS.rows[:100], POSTS.query_instruction), 0) is None
    short = task("pairs", [(f"q{n}", f"a {n}", ()) for n in range(500)], ANSWERS.query_instruction)
    assert documents(short, 0) is None and documents(POSTS, 0) is None


def test_long_documents_and_what_finds_them_keep_their_instructions():
    made = documents(ANSWERS, 0)
    assert len(made.rows) == 400
    for (text, own, _), instruction in zip(made.rows, made.instructions, strict=True):
        query = text.startswith("question")
        assert own == text
        assert instruction == (ANSWERS.query_instruction if query else ANSWERS.document_instruction)


def test_a_task_gives_one_task_more_without_evaluation_texts(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "test.jsonl").write_text('{"text": "Answer 7' + " word" * LONG_WORDS + '"}\n')
    ready = RawTask("r", "ready", [], "", "", "MIT", "x", symmetric=True)
    made = list(with_similarity([POSTS, ANSWERS, ready], 0, EvaluationTexts([folder])))
    assert [t.name for t in made] == ["x", "likeness_x", "x", "likeness_x", "r"]
    assert len(made[3].rows) == 398 and not any("7 word" in row[0] and row[0][7:9] == "7 " for row in made[3].rows)


def test_the_loss_is_the_distance_of_the_first_to_the_second_alone():
    first, second, third = (torch.randn(5, 4, generator=torch.Generator().manual_seed(n)) for n in range(3))
    first.requires_grad_()
    second.requires_grad_()

    def distance(a, b):
        a, b = a.detach().numpy(), b.detach().numpy()
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        return 1 - cosines.mean()

    loss = similarity_loss(first, second)
    assert loss.item() == pytest.approx(distance(first, second), rel=1e-5)
    loss.backward()
    assert first.grad.abs().max() > 0 and second.grad is None
    known = similarity_loss(first, second, (third, third))
    assert known.item() == pytest.approx((distance(first, third) + distance(second, third)) / 2, rel=1e-5)


def test_a_batch_of_similarity_is_never_without_its_instruction(tiny):
    examples = similarity_mixture().tasks["similarity"][:8]
    other = examples[0]._replace(query=InstructedText("Represent the text: ", "a"), positive=InstructedText("", "a"))
    assert kind_of([*examples, other]) == (False, False, True, False, ())
    batch = Collator(tiny.tokenizer, drop_instruction=1.0, with_plain=True)([*examples, other], 0, (0, 1, 0))
    assert batch.similarity and batch.plain is None
    assert all(len(q.ids) > len(p.ids) for q, p in zip(batch.texts[:9], batch.texts[9:], strict=True))
    assert not Collator(tiny.tokenizer)([*examples, mixture().tasks["colour"][0]], 0, (0, 1, 0)).similarity
    assert vary("", random.Random(0)) == ""


def trainer_and_reference(tiny_folder, tmp_path, data, with_reference):
    """A trainer of 30 steps, the model that it keeps to (if ``with_reference``), and texts that are not in the data."""
    reference = load_encoder(str(tiny_folder), device="cpu")
    made = trainer(
        tiny_folder,
        config(tmp_path / "run", dropout=0.0, max_steps=30),
        data,
        reference=reference if with_reference else None,
    )
    return made, reference, [e.query.text for e in mixture().tasks["thing"][:30]]


@pytest.mark.parametrize("with_reference", [False, True])
def test_training_makes_the_instruction_change_less(tiny_folder, tmp_path, with_reference):
    made, reference, texts = trainer_and_reference(tiny_folder, tmp_path, similarity_mixture(), with_reference)

    def distance(encoder):
        encoder.model.eval()
        asked, plain = (encoder.encode([InstructedText(i, t) for t in texts]) for i in (ALIKE, ""))
        return float(1 - (asked * plain).sum(1).mean())

    before = distance(made.encoder)
    for _ in range(30):
        made.step()
    assert distance(made.encoder) < 0.3 * before
    kept = reference.encode([InstructedText("", t) for t in texts])
    moved = float(1 - (made.encoder.encode([InstructedText("", t) for t in texts]) * kept).sum(1).mean())
    assert moved < 0.3 * before or not with_reference


def test_no_example_of_similarity_is_held_out():
    both = Mixture({**mixture().tasks, **similarity_mixture().tasks}, {})
    training, held_out = split(both, 5)
    assert set(held_out) == {"colour", "thing"} and len(training.tasks["similarity"]) == 60
    report = {"model": "m", "steps": 3, "pairs_per_second": 1.0, "scores": {"before": {}, "after": {}}}
    assert _as_text(report, TrainConfig()).splitlines()[:2] == ["model: m", "3 steps, 1 pairs/s"]
    assert "before and after" not in _as_text(report, TrainConfig())
    with pytest.raises(ValueError, match="similarity_weight is 0; expected a number above 0"):
        TrainConfig(similarity_weight=0)
