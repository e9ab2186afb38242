"""lancedb in a third of its import time: without the client of remote catalogues, and without checks of its classes.

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
        made = _Deferred(name, (), {"__module__": self.__name__})
        setattr(self, name, made)
        return made


class _Finder(MetaPathFinder, Loader):
    """Finds the stand-in for all modules of the packages but those that are loaded."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in _CATALOGUES:
            return None
        return spec_from_loader(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def _deferring() -> Iterator[None]:
    spec = find_spec("lance_namespace")
    if spec is None or spec.origin is None or any(name in sys.modules for name in ("lancedb", "overrides", *_CATALOGUES)):
        yield
        return
    finder = _Finder()
    unchecked: Any = sys.modules.setdefault("overrides", _StandIn("overrides"))
    unchecked.EnforceOverrides, unchecked.override = object, lambda method: method
    sys.meta_path.insert(0, finder)
    try:
        errors = spec_from_file_location("lance_namespace.errors", Path(spec.origin).with_name("errors.py"))
        assert errors is not None and errors.loader is not None
        module = sys.modules["lance_namespace.errors"] = module_from_spec(errors)
        errors.loader.exec_module(module)
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n, module in sys.modules.items() if isinstance(module, _StandIn)]:
            del sys.modules[name]


os.environ.setdefault("LANCEDB_LOG", "error")  # read when lancedb is imported; its warnings are not for our users
with _deferring():
    import lancedb
    from lancedb.index import FTS, HnswSq
    from lancedb.query import MatchQuery
    from lancedb.table import Table

__all__ = ["FTS", "HnswSq", "MatchQuery", "Table", "lancedb"]
