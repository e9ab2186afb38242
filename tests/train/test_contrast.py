"""Tasks whose queries are ambiguous: what is made, and that their instructions are never taken away."""

import json
import random

from instructor_search.instructions import InstructedText
from train.collator import Collator, kind_of
from train.medi.contamination import EvaluationTexts
from train.medi.contrast import DOCUMENT_INSTRUCTION, shared_words, with_contrast, word_senses
from train.medi.sources import RawTask

TOPICS = [
    ("Mercury is the planet nearest to the sun.", "astronomy"),
    ("Mercury melts far below water.", "chemistry"),
    ("Mercury was the messenger of the gods.", "roman_mythology"),
    ("A comet has a tail.", "astronomy"),
    ("Which astronomy prize is there?", "history"),
    ("The planet of a label that says nothing.", "7"),
]
SENSES = [
    ("the police were notified (word: bark)", "bark: the outer skin of a tree", ("bark: the sound of a dog",)),
    ("only one sense (word: hoper)", "hoper: a person who hopes", ()),
]


def task(kind, rows, instruction="Represent the sentence for classifying its topic: "):
    return RawTask("x", kind, rows, instruction, instruction, "CC0", "here", symmetric=True)


def test_words_that_topics_share_get_the_instruction_of_one():
    made = shared_words(task("classification", TOPICS), 0)
    topic_of = {text: label.replace("_", " ") for text, label in TOPICS}
    assert {row[0] for row in made.rows} == {"mercury"}  # "planet": its other text has no topic that can be read
    assert len(made.rows) == 3 and made.name == "contrast_x" and made.document_instruction == DOCUMENT_INSTRUCTION
    for (word, positive, (negative,)), instruction in zip(made.rows, made.instructions, strict=True):
        assert topic_of[positive] in instruction and topic_of[negative] != topic_of[positive]
        assert word in positive.lower() and word in negative.lower()
    assert shared_words(task("classification", TOPICS), 0) == made


def test_senses_stand_in_the_instruction():
    made = word_senses(task("pairs", SENSES))
    assert made.rows == [("bark", *SENSES[0][1:])]
    assert "the police were notified" in made.instructions[0]


def test_only_tasks_that_allow_it_get_one():
    given = [
        task("classification", TOPICS),
        task("classification", TOPICS, "Represent the tweet for classifying its sentiment: "),
        task("pairs", SENSES),
        task("pairs", [("a question", "an answer", ())]),
    ]
    names = [(t.name, t.kind) for t in with_contrast(given, 0)]
    assert names == [
        ("x", "classification"),
        ("contrast_x", "pairs"),
        ("x", "classification"),
        ("x", "pairs"),
        ("contrast_x", "pairs"),
        ("x", "pairs"),
    ]


def test_a_row_without_a_query_or_text_gives_none():
    assert word_senses(task("pairs", [(None, *SENSES[0][1:]), *SENSES])).rows == [("bark", *SENSES[0][1:])]
    assert shared_words(task("classification", [*TOPICS, (None, "history")]), 0).rows


def test_evaluation_texts_are_in_no_instruction_and_in_no_row(tmp_path):
    held = ["The police were notified!", "Mercury melts far below water.", "a text that no row here holds"]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in held))
    other = ("the oak lost all of it (word: bark)", "bark: the sound of a dog", ("bark: the outer skin of a tree",))
    given = [task("pairs", [*SENSES, other]), task("classification", TOPICS)]
    for against, senses, topics in ((None, 2, 3), (EvaluationTexts([tmp_path]), 1, 2)):
        _, of_senses, _, of_topics = with_contrast(given, 0, against)
        assert len(of_senses.rows) == len(of_senses.instructions) == senses
        assert len(of_topics.rows) == topics
        made = [*of_senses.instructions, *(cell for row in of_topics.rows for cell in (row[1], *row[2]))]
        assert any(text.strip("!.").lower() in cell.lower() for text in held for cell in made) == (against is None)


def test_the_command_adds_them(tmp_path):
    from train.examples import read_mixture
    from train.medi.cli import main

    data = tmp_path / "data"
    data.mkdir()
    entry = {
        "name": "topics",
        "kind": "classification",
        "file": "topics.jsonl",
        "licence_class": "open",
        "query_instruction": "Represent the sentence for classifying its topic: ",
        "doc_instruction": "Represent the sentence for classifying its topic: ",
    }
    (data / "manifest.json").write_text(json.dumps({"files": [entry]}))
    lines = [json.dumps({"text": text, "label": label}) for text, label in TOPICS * 2]
    (data / "topics.jsonl").write_text("\n".join(lines))
    assert main(["build", "--data", str(data), "--contrast", "--output", str(tmp_path / "m")]) == 0
    mixture = read_mixture(tmp_path / "m")
    assert set(mixture.tasks) == {"topics", "contrast_topics"}
    assert kind_of(mixture.tasks["contrast_topics"]).decided and not kind_of(mixture.tasks["topics"]).decided


def test_instructions_that_decide_are_neither_dropped_nor_varied(tiny):
    from train.examples import TrainingExample

    made = shared_words(task("classification", TOPICS), 0)
    examples = [
        TrainingExample(
            InstructedText(i, row[0]),
            InstructedText(DOCUMENT_INSTRUCTION, row[1]),
            (InstructedText(DOCUMENT_INSTRUCTION, row[2][0]),),
        )
        for row, i in zip(made.rows, made.instructions, strict=True)
    ]
    for share in ({"drop_instruction": 1.0}, {"vary_instruction": 1.0}):
        collator = Collator(tiny.tokenizer, **share)
        kept = collator(examples, 1, (0, 0, 0))
        plain = collator(examples, 1, (0, 0, 0), kind_of(examples)._replace(decided=False))
        never = Collator(tiny.tokenizer)(examples, 1, (0, 0, 0))
        assert [t.ids for t in kept.texts] == [t.ids for t in never.texts] != [t.ids for t in plain.texts]


def test_texts_of_a_batch_are_paraphrased_one_by_one_only_when_asked(tiny):
    from train.examples import TrainingExample
    from train.wording import vary

    instruction = "Represent the medical question for retrieving articles: "
    examples = [
        TrainingExample(InstructedText(instruction, f"q {n}"), InstructedText(DOCUMENT_INSTRUCTION, f"p {n}"))
        for n in range(12)
    ]
    words = {}
    for apart in (False, True):
        collator = Collator(tiny.tokenizer, vary_instruction=1.0, paraphrase_per_example=apart)
        batch, again = (collator(examples, 0, (3, 1, 0)) for _ in range(2))
        assert [t.ids for t in batch.texts] == [t.ids for t in again.texts]
        second_half = collator(examples[6:], 0, (3, 1, 6))
        assert [t.ids for t in second_half.texts[:6]] == [t.ids for t in batch.texts[6:12]]
        words[apart] = {tuple(t.ids[: t.num_masked]) for t in batch.texts[:12]}
    assert len(words[False]) == 1
    assert len(words[True]) > 5
    forms = {vary(instruction, random.Random(seed)) for seed in range(300)}
    assert len(forms) > 100
    assert all(any(word in form for word in ("question", "query", "request")) for form in forms)
    goals = ("retrieving articles", "finding articles", "searching for articles", "looking up articles")
    assert sum(any(goal in form for goal in goals) for form in forms) > 0.7 * len(forms)
    assert len({goal for goal in goals for form in forms if goal in form}) == 4
    classes = [vary("Represent the tweet for classifying its mood: ", random.Random(seed)) for seed in range(500)]
    examples = [form for form in classes if "examples" in form or "demonstrations" in form]
    assert 0.05 < len(examples) / 500 < 0.2 and not any("examples" in form for form in forms)


def test_a_class_is_asked_for_in_other_ways_and_by_its_names():
    from train.examples import TrainingExample
    from train.wording import vary

    instruction = "Represent the tweet for classifying the mood it shows: "
    names = ("anger", "joy", "fear")
    plain = [vary(instruction, random.Random(seed)) for seed in range(500)]
    named = [vary(instruction, random.Random(seed), names) for seed in range(500)]
    assert any("grouping tweets by mood" in form for form in plain)
    assert any("finding tweets of the same mood" in form for form in plain)
    assert not any(name in form for form in plain for name in names)
    assert 50 < sum(all(name in form for name in names) for form in named) < 125  # 0.85 * 0.5 * 0.4 of them
    whether = [
        vary("Represent the claim for detecting whether it is true: ", random.Random(seed)) for seed in range(99)
    ]
    assert any("deciding whether it is true" in form for form in whether)
    assert all("whether it is true" in form for form in whether if " for " in form and "examples" not in form)

    def kind(*labels):
        texts = InstructedText(instruction, "a"), InstructedText(instruction, "b")
        return kind_of([TrainingExample(*texts, (), label) for label in labels])

    assert kind("joy", "anger", "joy").classes == ("anger", "joy")
    assert kind("joy", "joy").classes == kind("1", "2").classes == kind(None, None).classes == ()


def test_the_command_keeps_evaluation_texts_out_of_instructions(tmp_path):
    from train.examples import read_mixture
    from train.medi.cli import main

    rows = [(f"{sentence} (word: bark)", *SENSES[0][1:]) for sentence in ("the police were notified", "a loud one")]
    entry = {
        "name": "senses",
        "kind": "pair",
        "file": "senses.jsonl",
        "licence_class": "open",
        "query_instruction": "Q: ",
        "doc_instruction": "D: ",
    }
    for name, lines in (
        ("data/senses.jsonl", [{"query": query, "pos": positive, "neg": wrong} for query, positive, wrong in rows]),
        ("data/manifest.json", [{"files": [entry]}]),
        ("evaluation/test.jsonl", [{"text": "the police were notified"}]),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n".join(map(json.dumps, lines)))
    arguments = ["build", "--data", str(tmp_path / "data"), "--contrast", "--against", str(tmp_path / "evaluation")]
    assert main([*arguments, "--output", str(tmp_path / "m")]) == 0
    (made,) = read_mixture(tmp_path / "m").tasks["contrast_senses"]
    assert "a loud one" in made.query.instruction
