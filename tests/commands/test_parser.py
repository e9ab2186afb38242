"""What all commands share."""

import subprocess
import sys

import pytest

from instructor_search.commands.parser import counted, failing_with_one_line
from tests.conftest import ROOT


def test_an_interrupt_while_a_compiled_module_starts_is_an_interrupt(capsys):
    """Its start then fails with an ImportError, of which the interrupt is the cause."""
    with failing_with_one_line() as outcome:
        raise ImportError("initialization failed") from KeyboardInterrupt()
    assert outcome.code == 130 and capsys.readouterr().err == "interrupted\n"
    with pytest.raises(ImportError, match="no module"), failing_with_one_line():
        raise ImportError("no module")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train.experiments.average", "default=abc", "default=0.5", "--output", "out"], "'default=abc'"),
        (["train.hard_negatives", "mixture", "--output", "out", "--ranks", "50", "5"], "50"),
    ],
)
def test_a_wrong_value_is_one_line_where_the_module_itself_was_started(tmp_path, arguments, said):
    """Its code is then of the module ``__main__``."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode in (1, 2) and line.startswith("error: ") and said in line, done.stderr


def test_a_number_and_its_noun():
    assert [counted(n, "file") for n in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
