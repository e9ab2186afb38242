"""Selectors and numbers of demonstrations as runs of their own, and the study of annotation."""

import json
import logging

import numpy as np
import pytest

from eval.example_selection import select_examples
from eval.studies import annotation
from instructor_search.in_context.choices import Selector
from instructor_search.in_context.neighbours import neighbour_graph
from instructor_search.in_context.vote_k import fast_vote_k
from instructor_search.records import Demonstration


def toy(num_pool=40, num_test=6, seed=0):
    rng = np.random.default_rng(seed)
    pool = [Demonstration(f"word{i % 7} thing{i}", "ab"[i % 2]) for i in range(num_pool)]
    test = [Demonstration(f"word{i}", "a") for i in range(num_test)]
    return pool, test, rng.normal(size=(num_pool, 5)), rng.normal(size=(num_test, 5))


@pytest.mark.parametrize("selector", list(Selector))
def test_every_selector_gives_k_distinct_and_none_that_is_forbidden(selector):
    pool, test, pool_vectors, test_vectors = toy()
    forbidden = [{i, 10, 20} for i in range(len(test))]
    found = select_examples(pool, test, pool_vectors, test_vectors, forbidden, selector, 4, 7)
    assert all(len(set(own)) == 4 and not set(own) & bad for own, bad in zip(found, forbidden, strict=True))
    assert found == select_examples(pool, test, pool_vectors, test_vectors, forbidden, selector, 4, 7)
    small = select_examples(pool[:3], test, pool_vectors[:3], test_vectors, [{0}] * len(test), selector, 4, 7)
    assert all(set(own) == {1, 2} for own in small)


def test_words_are_looked_up_in_silence(caplog):
    caplog.set_level(logging.DEBUG)
    pool, test, pool_vectors, test_vectors = toy()
    select_examples(pool, test, pool_vectors, test_vectors, [set()] * len(test), "text", 4, 0)
    assert not [record for record in caplog.records if record.name == "bm25s"]


def test_words_find_words_and_a_fusion_takes_from_both():
    pool, test, pool_vectors, test_vectors = toy()
    free: list[set[int]] = [set() for _ in test]
    words = select_examples(pool, test, pool_vectors, test_vectors, free, "text", 3, 0)
    assert [[p % 7 for p in own] for own in words] == [[i] * 3 for i in range(len(test))]
    both = select_examples(pool, test, pool_vectors, test_vectors, free, "hybrid", 10, 0)
    near = select_examples(pool, test, pool_vectors, test_vectors, free, "nearest", 40, 0)
    words = select_examples(pool, test, pool_vectors, test_vectors, free, "text", 40, 0)
    for own, dense, text in zip(both, near, words, strict=True):
        match = {
            p: 1 / (61 + rank)
            for rank, p in enumerate(text)
            if pool[p].input.split()[0] == pool[text[0]].input.split()[0]
        }
        scores = {p: 1 / (61 + dense.index(p)) + match.get(p, 0) for p in range(40)}
        assert own == sorted(scores, key=lambda p: (-scores[p], p))[:10]


def test_combinations_are_runs_side_by_side(cli, data, tmp_path, capsys):
    arguments = ["--data", data, "--output", tmp_path / "runs", "--json", "--quiet"]
    assert cli(["--suite", "all", "--selectors", "nearest,random", "--demonstrations", "8,2", *arguments]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [(r["label"], len(r["results"])) for r in runs] == [
        ("instructor-minilm", 3),
        ("instructor-minilm+demonstrations=2", 1),
        ("instructor-minilm+selector=random", 1),
        ("instructor-minilm+selector=random+demonstrations=2", 1),
    ]
    scores = [r["results"]["FileCommands"]["score"] for r in runs]
    assert scores[1] > scores[3] and len(set(scores)) == 4
    low, high = runs[1]["results"]["FileCommands"]["interval_95"]
    assert low < scores[1] < high
    assert cli(["--suite", "all", "--selectors", "nearest,random", "--demonstrations", "8,2", *arguments]) == 0
    assert [r["results"]["FileCommands"]["score"] for r in json.loads(capsys.readouterr().out)["runs"]] == scores


def test_combinations_leave_out_what_retrieves_no_examples(cli, tmp_path, capsys):
    arguments = ["--data", "bundled", "--output", tmp_path / "runs", "--json", "--quiet"]
    wanted = ["--suite", "MuseumQuestions,FileCommands", "--models", "bm25,random", "--selectors", "nearest,text"]
    assert cli([*wanted, *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(run["label"], sorted(run["results"])) for run in found["runs"]] == [
        ("bm25", ["MuseumQuestions"]),
        ("random", ["FileCommands", "MuseumQuestions"]),
        ("random+selector=text", ["FileCommands"]),
    ]
    assert found["broken"] == {}


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--selectors", "nearest,best"], 1, "--selectors names best; expected of nearest, mmr"),
        (["--demonstrations", "0"], 2, "'0' is not a whole number of at least 1"),
        (["--suite", "sts", "--selectors", "nearest,mmr"], 1, "are for prompt retrieval; none of its sets was chosen"),
    ],
)
def test_wrong_flags_are_one_line(cli, data, tmp_path, capsys, flags, code, said):
    words = [*(["--suite", "FileCommands"] if "--suite" not in flags else []), *flags, "--data", data]
    try:
        found = cli([*words, "--output", tmp_path / "runs", "--quiet"])
    except SystemExit as error:
        found = error.code
    err = capsys.readouterr().err.splitlines()
    assert found == code and said in err[-1] and err[-1].startswith("error: ")
    assert not list(tmp_path.rglob("details"))  # nothing was run before


def test_annotation_compares_vote_k_with_chance(cli, data, tmp_path, capsys, monkeypatch, default_system, context):
    monkeypatch.setattr(annotation, "ANNOTATED", 6)
    monkeypatch.setattr(annotation, "POOL_SIZE", 20)
    arguments = ["--data", data, "--output", tmp_path / "runs", "--json", "--quiet", "--demonstrations", "2"]
    assert cli(["--suite", "annotation", *arguments]) == 0
    (rows,) = json.loads(capsys.readouterr().out)["models"].values()
    row = rows["FileCommands"]
    assert row["metric"] == "program_similarity" and len(row["per_seed"]) == 5
    assert row["difference"] == pytest.approx(row["vote_k"] - row["random"]) == pytest.approx(np.mean(row["per_seed"]))
    assert row["interval_95"][0] <= row["difference"] <= row["interval_95"][1]
    # the first seed by hand
    from eval.sources import choose_source
    from eval.tasks.prompt_retrieval import copies_of, program_similarity

    task = next(t for t in choose_source(str(data)).tasks if t.info.name == "FileCommands")
    examples, sides = task.read(), default_system.sides(task.info)
    pool = default_system.embed([e.input for e in examples.pool], sides.document, context)
    asked = default_system.embed([e.input for e in examples.test], sides.query, context)
    generator = np.random.default_rng([42, 0])
    drawn = np.sort(generator.permutation(len(pool))[:20])
    ways = [drawn[fast_vote_k(neighbour_graph(pool[drawn]), 6)], generator.choice(drawn, 6, replace=False)]
    means = []
    for own in ways:
        values = []
        for vector, gold, copies in zip(asked, examples.test, copies_of(examples), strict=True):
            near = sorted((p for p in own if p not in copies), key=lambda p: -float(pool[p] @ vector))[:2]
            values.append(np.mean([program_similarity(examples.pool[p].output, gold.output) for p in near]))
        means.append(np.mean(values))
    assert row["per_seed"][0] == pytest.approx(means[0] - means[1], abs=1e-6)
