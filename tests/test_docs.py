"""The README and the docs are held to what the programs do."""

import contextlib
import io
import os
import re
import shlex

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTRUCTIONS = (ROOT / "docs/instructions.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+\.\d{4}")


def console_examples():
    """Yield (command, expected lines) of the console blocks of the README and of docs/instructions.md."""
    for block in re.findall(r"```console\n(.*?)```", README + INSTRUCTIONS, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, [line for line in output.splitlines() if line.strip()]


EXAMPLES = list(console_examples())


INGESTS = [e for e in EXAMPLES if "-m ingest" in e[0]]
SEARCHES = [e for e in EXAMPLES if "-m instructor_search search" in e[0]]


@pytest.fixture(scope="module")
def readme_store(tmp_path_factory):
    """A store made by the README's own commands, in their order; and what they printed."""
    from ingest.cli import main

    folder, printed = tmp_path_factory.mktemp("readme_store"), []
    before = os.getcwd()
    os.chdir(ROOT)
    try:
        for command, _ in INGESTS:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                assert main([*shlex.split(command)[3:], "--store", str(folder), "--quiet"]) == 0
            printed.append([x for x in out.getvalue().splitlines() if not x.startswith(("time:", "made:"))])
    finally:
        os.chdir(before)
    return folder, printed


def test_the_readme_has_the_quickstart():
    assert len(INGESTS) == 3 and len(SEARCHES) >= 6 and "BENCHMARK" not in README
    assert sum("search mercury" in command for command, _ in SEARCHES) == 2


def test_the_ingests_of_the_readme_print_what_it_shows(readme_store):
    assert readme_store[1] == [expected for _, expected in INGESTS]


@pytest.mark.parametrize(("command", "expected"), SEARCHES, ids=lambda v: v[29:90] if isinstance(v, str) else "")
def test_searches_of_the_readme_print_what_it_shows(command, expected, readme_store, capsys):
    from instructor_search.commands.main import main

    arguments = shlex.split(command)
    assert arguments[:3] == ["python", "-m", "instructor_search"]
    assert main([*arguments[3:], "--store", str(readme_store[0])]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [NUMBER.sub("#", line) for line in shown] == [NUMBER.sub("#", line) for line in expected]
    scores = [[float(x) for line in lines for x in NUMBER.findall(line)] for lines in (shown, expected)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)  # a CPU without int8 products computes in float32


def test_the_python_example_of_the_readme_runs(store, tmp_path, monkeypatch, capsys):
    code = next(c for c in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "Searcher" in c)
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})
    assert "Virus (biology)" in capsys.readouterr().out.splitlines()[0]


def test_numbers_of_the_readme():
    from instructor_search.instruction_library import LIBRARY

    assert f"lists {len(LIBRARY)} pairs" in README and f"lists {len(LIBRARY)} pairs" in INSTRUCTIONS
    files = [p for p in (ROOT / "corpus").rglob("*") if p.is_file()]
    assert f"{len({p.suffix for p in files})} formats" in README


def test_tree_of_the_readme_is_the_tree():
    for name in ("instructor_search", "ingest", "train", "eval", "ui", "tests", "benchmarks", "corpus", "docs"):
        assert (ROOT / name).is_dir() and f"{name}/" in README


def test_default_goal_names():
    makefile = (ROOT / "Makefile").read_text()
    for goal in re.findall(r"^    make ([\w-]+)", README, re.MULTILINE):
        assert f"\n{goal}:" in makefile
