"""Mining against a plain double loop."""

import json

import numpy as np
import pytest

from instructor_search.instructions import InstructedText
from train import hard_negatives
from train.examples import TrainingExample, read_mixture
from train.hard_negatives import main, mine


class Known:
    """Gives each text the vector that was drawn for it."""

    def __init__(self, seed=0):
        self.rng, self.vectors = np.random.default_rng(seed), {}

    def encode(self, texts):
        for text in texts:
            if text not in self.vectors:
                self.vectors[text] = self.rng.normal(size=6).astype(np.float32)
        return np.stack([self.vectors[text] for text in texts])


def examples(count=40, positives=25, labels=None):
    chance = np.random.default_rng(1)
    return [
        TrainingExample(
            InstructedText("q: ", f"query {i}"),
            InstructedText("d: ", f"text {chance.integers(positives)}"),
            (),
            str(chance.integers(labels)) if labels else None,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("labels", [None, 4])
@pytest.mark.parametrize(("first", "last", "margin", "num"), [(1, 50, 9.0, 1), (3, 8, 0.9, 2), (1, 5, 0.5, 1)])
def test_mining_equals_a_plain_double_loop(labels, first, last, margin, num):
    rows, encoder = examples(labels=labels), Known()
    found = mine(rows, encoder, first=first, last=last, margin=margin, num_negatives=num)

    def cosine(a, b):
        x, y = encoder.vectors[a].astype(float), encoder.vectors[b].astype(float)
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    for example, new in zip(rows, found, strict=True):
        distinct = {}
        for other in rows:
            distinct.setdefault(other.positive.text, other)
        ranked = sorted(distinct.values(), key=lambda o: -cosine(example.query, o.positive))
        allowed = [
            o.positive
            for o in ranked[first - 1 : last]
            if cosine(example.query, o.positive) <= margin * cosine(example.query, example.positive)
            and o.positive.text != example.positive.text
            and (labels is None or o.label != example.label)
        ]
        assert list(new.negatives) == allowed[:num]
        assert new._replace(negatives=()) == example


def test_no_right_answer_of_the_same_query_is_mined():
    rows = [
        TrainingExample(InstructedText(instruction, f"query {i}"), InstructedText("d: ", f"text {(5 * i + j) % 30}"))
        for i in range(6)
        for j in range(7)  # the last two are positives of the next query as well
        for instruction in ("q: ", "other: ")[: 2 if j < 2 else 1]
    ]
    right = {}
    for example in rows:
        right.setdefault(example.query, set()).add(example.positive.text)
    found = mine(rows, Known(), first=1, margin=1.0, num_negatives=4)
    assert sum(len(e.negatives) for e in found) > 40
    assert not any(n.text in right[e.query] for e in found for n in e.negatives)
    all_others = mine(rows, Known(), first=1, margin=1e9, num_negatives=99)
    near = [{n.text for n in e.negatives} for e in all_others if e.query == InstructedText("other: ", "query 0")]
    assert any({"text 2", "text 3"} <= texts for texts in near)  # under another instruction it is another query


def test_negatives_that_are_there_stay_behind():
    rows = examples()
    rows[0] = rows[0]._replace(negatives=(InstructedText("d: ", "given"),))
    assert mine(rows, Known(), first=1, margin=9.0)[0].negatives[-1].text == "given"


def test_the_command(tiny_folder, tmp_path, capsys):
    data = tmp_path / "data.jsonl"
    words = ["red car", "green tree", "blue boat", "old house", "fast train", "cold soup", "tall man", "loud song"]
    rows = [{"query": ["q: ", f"a {w}"], "pos": ["d: ", f"the {w} it is"], "neg": []} for w in words]
    data.write_text("\n".join(map(json.dumps, rows)))
    arguments = [str(data), "--output", str(tmp_path / "mined"), "--model", str(tiny_folder), "--ranks", "1", "8"]
    assert main([*arguments, "--margin", "2"]) == 0
    assert "of 8 examples have new negatives" in capsys.readouterr().out
    mixture = read_mixture(tmp_path / "mined")
    assert sum(len(e.negatives) for e in mixture.tasks["data"]) >= 6
    assert main(arguments) == 1 and "exists; choose another folder" in capsys.readouterr().err
    assert main([str(data), "--output", str(tmp_path / "x"), "--ranks", "9", "3"]) == 1
    assert "--ranks 9 3; expected FIRST from 1" in capsys.readouterr().err
    for option, value, words in (
        ("--num-negatives", "0", "--num-negatives 0; expected at least 1"),
        ("--margin", "0", "--margin 0.0; expected a finite number above 0"),
        ("--margin", "-0.5", "--margin -0.5; expected"),
        ("--margin", "nan", "--margin nan; expected"),
        ("--margin", "inf", "--margin inf; expected"),
    ):
        assert main([str(data), "--output", str(tmp_path / "x"), f"{option}={value}"]) == 1
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_tasks_stay_in_the_output_and_apart(tiny_folder, tmp_path):
    names = ["a/b", "../esc", "a b", "a-b-2", "plain"]
    rows = [
        {"query": ["q: ", f"a {i}"], "pos": ["d: ", f"{name} {i}"], "neg": [], "task_name": name}
        for name in names
        for i in range(3)
    ]
    data = tmp_path / "in/data.jsonl"
    data.parent.mkdir()
    data.write_text("\n".join(map(json.dumps, rows)))
    made = tmp_path / "made"
    assert main([str(data), "--output", str(made / "mined"), "--model", str(tiny_folder), "--ranks", "1", "3"]) == 0
    assert [p.name for p in made.iterdir()] == ["mined"]
    found = read_mixture(made / "mined")
    assert list(found.tasks) == ["a-b", "esc", "a-b-2", "a-b-2-2", "plain"]
    for name, examples_of in zip(names, found.tasks.values(), strict=True):
        assert [e.positive.text for e in examples_of] == [f"{name} {i}" for i in range(3)]


def test_many_positives_are_searched_through_an_index(monkeypatch):
    pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")
    rows, encoder = examples(count=3000, positives=2500), Known()
    exact = mine(rows, encoder, first=3, last=20, margin=0.9)
    built = []
    real = hard_negatives.FaissIndex.build
    monkeypatch.setattr(hard_negatives, "_EXACT", 500)
    monkeypatch.setattr(hard_negatives.FaissIndex, "build", lambda kind, v: built.append(kind) or real(kind, v))
    through = mine(rows, encoder, first=3, last=20, margin=0.9)
    assert built == ["ivf-pq"]
    assert np.mean([a.negatives == b.negatives for a, b in zip(exact, through, strict=True)]) > 0.85
