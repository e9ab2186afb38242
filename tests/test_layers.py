"""Imports go one way, the base import is light, and --help answers at once."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.import_graph import cycles, import_graph, imports_of, modules_below

ROOMS = ("ingest", "train", "eval", "ui")
HEAVY = ("torch", "lancedb", "faiss", "gradio", "datasets", "transformers", "accelerate", "pyarrow", "numpy", "mteb")
# Inside the library a module may import from its own layer and from those before it.
LAYERS = [
    {
        "errors",
        "instructions",
        "instruction_library",
        "instruction_rule",
        "records",
        "files",
        "result_files",
        "renamed",
        "engines",
    },
    {"encoder", "chunking"},
    {"store"},
    {"search"},
    {"in_context", "integrations"},
    {"commands"},
    {"__main__", "__init__"},
]


def layer_of(module):
    part = module.split(".")[1] if "." in module else "__init__"
    return next(i for i, names in enumerate(LAYERS) if part in names)


def test_rooms_do_not_import_one_another():
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            tops = {name.split(".")[0] for name, _ in imports_of(path)}
            assert not tops & (set(ROOMS) - {room}), f"{path} imports another room"


def test_the_library_imports_no_room_and_only_lower_layers():
    checked = 0
    for path in (ROOT / "instructor_search").rglob("*.py"):
        own = "instructor_search." + path.relative_to(ROOT / "instructor_search").parts[0].removesuffix(".py")
        for name, _ in imports_of(path):
            assert name.split(".")[0] not in (*ROOMS, "tests"), f"{path} imports {name}"
            if name.startswith("instructor_search."):
                checked += 1
                assert layer_of(name) <= layer_of(own), f"{path} ({own}) imports {name}"
    assert checked > 50


def test_no_module_imports_itself_through_others():
    graph = import_graph(modules_below(ROOT, ("instructor_search", *ROOMS)))
    assert len(graph) > 100
    found = [" -> ".join(cycle) for cycle in cycles(graph)]
    assert not found, "import cycles: " + "; ".join(found)


@pytest.mark.parametrize(
    "line",
    ["from p.b import B", "def f():\n    import p.b", "if TYPE_CHECKING:\n    from p import b", "import p.b as other"],
)
def test_a_cycle_is_found_and_named(tmp_path, line):
    (tmp_path / "p").mkdir()
    for name, text in {"__init__": "", "a": line, "b": "import p.c", "c": "from p import a", "d": "import p.a"}.items():
        (tmp_path / "p" / f"{name}.py").write_text(text)
    graph = import_graph(modules_below(tmp_path, ["p"]))
    assert cycles(graph) == [["p.a", "p.b", "p.c", "p.a"]]
    graph["p.c"].clear()
    assert cycles(graph) == []


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
    code = f"import sys; {statement}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["instructor_search.store.view_encoder", "eval.sources"])
def test_what_is_loaded_meanwhile_loads_no_other(module):
    """A search loads its model beside the database; a list of tasks is there before mteb is."""
    code = f"import sys, {module}; print([m for m in ('lancedb', 'pyarrow', 'openvino', 'mteb') if m in sys.modules])"
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
def test_help_answers_at_once(command):
    """Nothing heavy is loaded for it: on a busy machine a time would say nothing."""
    code = (
        f"import runpy, sys; sys.argv = ['-m', '--help']; sys.argv[1:1] = {command[1:]}\n"
        f"try: runpy.run_module({command[0]!r}, run_name='__main__', alter_sys=True)\n"
        f"except SystemExit: sys.stderr.write(str([m for m in {HEAVY} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "usage: python -m" in done.stdout and done.stderr == "[]"
