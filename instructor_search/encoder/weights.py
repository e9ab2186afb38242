"""Reads the weights of a model folder as NumPy arrays: what a graph is made of, with no need of torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from instructor_search.encoder.checkpoint import Checkpoint, weight_file
from instructor_search.errors import MissingExtraError, ModelError

_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_PREFIXES = ("bert.", "roberta.", "distilbert.", "mpnet.", "electra.", "transformer.encoder.", "model.")


def read_tensors(folder: Path, *, allow_pickle: bool = False) -> dict[str, np.ndarray]:
    """Return the floating-point tensors of a folder by name, float32; second names of a matrix are as in the file.

    Raises:
        ModelError: the weights are missing or damaged, or a pickle that was not asked for.
    """
    path = weight_file(folder, allow_pickle=allow_pickle)
    if path.suffix == ".bin":
        return _read_pickle(path)
    tensors: dict[str, np.ndarray] = {}
    for part in _parts(path):
        tensors.update(_read_safetensors(part))
    return tensors


def backbone_tensors(checkpoint: Checkpoint, *, allow_pickle: bool = False) -> dict[str, np.ndarray]:
    """Return the backbone's tensors without the prefix that some folders put before every name."""
    tensors = read_tensors(checkpoint.transformer_folder, allow_pickle=allow_pickle)
    for prefix in _PREFIXES:
        if any(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _parts(path: Path) -> Iterator[Path]:
    if not path.name.endswith(".index.json"):
        yield path
        return
    for name in sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())):
        yield path.parent / name


def _read_safetensors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, float32 array); float32 ones are the mapped file, read when they are used (copied where written).

    bfloat16, which NumPy lacks, is the upper half of a float32. The format: the header's size (8 bytes), the header
    (JSON: type, shape and place of each tensor), the values.
    """
    try:
        with safe_open(path, framework="numpy"):  # checks that header and file fit together
            pass
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
        values = np.memmap(path, dtype=np.uint8, mode="c", offset=8 + size)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"cannot load the weights of {path}: {str(error)[:200]}") from error
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in _TYPES:
            continue  # position counters
        start, end = entry["data_offsets"]
        array = np.frombuffer(values[start:end], dtype=_TYPES[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        yield name, array.astype(np.float32, copy=False)


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    import pickle

    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "torch", f"reading {path.name}, a pickle") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path} holds more than weights, or is damaged: not loaded") from error
    return {name: value.float().numpy() for name, value in state.items() if value.is_floating_point()}
