"""Checkpoints that are whole or not there: written under another name, hashed, renamed; the newest whole one is found.

A checkpoint is a model folder (the loader, ingest and eval take it as it is) with the optimiser's state, the state of
the run, and ``complete.json``, which is written last and holds the hash of every other file.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructor_search.errors import InstructorSearchError
from instructor_search.files import atomic_folder, file_hash

if TYPE_CHECKING:
    from instructor_search.encoder.encoder import InstructorEncoder

_NAME = re.compile(r"checkpoint-(\d+)")
COMPLETE, STATE, OPTIMIZER = "complete.json", "trainer_state.json", "optimizer.pt"


class CheckpointError(InstructorSearchError):
    """A checkpoint that cannot be written or gone on from."""


def save(
    folder: Path, step: int, encoder: InstructorEncoder, optimizer: Mapping[str, Any], state: Mapping[str, Any]
) -> Path:
    """Write ``checkpoint-STEP`` into ``folder`` and return it. ``optimizer``: its state.

    Raises:
        CheckpointError: the disk is full, or the folder cannot be written; nothing is left of the attempt.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from instructor_search.encoder.saving import save_checkpoint
    from train.lora import ADAPTER, adapter_state, has_adapters, plain_state

    target = folder / f"checkpoint-{step}"
    for kind in ("part", "old"):  # of runs that were killed; with two dots: of the model in it
        for left in folder.glob(f".*checkpoint-*.{kind}"):
            shutil.rmtree(left, ignore_errors=True)
    backbone = encoder.model.backbone
    try:
        with atomic_folder(target, overwrite=True) as part:
            save_checkpoint(encoder, part, backbone_state=plain_state(backbone))
            if has_adapters(backbone):
                save_file(adapter_state(backbone), part / ADAPTER)
            torch.save(optimizer, part / OPTIMIZER)
            (part / STATE).write_text(json.dumps({"step": step, **state}, indent=1), encoding="utf-8")
            hashes = {str(p.relative_to(part)): file_hash(p) for p in sorted(part.rglob("*")) if p.is_file()}
            (part / COMPLETE).write_text(json.dumps({"step": step, "sha256": hashes}, indent=1), encoding="utf-8")
    except (OSError, RuntimeError, SafetensorError) as error:  # a full disk is any of the three
        raise CheckpointError(
            f"cannot write {target} ({str(error).strip().splitlines()[0][:160]}); the checkpoints before it are whole: "
            "make room and run again"
        ) from error
    return target


def is_complete(folder: Path) -> bool:
    """Whether all files of a checkpoint are there and have the hashes that were written last."""
    try:
        hashes = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))["sha256"]
        expected = hashes.items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return all((folder / name).is_file() and file_hash(folder / name) == value for name, value in expected)


def newest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a run's folder."""
    return next((path for _, path in reversed(_all(folder)) if is_complete(path)), None)


def _all(folder: Path) -> list[tuple[int, Path]]:
    """Return steps and folders of all checkpoints of a run, whole or not, by their steps."""
    return sorted((int(m[1]), p) for p in folder.glob("checkpoint-*") if (m := _NAME.fullmatch(p.name)))


def read_state(folder: Path) -> dict[str, Any]:
    """Return the state of the run at a checkpoint.

    Raises:
        CheckpointError: it is not whole.
    """
    if not is_complete(folder):
        raise CheckpointError(
            f"{folder} is no whole checkpoint (a file is missing or damaged); resume from another one"
        )
    state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return state


def keep_newest(folder: Path, count: int, step: int) -> None:
    """Delete all but the newest ``count`` checkpoints up to ``step``, of which one was just written.

    Later ones, of a run that went on from before them, stay and count for nothing: they may be damaged.
    """
    checkpoints = [path for number, path in _all(folder) if number <= step]
    for path in checkpoints[:-count]:
        shutil.rmtree(path, ignore_errors=True)
