"""Published MTEB scores of all-MiniLM-L6-v2, found again through our harness on the same test data."""

import pytest

from eval.cli import main
from eval.runs import find_run
from eval.table import PUBLISHED_MODELS, published
from tests.conftest import ROOT

DATA = ROOT.parent / "shared/data/eval"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the evaluation data is not here (../shared/data/eval)"),
]
PLACE = PUBLISHED_MODELS.index("sentence-transformers/all-MiniLM-L6-v2")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    output = tmp_path_factory.mktemp("runs")
    names = "SciFact,Banking77,STS12,STS13,STS14,STS15,SummEval"
    command = [
        "--suite",
        names,
        "--data",
        str(DATA),
        "--models",
        "all-MiniLM-L6-v2@none",
        "--output",
        str(output),
        "--quiet",
    ]
    assert main(command) == 0
    return find_run("all-MiniLM-L6-v2@none", output)


@pytest.mark.parametrize("name", ["SciFact", "Banking77", "STS12", "STS13", "STS14", "STS15"])
def test_within_half_a_point(run, name):
    expected = published(run.results[name].facts["published_name"])[PLACE]
    assert 100 * run.results[name].score == pytest.approx(expected, abs=0.5)


def test_summeval_is_near_when_computed_as_published(run):
    """The published number averages rho with its p-value; this copy of the texts is lower-cased and tokenised."""
    (note,) = run.results["SummEval"].facts["notes"]
    value = float(note.rsplit("would be ", 1)[1].split()[0])
    assert value == pytest.approx(published("SummEval")[PLACE], abs=1.0)
