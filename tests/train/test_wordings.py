"""One instruction in two wordings: the tasks made for it, and what training on them does to embeddings."""

import json
import re

import numpy as np
import pytest
import torch

from instructor_search.instructions import InstructedText
from tests.train.test_similarity import ANSWERS, POSTS, task, trainer_and_reference
from tests.train.test_trainer import mixture
from train.collator import Collator, kind_of
from train.dev_evaluation import split
from train.examples import Mixture, TrainingExample, read_mixture
from train.loss import wordings_loss
from train.medi.cli import main
from train.medi.contamination import EvaluationTexts
from train.medi.criteria import AREAS, NAMED_SHARE
from train.medi.passages import with_passages
from train.medi.purposes import PURPOSES, TEXTS
from train.medi.similarity import with_similarity
from train.medi.wordings import MAX_WORDS, OPEN_SHARE, OWN_ROWS, PURPOSE_ROWS, of_area, of_purpose, own, with_wordings
from train.wording import ENDINGS, FORMS

FIRST, SECOND = "Represent the sentence for finding its colour: ", "Encode this text by what colour it names: "

SPELLED_OUT = re.compile(r"\b(?P<by>on|about|concerning|be it|whether) (?P<values>[^:]+? or [^,:]+?),? for ")


def wordings_mixture():
    rows = [
        TrainingExample(InstructedText(FIRST, e.query.text), InstructedText(SECOND, e.query.text))
        for e in mixture().tasks["colour"]
    ]
    return Mixture({"wordings": rows}, {})


def test_the_purposes_are_of_texts_that_there_are_and_differ():
    assert {of.texts for of in (*PURPOSES, *AREAS)} == set(TEXTS)
    for purpose in PURPOSES:
        assert len(set(purpose.goals)) == len(purpose.goals) >= 4 and len(set(purpose.kinds)) == len(purpose.kinds)
        assert all(re.fullmatch(r"[A-Za-z][\w ',-]+", words) for words in purpose.kinds + purpose.goals)
    assert 5 < sum(purpose.is_open for purpose in PURPOSES) < len(PURPOSES) / 2


def test_a_task_is_asked_in_its_own_instructions_other_words():
    made = own(ANSWERS, 0)
    texts = {" ".join(str(cell).split()[:MAX_WORDS]) for row in ANSWERS.rows for cell in row[:2]}
    rows = [row[0] for row in made.rows]
    assert made.name == "wordings_x" and OWN_ROWS * 0.9 < len(rows) <= OWN_ROWS
    for row in rows:
        assert row.is_wordings and not row.is_similarity and row.query.text in texts
    instructions = {side.instruction for row in rows for side in (row.query, row.positive)}
    assert len(instructions) > 100 and {ANSWERS.query_instruction, ANSWERS.document_instruction} <= instructions
    assert own(ANSWERS, 0).rows == made.rows != own(ANSWERS, 1).rows
    assert own(task("pairs", ANSWERS.rows[:50], ANSWERS.query_instruction), 0) is None


def test_a_purpose_is_asked_in_its_words_and_an_open_one_in_none_too():
    def asked(instruction, purpose):
        forms = [
            form.format(a=a, what=kind, goal=goal)
            for form in FORMS
            for a in ("a", "an")
            for kind in purpose.kinds
            for goal in purpose.goals
        ]
        return any(instruction == form + ending for form in forms for ending in ENDINGS)

    texts = [f"text {n}" for n in range(PURPOSE_ROWS + 50)]
    for purpose in (next(p for p in PURPOSES if not p.is_open), next(p for p in PURPOSES if p.is_open)):
        made = list(of_purpose(purpose, 3, texts, [POSTS, ANSWERS], 0))
        assert [t.name for t in made] == [f"{kind}_of_{purpose.texts}_3" for kind in ("wordings", "likeness")][
            : 1 + purpose.is_open
        ]
        for row in [row[0] for row in made[0].rows][:100]:
            assert (
                row.is_wordings and asked(row.query.instruction, purpose) and asked(row.positive.instruction, purpose)
            )
        if purpose.is_open:
            bare = [row[0] for row in made[1].rows]
            assert len(bare) == round(OPEN_SHARE * PURPOSE_ROWS) and all(row.is_similarity for row in bare)
            assert not {row.query.text for row in bare} & {row[0].query.text for row in made[0].rows}
        assert made[0].licence == "MIT"
        few = list(of_purpose(purpose, 3, texts[:200], [POSTS], 0))  # too few to take some of them apart
        assert len(few) == 1 and len(few[0].rows) > 190
    assert not list(of_purpose(PURPOSES[0], 0, texts[:100], [POSTS], 0))


def test_a_criterion_stays_where_its_words_change():
    for area in AREAS:
        made = of_area(area, [f"text {n}" for n in range(700)], [POSTS, ANSWERS], 0)
        rows = [row[0] for row in made.rows]
        assert made.name == f"wordings_of_{area.texts}_criteria" and 0.7 * PURPOSE_ROWS < len(rows) <= PURPOSE_ROWS
        named = 0
        for row in rows:
            assert row.is_wordings
            found = SPELLED_OUT.search(row.query.instruction)
            goals = area.subject_goals + area.manner_goals
            if found:
                named += 1
                of_subject = found["by"] in ("be it", "whether")
                goals, values = (area.subject_goals, area.manners) if of_subject else (area.manner_goals, area.subjects)
                listed = re.split(", | or ", found["values"])
                assert 3 <= len(set(listed)) == len(listed) <= 6 and set(listed) <= set(values)
                assert found["values"] in row.positive.instruction
            end = row.query.instruction.split(" for ")[-1].rstrip(" :;")
            assert end in row.positive.instruction and any(goal in end for goal in goals)
        assert named / len(rows) == pytest.approx(NAMED_SHARE, abs=0.06)
    assert of_area(AREAS[0], ["few"], [POSTS], 0) is None


def test_evaluation_texts_are_in_none_of_them(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [(f"this is the forum post number {n}", str(n % 3)) for n in range(300)]
    (folder / "test.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text, _ in rows[:150]))
    posts = task("classification", rows, POSTS.query_instruction)
    made = [t for t in with_wordings([posts], 0, EvaluationTexts([folder])) if t.kind == "ready"]
    used = {row[0].query.text for t in made for row in t.rows}
    assert used == {text for text, _ in rows[150:]}
    of_all = {row[0].query.text for t in with_wordings([posts], 0) for row in t.rows if t.kind == "ready"}
    assert of_all & {text for text, _ in rows[:150]}


def test_a_side_that_is_null_is_no_text():
    """Neither here nor where other tasks are made of texts."""
    null = [(None, positive, ()) for _, positive, _ in ANSWERS.rows] + [
        (query, None, ()) for query, _, _ in ANSWERS.rows
    ]
    answers = task("pairs", null, ANSWERS.query_instruction, ANSWERS.document_instruction)
    posts = task("classification", [*POSTS.rows, *[(None, "1")] * 2000], POSTS.query_instruction)
    made = [*with_wordings([answers, posts], 0), *with_similarity([answers, posts], 0)]
    names = {t.name for t in made if t not in (answers, posts)}
    assert {"wordings_x", "likeness_x", "wordings_of_tweet_criteria"} <= names
    texts = [row[0].query.text if t.kind == "ready" else row[0] for t in made for row in t.rows if t.name != "x"]
    assert len(texts) > 1000 and not {"None", None} & set(texts)
    passages = [
        (None, " ".join(f"Sentence {n} of {i} has just about so many words that it is long." for n in range(8)), ())
        for i in range(200)
    ]
    facts = [(f"Land {s}: aspect {a}", None if a == 11 else "value", ()) for s in range(30) for a in range(12)]
    rows = [*passages, *facts, (None, None, ())]
    _, sentences, pages = with_passages([task("pairs", rows, "Represent the question: ", "Represent the text: ")], 0)
    assert len(sentences.rows) == 200 and pages.rows
    assert not any("None" in str(row) or "aspect 11" in str(row) for t in (sentences, pages) for row in t.rows)


def test_the_command_adds_them(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    entry = {
        "name": "posts",
        "kind": "classification",
        "file": "posts.jsonl",
        "licence_class": "open",
        "query_instruction": POSTS.query_instruction,
        "doc_instruction": POSTS.query_instruction,
    }
    (data / "manifest.json").write_text(json.dumps({"files": [entry]}))
    (data / "posts.jsonl").write_text("\n".join(json.dumps({"text": t, "label": x}) for t, x in POSTS.rows[:300]))
    assert main(["build", "--data", str(data), "--wordings", "--output", str(tmp_path / "m")]) == 0
    made = read_mixture(tmp_path / "m")
    tweets = [n for n, purpose in enumerate(PURPOSES) if purpose.texts == "tweet"]
    asked = {f"wordings_of_tweet_{n}" for n in [*tweets, "criteria"]}
    assert set(made.tasks) == {"posts", "wordings_posts", *asked}
    assert all(example.is_wordings for example in made.tasks["wordings_posts"])


def test_the_loss_is_the_distance_to_the_mean_of_both():
    first, second, third, fourth = (torch.randn(5, 4, generator=torch.Generator().manual_seed(n)) for n in range(4))
    first.requires_grad_()
    second.requires_grad_()

    def expected(a, b, known):
        a, b, c, d = (x.detach().numpy() / np.linalg.norm(x.detach().numpy(), axis=1)[:, None] for x in (a, b, *known))
        mean = (c + d) / np.linalg.norm(c + d, axis=1)[:, None]
        return 1 - ((a * mean).sum(1).mean() + (b * mean).sum(1).mean()) / 2

    loss = wordings_loss(first, second)
    assert loss.item() == pytest.approx(expected(first, second, (first, second)), rel=1e-5)
    loss.backward()
    mean = torch.nn.functional.normalize(first.detach(), dim=1) + torch.nn.functional.normalize(second.detach(), dim=1)
    again = first.detach().requires_grad_()
    (0.5 * (1 - torch.cosine_similarity(again, mean)).mean()).backward()
    torch.testing.assert_close(first.grad, again.grad)  # none through the mean
    known = wordings_loss(first, second, (third, fourth))
    assert known.item() == pytest.approx(expected(first, second, (third, fourth)), rel=1e-5)


def test_words_of_such_a_batch_stay_as_they_are(tiny):
    examples = wordings_mixture().tasks["wordings"][:8]
    assert kind_of(examples) == (True, False, False, True, ())
    collator = Collator(
        tiny.tokenizer, drop_instruction=0.5, vary_instruction=0.5, with_plain=True, with_reference=True
    )
    expected = tiny.tokenizer.encode_batch([e.query for e in examples] + [e.positive for e in examples])
    for seed in range(4):
        batch = collator(examples, 0, (seed, 1, 0))
        assert batch.wordings and not batch.similarity and batch.plain is None
        for texts in (batch.texts, batch.reference):
            assert [list(t.ids) for t in texts] == [list(t.ids) for t in expected]
    assert not collator([*examples, mixture().tasks["colour"][0]], 0, (0, 1, 0)).wordings


@pytest.mark.parametrize("kept", [False, True])
def test_training_makes_the_wording_change_less(tiny_folder, tmp_path, kept):
    made, _, texts = trainer_and_reference(tiny_folder, tmp_path, wordings_mixture(), kept)

    def of(encoder):
        encoder.model.eval()
        return [encoder.encode([InstructedText(i, t) for t in texts]) for i in (FIRST, SECOND)]

    def distance(a, b):
        return float(1 - (a * b).sum(1).mean())

    before = of(made.encoder)
    for _ in range(30):
        made.step()
    after = of(made.encoder)
    assert distance(*after) < 0.3 * distance(*before)
    mean = before[0] + before[1]
    mean /= np.linalg.norm(mean, axis=1)[:, None]
    assert not kept or distance(after[0], mean) < 0.5 * distance(before[0], mean)


def test_no_example_of_them_is_held_out():
    both = Mixture({**mixture().tasks, **wordings_mixture().tasks}, {})
    training, held_out = split(both, 5)
    assert set(held_out) == {"colour", "thing"} and len(training.tasks["wordings"]) == 60
