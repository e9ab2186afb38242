"""The modules of the encoder's room import one another in one direction."""

import ast
from graphlib import CycleError, TopologicalSorter

from tests.conftest import ROOT

ROOM = "instructor_search.encoder"


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path, modules):
    """The modules of the room that a file imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:  # a name of a package may be a module of it
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules else node.module for name in inner]
        yield from (name for name in names if name in modules)


def test_no_module_imports_itself_through_others():
    files = {module_name(path): path for path in (ROOT / ROOM.replace(".", "/")).rglob("*.py")}
    imports = {name: set(imports_of(path, files)) for name, path in files.items()}
    assert sum(map(len, imports.values())) > 20
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from None
