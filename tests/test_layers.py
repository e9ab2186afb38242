"""Imports go one way, the base import is light, and --help answers at once."""

import ast
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

ROOMS = ("ingest", "train", "eval", "ui")
# Inside the library a module may import from its own layer and from those before it.
LAYERS = [
    {"errors", "instructions", "instruction_library", "records", "files"},
    {"encoder"},
    {"store"},
    {"search"},
    {"in_context", "integrations"},
    {"commands"},
    {"__main__", "__init__"},
]


def imports_of(path):
    """Every module that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def layer_of(module):
    part = module.split(".")[1] if "." in module else "__init__"
    return next(i for i, names in enumerate(LAYERS) if part in names)


def test_rooms_do_not_import_one_another():
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            tops = {name.split(".")[0] for name in imports_of(path)}
            assert not tops & (set(ROOMS) - {room}), f"{path} imports another room"


def test_the_library_imports_no_room_and_only_lower_layers():
    checked = 0
    for path in (ROOT / "instructor_search").rglob("*.py"):
        own = "instructor_search." + path.relative_to(ROOT / "instructor_search").parts[0].removesuffix(".py")
        for name in imports_of(path):
            assert name.split(".")[0] not in (*ROOMS, "tests"), f"{path} imports {name}"
            if name.startswith("instructor_search."):
                checked += 1
                assert layer_of(name) <= layer_of(own), f"{path} ({own}) imports {name}"
    assert checked > 50


@pytest.mark.parametrize(
    "statement",
    [
        "import instructor_search",
        "import ingest.cli",
        "import instructor_search.commands.main",
        "import eval.cli",
        "import train.cli",
        "import ui.app",
    ],
)
def test_imports_are_light(statement):
    heavy = (
        "('torch', 'lancedb', 'faiss', 'gradio', 'datasets', 'transformers', 'accelerate', 'pyarrow', 'numpy', 'mteb')"
    )
    code = f"import sys; {statement}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_resolve():
    import instructor_search

    for name in instructor_search.__all__:
        assert getattr(instructor_search, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = instructor_search.nothing


@pytest.mark.parametrize(
    "command",
    [["ingest"], ["instructor_search"], ["ui.app"], ["eval"], ["eval", "compare"], ["eval", "report"], ["eval", "runs"]]
    + [
        ["instructor_search", c]
        for c in ("search", "collections", "views", "instructions", "delete", "verify", "prompt", "annotate", "ingest")
    ],
    ids=" ".join,
)
def test_help_answers_in_half_a_second(command):
    seconds = []
    for _ in range(3):  # the best of three: the machine may be busy
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", *command, "--help"], capture_output=True, cwd=ROOT, check=True)
        seconds.append(time.perf_counter() - started)
    assert b"usage: python -m" in done.stdout
    assert min(seconds) < 0.5
