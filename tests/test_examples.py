"""The examples of the docs run as they stand, and print what they promise."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

EXAMPLES = {
    "search_a_folder": [
        "100 documents, 128 chunks under 'Represent the document for retrieval: '",
        "Mercury (planet)",
        "Mercury (god)",
        "only under the second one: ",
    ],
    "add_texts": ["3 texts, 3 chunks", "again: 3 unchanged", "T-2  Signing in fails", "problems: []"],
    "build_a_prompt": ["login", "I cannot sign in any more.", "tokens, 2 examples"],
}


def test_every_example_is_run():
    assert {path.stem for path in (ROOT / "docs/examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(name, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / f"docs/examples/{name}.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    at = -1
    for line in EXAMPLES[name]:  # in this order
        at = done.stdout.find(line, at + 1)
        assert at >= 0, (line, done.stdout)
