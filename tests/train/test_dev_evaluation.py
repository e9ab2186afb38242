"""Scores on evaluation sets while training goes on are those of python -m eval."""

import json

import numpy as np
import pytest

from eval.cli import main as evaluate
from instructor_search import load_encoder
from tests.conftest import ROOT
from train.cli import main
from train.dev_evaluation import EvaluationSets


@pytest.mark.slow
def test_the_scores_are_those_of_eval(tiny_folder, tmp_path, capsys):
    sets = EvaluationSets(["sts", "reranking"], "bundled")
    scores = sets(load_encoder(str(tiny_folder), runtime="torch", device="cpu"))
    code = evaluate(
        [
            "--suite",
            "sts,reranking",
            "--data",
            "bundled",
            "--models",
            str(tiny_folder),
            "--json",
            "--output",
            str(tmp_path),
            "--runtime",
            "torch",
            "--quiet",
        ]
    )
    results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert code == 0 and scores.keys() == {*results, "average"}
    for name, result in results.items():
        assert scores[name] == pytest.approx(result["score"], abs=1e-6)
    by_category = {c: [r["score"] for r in results.values() if r["category"] == c] for c in ("sts", "reranking")}
    assert scores["average"] == pytest.approx(np.mean([np.mean(v) for v in by_category.values()]), abs=1e-6)


@pytest.mark.slow
def test_training_scores_on_them_and_keeps_the_best(tiny_folder, tmp_path, capsys):
    name = next((ROOT / "eval/bundled/sts").iterdir()).name
    arguments = [
        "--model_name_or_path",
        str(tiny_folder),
        "--output_dir",
        str(tmp_path / "run"),
        "--max_steps",
        "2",
        "--eval_steps",
        "1",
        "--eval_tasks",
        name,
        "--eval_data",
        "bundled",
        "--max_source_length",
        "32",
        "--per_device_train_batch_size",
        "4",
        "--tasks",
        "stdlib-signatures",
        "--json",
    ]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert {*report["scores"]} == {"before", "1", "2", "after"} and {*report["scores"]["after"]} == {name, "average"}
    assert report["best"]["score"] == max(report["scores"][s]["average"] for s in ("1", "2"))
    best = EvaluationSets([name], "bundled")(load_encoder(str(tmp_path / "run/best"), runtime="torch", device="cpu"))
    assert best["average"] == pytest.approx(report["best"]["score"], abs=1e-5)


def test_unknown_sets_are_told_before_training(tmp_path):
    with pytest.raises(ValueError, match="no nonsense in this data; there is: .*sts"):
        EvaluationSets(["nonsense"], "bundled")
    with pytest.raises(ValueError, match="eval_tasks: error: .*no-folder"):
        EvaluationSets(["sts"], str(tmp_path / "no-folder"))
