"""Training examples of a collection: judged hits, else titles and headings."""

import json
import shutil

import pytest

from instructor_search import Collection, Searcher
from instructor_search.instructions import InstructedText
from instructor_search.store.judgments import judge
from train.cli import main
from train.config import TrainConfig
from train.dev_evaluation import split
from train.examples import Mixture, TrainingExample
from train.from_collection import fitted, from_collection
from train.sampler import TaskBatchSampler

ASTRONOMY = "Represent the astronomy question: "


def test_titles_and_headings_of_a_collection(corpus_store):
    mixture = from_collection("corpus", str(corpus_store))
    rows = mixture.tasks["corpus"]
    found = {e.query.text: e.positive.text for e in rows}
    assert len(rows) > 40
    assert found["Mercury (planet) > Visits"].startswith("Mariner 10 flew past")  # its heading is not in the text
    assert not any("reviews.csv" in head for head in found)  # a row's number says nothing
    assert {e.query.instruction for e in rows} == {"Represent the question for retrieving supporting documents: "}
    assert {e.positive.instruction for e in rows} == {"Represent the document for retrieval: "}


@pytest.fixture
def collection(corpus_store, tmp_path):
    shutil.copytree(corpus_store / "corpus", tmp_path / "store" / "corpus")
    return Collection.open("corpus", tmp_path / "store")


def say(collection, count, relevant, query, instruction):
    """Judge ``count`` hits of a query; return their texts."""
    hits = Searcher(collection).search(query, mode="text", top_k=count)
    for hit in hits:
        judge(collection, collection.view(), hit.chunk_id, query=query, instruction=instruction, relevant=relevant)
    return [hit.text for hit in hits]


def test_judged_hits_come_before_titles(collection, tmp_path, capsys):
    good = say(collection, 12, True, "water", ASTRONOMY)
    say(collection, 3, False, "sun", ASTRONOMY)
    assert "corpus" in from_collection("corpus", str(tmp_path / "store")).tasks
    assert "12 hits of 'corpus' were judged relevant, 20 are needed" in capsys.readouterr().err
    say(collection, 9, True, "time", "")
    mixture = from_collection("corpus", str(tmp_path / "store"))
    (rows,) = mixture.tasks.values()
    assert list(mixture.tasks) == ["corpus-judgments"] and len(rows) == 21  # none for "sun": no relevant hit
    assert [e.query for e in rows[:12]] == [InstructedText(ASTRONOMY, "water")] * 12
    assert {e.positive.text for e in rows[:12]} == set(good)
    assert rows[12].query == InstructedText("", "time") and not rows[0].negatives


def test_what_was_judged_not_relevant_is_a_hard_negative(collection, tmp_path):
    hits = Searcher(collection).search("water", top_k=22)
    for number, hit in enumerate(hits):
        judge(collection, collection.view(), hit.chunk_id, query="water", instruction="", relevant=number > 1)
    (rows,) = from_collection("corpus", str(tmp_path / "store")).tasks.values()
    assert len(rows) == 20
    assert {n.text for e in rows for n in e.negatives} == {hits[0].text, hits[1].text}
    assert len({e.label for e in rows}) == 1  # so that no relevant hit of the same query counts as a negative


@pytest.mark.parametrize(
    ("queries", "hits", "processes", "options", "batch", "held_out"),
    [
        (24, 1, 1, {}, 22, 2),
        (24, 1, 2, {}, 11, 2),
        (24, 1, 1, {"per_device_train_batch_size": 8}, 8, 2),
        (24, 1, 1, {"eval_tasks": ("STS13",)}, 24, 0),
        (2, 11, 1, {}, 22, 0),  # each held-out hit would take eleven with it
        (2, 100, 1, {}, 32, 0),
        (10, 4, 1, {}, 24, 4),
        (400, 1, 2, {}, 32, 40),
        (20, 1, 64, {}, 32, 2),  # too few whatever the batch
    ],
)
def test_few_examples_make_a_smaller_batch(queries, hits, processes, options, batch, held_out, capsys):
    rows = [
        TrainingExample(InstructedText("q: ", f"query {q}"), InstructedText("d: ", f"text {q} {h}"))
        for q in range(queries)
        for h in range(hits)
    ]
    given, mixture = TrainConfig(**options), Mixture({"notes-judgments": rows}, {})
    config = fitted(given, mixture, processes)
    assert config.per_device_train_batch_size == batch
    count = 0 if config.eval_tasks else config.eval_examples
    training, apart = split(mixture, count)
    assert len(apart.get("notes-judgments", [])) == held_out
    told = capsys.readouterr().err
    assert ("is held out for scores" in told) == (config.eval_examples == 0)
    changed = batch != given.per_device_train_batch_size
    assert (f"--per_device_train_batch_size is {batch} instead of 32\n" in told) == changed
    if processes < 64:
        sizes = {name: len(examples) for name, examples in training.tasks.items()}
        assert TaskBatchSampler(sizes, batch * processes, 3).batch(2).rows.size == batch * processes


@pytest.mark.parametrize(("words", "count", "size", "scored"), [(24, 1, 22, True), (2, 10, 20, False)])
def test_a_run_on_few_judged_hits(words, count, size, scored, collection, tiny_folder, tmp_path, capsys):
    texts = collection.fetch(collection.chunks.search().select(["text"]).limit(words))
    for number in range(words):
        query = texts[number]["text"][:40] if count == 1 else ("water", "time")[number]
        assert len(say(collection, count, True, query, "")) == count
    arguments = [
        "--from_collection",
        "corpus",
        "--store",
        str(tmp_path / "store"),
        "--max_steps",
        "2",
        "--json",
        "--model_name_or_path",
        str(tiny_folder),
        "--output_dir",
        str(tmp_path / "run"),
    ]
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert f"corpus-judgments: {size} examples to train on: --per_device_train_batch_size is {size} instead" in told.err
    assert ("is held out" in told.err) != scored and bool(json.loads(told.out)["scores"]["after"]) == scored
    assert main(arguments) == 0  # the same batches: the run is known again
    assert json.loads(capsys.readouterr().out)["resumed_at"] == 2


def test_hits_of_one_query_alone_have_no_negatives(collection, tmp_path, capsys):
    hits = Searcher(collection).search("water", top_k=21)
    for number, hit in enumerate(hits):
        judge(collection, collection.view(), hit.chunk_id, query="water", instruction="", relevant=True)
        if number == 19:
            assert list(from_collection("corpus", str(tmp_path / "store")).tasks) == ["corpus"]
    assert "all to one query, and none not relevant: training on its titles" in capsys.readouterr().err
    judge(collection, collection.view(), hits[0].chunk_id, query="water", instruction="", relevant=False)
    assert list(from_collection("corpus", str(tmp_path / "store")).tasks) == ["corpus-judgments"]
