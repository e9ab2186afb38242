"""Gradio's Blocks, held to files of the application: no other one comes in or goes out, whatever a value names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ui.own_folder import own_folder

_FILE_KEYS = {"path", "url"}


class OwnBlocks(gr.Blocks):
    """Blocks whose every function, whatever its components, takes and gives files of ``own_folder`` only.

    Gradio itself checks this only for an application that was launched, not for one that is mounted, and copies
    whatever a value names: a path of this machine, or an address that it then fetches.
    """

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        """As of ``gr.Blocks``, which calls it first with all values of a function.

        Raises:
            gr.Error: a value names a file that is not ours.
        """
        check_files(inputs)
        super().validate_inputs(block_fn, inputs)

    def validate_outputs(self, block_fn: Any, predictions: Any) -> None:
        """As of ``gr.Blocks``: what a function returned, before files in it are moved to where they are served.

        Raises:
            gr.Error: it names a file that is not ours.
        """
        check_files(predictions, out=True)
        super().validate_outputs(block_fn, predictions)


def check_files(value: Any, *, out: bool = False) -> None:
    """Refuse a value in which anything names a file that does not lie below ``own_folder``, links followed.

    ``out``: of a value that a function returns, only what Gradio takes for a file: a document's metadata may be alike.

    Raises:
        gr.Error: there is one.
    """
    if isinstance(value, dict):
        is_file = _is_file(value) if out else bool(_FILE_KEYS & value.keys())
        if is_file and not all(_is_ours(value[key]) for key in _FILE_KEYS & value.keys() if value[key] is not None):
            raise gr.Error("only files of this application can be used", print_exception=False)
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            check_files(item, out=out)


def _is_file(value: dict[Any, Any]) -> bool:
    meta = value.get("meta")
    return "path" in value and isinstance(meta, dict) and meta.get("_type") == "gradio.FileData"


def _is_ours(path: Any) -> bool:
    if not isinstance(path, str):
        return False
    folder = own_folder()
    try:
        return folder in Path(path).resolve().parents
    except (OSError, ValueError):  # a NUL byte, a loop of links
        return False
