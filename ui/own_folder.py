"""The folder of this process's downloads: Gradio serves it, nobody else on the machine may read it, it ends with us."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def own_folder() -> Path:
    """Return the folder, made at the first call."""
    folder = os.environ.get("GRADIO_TEMP_DIR", "")
    if not folder.endswith(_mark()):
        folder = tempfile.mkdtemp(prefix="instructor-search-", suffix=_mark())
        os.environ["GRADIO_TEMP_DIR"] = folder
    return Path(folder).resolve()


def remove_own_folder() -> None:
    """Delete it; to be called at the end."""
    if os.environ.get("GRADIO_TEMP_DIR", "").endswith(_mark()):
        shutil.rmtree(os.environ.pop("GRADIO_TEMP_DIR"), ignore_errors=True)


def _mark() -> str:
    return f"-{os.getpid()}"
