"""lancedb, imported without the client of remote catalogues and without checks of its classes.

That takes 1.3 s of CPU instead of 2.9, in every command that opens a collection (benchmarks/by_hand.py, on AVX2).

While lancedb is imported, ``lance_namespace`` is a stand-in whose names are looked up when they are first called or
asked for anything; its exceptions are the real ones, as lancedb catches them. ``overrides``, which only checks that the
methods of a class agree with those of its base, checks nothing. Afterwards whoever imports these packages gets them.
All of this project imports lancedb from here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_file_location, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

_CATALOGUES = ("lance_namespace", "lance_namespace_urllib3_client")


class _Deferred(type):
    """A class of the stand-in: used, it is the one of the package."""

    def _real(cls) -> Any:
        return getattr(import_module(cls.__module__), cls.__name__)

    def __call__(cls, *args: Any, **options: Any) -> Any:
        return cls._real()(*args, **options)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):  # of type hints, when lancedb's classes are made
            raise AttributeError(name)
        return getattr(cls._real(), name)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls._real())


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        deferred = _Deferred(name, (), {"__module__": self.__name__})
        setattr(self, name, deferred)
        return deferred


class _Finder(MetaPathFinder, Loader):
    """Finds the stand-in while ``deferring``; the exceptions, which exist once, always."""

    def __init__(self, errors: ModuleType) -> None:
        self.errors = errors
        self.deferring = True

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == self.errors.__name__ or (self.deferring and name.partition(".")[0] in _CATALOGUES):
            return spec_from_loader(name, self, is_package=name != self.errors.__name__)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.errors if spec.name == self.errors.__name__ else _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def _deferring() -> Iterator[None]:
    package = find_spec("lance_namespace")
    known = any(name in sys.modules for name in ("lancedb", "overrides", *_CATALOGUES))
    if known or package is None or package.origin is None:
        yield
        return
    finder = _Finder(_run(Path(package.origin).with_name("errors.py"), "lance_namespace.errors"))
    sys.meta_path.insert(0, finder)
    unchecked: Any = sys.modules.setdefault("overrides", _StandIn("overrides"))
    unchecked.EnforceOverrides, unchecked.override = object, lambda method: method
    try:
        yield
    finally:
        finder.deferring = False
        sys.modules.pop(finder.errors.__name__, None)
        for name in [n for n, module in sys.modules.items() if isinstance(module, _StandIn)]:
            del sys.modules[name]


def _run(path: Path, name: str) -> ModuleType:
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


os.environ.setdefault("LANCEDB_LOG", "error")  # read when lancedb is imported; its warnings are not for our users
with _deferring():
    import lancedb
    from lancedb.index import Bitmap, BTree, HnswSq, IvfRq
    from lancedb.table import Table

__all__ = ["BTree", "Bitmap", "HnswSq", "IvfRq", "Table", "lancedb"]
