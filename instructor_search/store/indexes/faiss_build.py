"""The build of FAISS that is installed: for CPUs or for GPUs, and not both."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from instructor_search.errors import MissingExtraError, StoreError


@cache
def faiss() -> ModuleType:
    """Return the module.

    Raises:
        MissingExtraError: it is not installed.
        StoreError: its builds for CPUs and for GPUs are both installed, and overwrite each other's files.
    """
    builds = _builds()
    if len(builds) > 1:
        raise StoreError(
            f"{' and '.join(builds)} are both installed and overwrite each other; uninstall them (pip uninstall "
            f"{' '.join(builds)}), then install one: pip install '.[faiss-cpu]' or '.[faiss-gpu]'"
        )
    try:
        import faiss as module
    except ImportError as error:
        raise MissingExtraError(
            "faiss-cpu", "faiss-cpu", "a FAISS index (faiss-gpu on machines with NVIDIA GPUs)"
        ) from error
    return module


@cache
def _builds() -> tuple[str, ...]:
    """Return which distributions of FAISS are installed."""
    installed = []
    for name in ("faiss-cpu", "faiss-gpu-cu12", "faiss-gpu"):
        with suppress(PackageNotFoundError):
            version(name)
            installed.append(name)
    return tuple(installed)
