"""Which module of the project imports which, and where that goes in a circle."""

import ast
from collections import deque


def modules_below(root, packages):
    """Return module name -> file of ``packages``, which are folders of ``root``; a package is its ``__init__``."""
    found = {}
    for package in packages:
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path):
    """Yield the module and the names of every import of a file, also of those in functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: imports are absolute here"
            yield node.module, [alias.name for alias in node.names]


def import_graph(modules):
    """Return module -> modules of ``modules`` that it imports. ``from package import module`` is the module's import."""
    graph = {}
    for own, path in modules.items():
        named = (
            f"{module}.{name}" if f"{module}.{name}" in modules else module
            for module, names in imports_of(path)
            for name in names or [""]
        )
        graph[own] = {target for target in named if target in modules and target != own}
    return graph


def cycles(graph):
    """Return the circles of a graph as lists of modules, one for each group of modules that import one another."""
    found, seen = [], set()
    for start in sorted(graph):
        way = None if start in seen else _way_back(graph, start)
        if way:
            found.append(way)
            seen |= {module for module in graph if _leads(graph, start, module) and _leads(graph, module, start)}
    return found


def _way_back(graph, start):
    """Return the shortest way from a module to itself, both ends included; None where there is none."""
    ways = deque([[start]])
    visited = set()
    while ways:
        way = ways.popleft()
        for target in sorted(graph[way[-1]]):
            if target == start:
                return [*way, start]
            if target not in visited:
                visited.add(target)
                ways.append([*way, target])
    return None


def _leads(graph, start, end):
    visited, waiting = set(), [start]
    while waiting:
        for target in graph[waiting.pop()] - visited:
            visited.add(target)
            waiting.append(target)
    return end in visited
