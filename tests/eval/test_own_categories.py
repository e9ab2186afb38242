"""Billboard and prompt retrieval against plain double loops."""

import json

import numpy as np
import pytest
from scipy.stats import kendalltau, pearsonr

from eval.records import EvalDataError
from eval.sources import BUNDLED, choose_source
from eval.tasks.billboard import max_cosine, read_folder, read_thumb
from eval.tasks.prompt_retrieval import _normal_program, program_similarity, rouge_l
from instructor_search.in_context.answers import read_label
from tests.eval.conftest import rows_of, write_rows

TASKS = {task.info.name: task for task in choose_source("bundled").tasks}


def test_billboard_is_pearson_of_the_largest_cosine(default_system, context, minilm):
    task = TASKS["PictureCaptions"]
    sides = default_system.sides(task.info)
    outcome = task.evaluate(default_system, sides, context)
    rows = rows_of(BUNDLED / "textgen/PictureCaptions/test.jsonl")
    best, human = [], []
    for row in rows:
        candidate = minilm.encode([(sides.query, row["candidate"])])[0].astype(float)
        best.append(max(float(candidate @ v) for v in minilm.encode([(sides.document, r) for r in row["references"]])))
        human.append(row["human_score"])
    assert outcome.scores["main_score"] == pytest.approx(pearsonr(best, human)[0], abs=1e-6)
    assert outcome.scores["kendall_tau"] == pytest.approx(kendalltau(best, human)[0], abs=1e-6)
    assert outcome.units.groups[0].num_units == 10  # drawn by picture, not by caption


def test_max_cosine_with_unequal_numbers_of_references():
    rng = np.random.default_rng(1)
    candidates, references, counts = rng.normal(size=(4, 5)), rng.normal(size=(9, 5)), [1, 4, 2, 2]
    expected, at = [], 0
    for candidate, count in zip(candidates, counts, strict=True):
        own = references[at : at + count]
        expected.append(max(c @ candidate / np.linalg.norm(c) / np.linalg.norm(candidate) for c in own))
        at += count
    assert max_cosine(candidates, references, counts) == pytest.approx(expected, abs=1e-12)


def test_relative_judgments_give_the_kendall_like_tau(default_system, context, tmp_path, minilm):
    folder = tmp_path / "textgen" / "Pairs"
    rows = rows_of(BUNDLED / "textgen/PictureCaptions/test.jsonl")
    write_rows(folder / "test.jsonl", rows)
    (folder / "meta.json").write_text(json.dumps({"metric": "Kendall-tau-like pairwise accuracy within an id"}))
    (task,) = choose_source(str(tmp_path)).tasks
    outcome = task.evaluate(default_system, task.info.sides("none"), context)
    agreed = counted = 0
    score = [max(float(minilm.encode(row["candidate"]) @ v) for v in minilm.encode(row["references"])) for row in rows]
    for i, first in enumerate(rows):
        for j, second in enumerate(rows):
            if i < j and first["id"] == second["id"] and first["human_score"] != second["human_score"]:
                counted += 1
                right = (score[i] > score[j]) == (first["human_score"] > second["human_score"])
                agreed += 1 if right else -1
    assert outcome.scores["main_score"] == pytest.approx(agreed / counted, abs=1e-12)
    assert outcome.units.score() == pytest.approx(agreed / counted, abs=1e-12)


def test_the_published_pair_of_files_is_read(tmp_path):
    folder = tmp_path / "mscoco"
    write_rows(folder / "mscoco_references.jsonl", [{"seg_id": "7", "set_id": 1, "refs": ["A cat.", "One cat."]}])
    judged = [{"SYS": "a", "seg_id": "7", "hyp": "A dog.", "human_score": 1.5}]
    write_rows(folder / "mscoco_THumB-1.0.jsonl", judged)
    assert read_folder(folder) == [
        {"id": "7", "references": ["A cat.", "One cat."], "candidate": "A dog.", "human_score": 1.5}
    ]
    write_rows(folder / "mscoco_THumB-1.0.jsonl", [judged[0] | {"seg_id": "8"}])
    with pytest.raises(EvalDataError, match="line 1: no references for segment '8'"):
        read_thumb(folder / "mscoco_references.jsonl", folder / "mscoco_THumB-1.0.jsonl")
    write_rows(folder / "mscoco_references.jsonl", [{"seg_id": "7", "refs": [text]} for text in ("A cat.", "A dog.")])
    with pytest.raises(EvalDataError, match="references.jsonl, line 2: the segment '7' stands there twice"):
        read_folder(folder)


def test_equal_human_scores_are_refused(default_system, context, tmp_path):
    rows = [{"references": ["a"], "candidate": c, "human_score": 3} for c in "ab"]
    write_rows(tmp_path / "textgen/Flat/test.jsonl", rows)
    (task,) = choose_source(str(tmp_path)).tasks
    with pytest.raises(EvalDataError, match="all human scores are 3"):
        task.evaluate(default_system, task.info.sides("none"), context)


def test_prompt_retrieval_is_label_agreement_of_the_nearest(default_system, context, minilm):
    task = TASKS["ToneOfMessage"]
    sides = default_system.sides(task.info)
    outcome = task.evaluate(default_system, sides, context)
    pool, test = (rows_of(BUNDLED / f"icl/ToneOfMessage/{s}.jsonl") for s in ("train", "test"))
    vectors = minilm.encode([(sides.document, r["input"]) for r in pool])
    shares, votes = [], []
    for row in test:
        order = np.argsort(-(vectors @ minilm.encode([(sides.query, row["input"])])[0]), kind="stable")[:8]
        labels = [pool[i]["output"] for i in order]
        shares.append(labels.count(row["output"]) / 8)
        votes.append(max(sorted(set(labels), key=labels.index), key=labels.count) == row["output"])
    assert outcome.scores["main_score"] == outcome.scores["label_agreement"] == pytest.approx(np.mean(shares))
    assert outcome.scores["knn_accuracy"] == pytest.approx(np.mean(votes))
    assert task.info.metric == "label_agreement"  # named as what it is: no language model was asked


def test_program_similarity_is_one_minus_edit_distance_over_tokens():
    assert program_similarity("tail -n 5 a.log", "tail -n 5 a.log") == 1.0
    # tokens: tail - n 5 a . log | tail - n 20 b . log : two substitutions of seven
    assert program_similarity("tail -n 5 a.log", "tail -n 20 b.log") == pytest.approx(1 - 2 / 7)
    assert program_similarity("ls", "rm") == 0.0


def test_rouge_l_by_hand():
    # common subsequence of stems "the cat sat" in 3 and 5 words: P = 3/5, R = 1
    assert rouge_l("the cat sat down quickly", "the cats sat") == pytest.approx(2 * 0.6 * 1 / 1.6)


def test_a_test_input_never_gets_its_own_copy(default_system, context, tmp_path):
    pool = [{"input": f"question number {i}", "output": "no"} for i in range(9)]
    pool.append({"input": "what is the capital of Peru", "output": "yes"})
    write_rows(tmp_path / "icl/Leak/train.jsonl", pool)
    write_rows(tmp_path / "icl/Leak/test.jsonl", [{"input": "What is the capital of  Peru", "output": "yes"}])
    (tmp_path / "icl/Leak/meta.json").write_text(json.dumps({"output_kind": "label"}))
    (task,) = choose_source(str(tmp_path)).tasks
    outcome = task.evaluate(default_system, task.info.sides("none"), context)
    assert outcome.scores["label_agreement"] == 0.0
    assert "1 test inputs stand in the pool too" in outcome.notes[0]


def test_a_pool_full_of_copies_leaves_fewer_examples_to_one_input_alone(default_system, context, tmp_path):
    pool = [{"input": "same", "output": "yes"}] * 9 + [{"input": f"other {i}", "output": "no"} for i in range(3)]
    write_rows(tmp_path / "icl/Copies/train.jsonl", pool)
    asked = [{"input": "same", "output": "no"}, {"input": "different", "output": "yes"}]
    write_rows(tmp_path / "icl/Copies/test.jsonl", asked)
    (tmp_path / "icl/Copies/meta.json").write_text(json.dumps({"output_kind": "label"}))
    (task,) = choose_source(str(tmp_path)).tasks
    outcome = task.evaluate(default_system, task.info.sides("none"), context)
    values = outcome.units.groups[0].arrays["values"]
    assert values[0] == 1.0  # the three that are left all say no
    assert 5 / 8 <= values[1] <= 1.0  # of eight, at most three say no
    assert "the pool has fewer than 8 examples for 1 inputs" in outcome.notes


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("not sure, but negative", ["no", "negative"], "negative"),
        ("locationally speaking: human", ["location", "human"], "human"),
        ("I think C++ it is", ["C", "C++"], "C++"),
        ("very negative.", ["negative", "very negative"], "very negative"),
        ("Positive, not negative", ["negative", "positive"], "positive"),
        ("nothing of that", ["yes", "no"], "nothing of that"),
    ],
)
def test_labels_are_read_as_whole_words(text, labels, expected):
    assert read_label(text, labels) == expected


def test_case_means_something_in_a_program():
    assert _normal_program("ls  -l . ;") == "ls -l ." != _normal_program("ls -L")


def test_equal_scores_do_not_favour_or_punish_positives(context):
    """With no knowledge at all reranking gives what chance gives."""
    from eval.specifications import SystemOptions, make_system

    system = make_system("random", "bundled", SystemOptions())

    def constant(sentences, batch_size=32, *, on_batch=None):
        return np.ones((len(sentences), 384), dtype=np.float32)

    system.encoder.encode = constant
    task = TASKS["MuseumQuestions"]
    score = task.evaluate(system, task.info.sides("none"), context).scores["main_score"]
    assert 0.3 < score < 0.7  # one positive of five: 0.46 by chance; 0.2 when it always comes last
