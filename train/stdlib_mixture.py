"""A mixture that needs no download: the functions and classes of this Python's standard library.

Three tasks: the description of a function with its code, its signature with its description (both asymmetric), and
descriptions of the same module (symmetric, labelled). The sources are parsed, never imported.
"""

from __future__ import annotations

import ast
import random
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from instructor_search.instructions import InstructedText
from train.examples import Mixture, TaskFacts, TrainingExample

DESCRIPTION_TO_CODE = (
    "Represent the description of a function for retrieving its Python code: ",
    "Represent the Python code for retrieving its description: ",
)
SIGNATURE_TO_DESCRIPTION = (
    "Represent the signature of a Python function for retrieving its description: ",
    "Represent the description of a Python function for retrieving its signature: ",
)
MODULE = "Represent the description of a Python function for classifying the module it belongs to: "
_SKIPPED = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "turtledemo",
    "__pycache__",
    "idle_test",
    "encodings",
    "pydoc_data",
    "ensurepip",
    "_pyrepl",
}
_MAX_CODE = 1200  # characters


class _Function(NamedTuple):
    module: str
    signature: str
    description: str
    code: str


def stdlib_mixture(seed: int = 0) -> Mixture:
    """Return the mixture, the same one for the same Python and seed."""
    functions = sorted(set(_functions(Path(sysconfig.get_paths()["stdlib"]))))
    random.Random(seed).shuffle(functions)
    code = [_pair(DESCRIPTION_TO_CODE, f.description, f.code) for f in _once(functions, "description") if f.code]
    signatures = [_pair(SIGNATURE_TO_DESCRIPTION, f.signature, f.description) for f in _once(functions, "description")]
    modules = list(_same_module(functions, seed))
    random.Random(seed).shuffle(modules)
    tasks = {"stdlib-code": code, "stdlib-signatures": signatures, "stdlib-modules": modules}
    return Mixture(tasks, {name: _facts(name, rows) for name, rows in tasks.items()})


def _functions(folder: Path) -> Iterator[_Function]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        if _SKIPPED & set(parts):
            continue
        try:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source)
        except (SyntaxError, ValueError, OSError):  # a file of another Python, or no UTF-8
            continue
        lines = source.splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                description = _first_paragraph(ast.get_docstring(node) or "")
                if len(description.split()) >= 5:
                    yield _Function(parts[0].removesuffix(".py"), _signature(node), description, _code(node, lines))


def _first_paragraph(docstring: str) -> str:
    return " ".join(docstring.strip().split("\n\n")[0].split())[:600]


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}({', '.join(ast.unparse(b) for b in node.bases)})"
    return f"def {node.name}({ast.unparse(node.args)})"


def _code(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, lines: list[str]) -> str:
    """Return the source without its docstring; nothing where there is no more than that."""
    first = node.body[0]
    rest = "\n".join(lines[(first.end_lineno or first.lineno) : node.end_lineno])
    head = "\n".join(lines[node.lineno - 1 : first.lineno - 1])
    return f"{head}\n{rest}"[:_MAX_CODE] if len(rest.split()) >= 8 else ""


def _once(functions: list[_Function], name: str) -> Iterator[_Function]:
    """Yield those whose ``name`` has not come before."""
    seen = set()
    for function in functions:
        value = getattr(function, name)
        if value not in seen:
            seen.add(value)
            yield function


def _same_module(functions: list[_Function], seed: int) -> Iterator[TrainingExample]:
    """Yield two descriptions of a module, with one of another module as the negative."""
    chance = random.Random(seed)
    modules: dict[str, list[str]] = {}
    for function in _once(functions, "description"):
        modules.setdefault(function.module, []).append(function.description)
    large = sorted(name for name, texts in modules.items() if len(texts) >= 20)
    for name in large:
        for text in modules[name][:200]:
            other = chance.choice([m for m in large if m != name])
            same = chance.choice([t for t in modules[name] if t != text])
            wrong = InstructedText(MODULE, chance.choice(modules[other]))
            yield TrainingExample(InstructedText(MODULE, text), InstructedText(MODULE, same), (wrong,), name)


def _pair(instructions: tuple[str, str], query: str, positive: str) -> TrainingExample:
    return TrainingExample(InstructedText(instructions[0], query), InstructedText(instructions[1], positive))


def _facts(name: str, rows: list[TrainingExample]) -> TaskFacts:
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    first = rows[0]
    same = first.query.instruction == first.positive.instruction
    return TaskFacts(
        name=name,
        file="",
        rows=len(rows),
        sha256="",
        licence="PSF-2.0",
        source=f"{version} standard library",
        symmetric=same,
        query_instruction=first.query.instruction,
        document_instruction=first.positive.instruction,
        kind="classification" if first.label else "pairs",
    )
