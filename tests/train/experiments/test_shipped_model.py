"""python -m train.experiments.shipped_model: the stages are those of the lab's notes, and each is run once."""

import pytest

from tests.conftest import ROOT
from train.experiments import average, mean_shift, shipped_model
from train.experiments.shipped_model import main

LAB = ROOT / "docs/lab"


@pytest.fixture
def started(monkeypatch):
    """What the stages were started with; each writes a folder, and fails where it is told to."""
    started = []

    def stand_in(name):
        def run(argv):
            started.append((name, argv))
            (output := shipped_model.Path(argv[argv.index("--output") + 1])).mkdir()
            return 1 if "e1" in output.name and len(started) == 2 else 0

        return run

    monkeypatch.setattr(mean_shift, "main", stand_in("mean_shift"))
    monkeypatch.setattr(average, "main", stand_in("average"))
    return started


def test_stages_are_those_of_the_notes(capsys):
    assert main(["default", "--mixture", "DIR", "--output", "runs", "--dry-run"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 5
    notes = "\n".join(path.read_text(encoding="utf-8") for path in sorted(LAB.glob("*.md")))
    for line in shown[:-1]:
        assert f"    {line}\n" in notes, line
    assert (
        "    python -m train.experiments.average runs/k --half --output MODEL\n" in notes
    )  # there named by the reader


def test_a_run_goes_on_after_the_stage_that_failed(tmp_path, started, capsys):
    arguments = ["m", "--mixture", "DIR", "--output", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".e1.part", "e3"]
    assert main(arguments) == 0
    assert [name for name, _ in started] == [
        "mean_shift",
        "mean_shift",
        "mean_shift",
        "average",
        "mean_shift",
        "average",
    ]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["e", "e1", "e3", "k", "model"]
    capsys.readouterr()
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("# done") == 5 and len(started) == 6
