"""Int8 graphs on disk: shipped with a model, or made once a machine and kept by the encoder's fingerprint.

A graph is written to a folder of its own, which is renamed to its place when all is there: a run that is killed leaves
nothing that looks like a graph. A lock lets one process make it while the others wait.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock

from instructor_search.encoder.checkpoint import Checkpoint, max_positions
from instructor_search.encoder.tokenization import InstructedTokenizer
from instructor_search.errors import ModelError
from instructor_search.files import atomic_folder

GRAPH_VERSION = 3  # of how graphs are built and calibrated
_SHIPPED = "openvino-int8"
_NAME = "graph.xml"


class GraphSource(Protocol):
    """What a graph is made of and named by; an encoder has these parts."""

    name: str
    fingerprint: str
    checkpoint: Checkpoint
    tokenizer: InstructedTokenizer
    pad_id: int
    allow_pickle: bool


def cache_folder() -> Path:
    """Return where graphs are kept: INSTRUCTOR_SEARCH_CACHE, or the user's cache folder."""
    named = os.environ.get("INSTRUCTOR_SEARCH_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "instructor-search"


def int8_graph(source: GraphSource) -> Path:
    """Return the encoder's int8 graph: the one that its folder ships, the one kept, or one that is made now."""
    if ships_graph(source):
        return source.checkpoint.folder / _SHIPPED / _NAME
    folder = kept_folder(source)
    if not _is_whole(folder):
        sys.stderr.write(
            f"making the int8 graph of {source.name}, once on this machine (about 15 s for 22 M weights)\n"
        )
        export(source, folder)
    return folder / _NAME


def ships_graph(source: GraphSource) -> bool:
    """Whether the encoder's folder has its int8 graph, for this window and dialect, as graphs are built now."""
    shipped = source.checkpoint.folder / _SHIPPED
    wanted = {"fingerprint": source.fingerprint, "graph_version": GRAPH_VERSION}
    return _is_whole(shipped) and wanted.items() <= _facts(shipped).items()


def kept_folder(source: GraphSource) -> Path:
    """Return the folder in which this machine keeps the encoder's int8 graph."""
    return cache_folder() / "graphs" / f"{source.fingerprint}-int8-{GRAPH_VERSION}"


def export(
    source: GraphSource, folder: Path, *, passages: Sequence[str] | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Calibrate a model, write its int8 graph to ``folder``, and return what is known of it.

    ``passages``: texts to calibrate with instead of ``calibration.txt`` and docstrings.

    Raises:
        ModelError: the folder cannot be written, or holds something else; no graph can be built of the model.
    """
    from instructor_search.encoder.runtimes.openvino_runtime.calibration import calibration_texts

    if folder.exists() and any(folder.iterdir()) and not _is_whole(folder):
        raise ModelError(f"{folder} exists and holds no graph; choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if _is_whole(folder) and not overwrite:  # another process made it while this one waited
                return _facts(folder)
            for kind in ("part", "old"):  # of runs that were killed: who has the lock is alone
                for left in folder.parent.glob(f".{folder.name}.*.{kind}"):
                    shutil.rmtree(left, ignore_errors=True)
            with atomic_folder(folder, overwrite=True) as part:
                report = _write(source, part, calibration_texts(passages))
    except OSError as error:
        raise ModelError(
            f"cannot write the int8 graph to {folder} ({error.strerror or error}); set INSTRUCTOR_SEARCH_CACHE to a "
            "folder that can be written, or use --precision bf16"
        ) from error
    return report


def _write(source: GraphSource, folder: Path, texts: Sequence[Any]) -> dict[str, Any]:
    from instructor_search.encoder.runtimes.cpu import has_int8_products
    from instructor_search.encoder.runtimes.openvino_runtime._openvino import ov
    from instructor_search.encoder.runtimes.openvino_runtime.calibration import calibrate
    from instructor_search.encoder.runtimes.openvino_runtime.graph import GraphBuilder
    from instructor_search.encoder.runtimes.openvino_runtime.runtime import OpenVinoRuntime

    started = time.perf_counter()
    checkpoint, allow_pickle = source.checkpoint, source.allow_pickle
    tokenized = source.tokenizer.encode_batch(texts)
    held_out = tokenized[::8]
    calibrated_on = [t for number, t in enumerate(tokenized) if number % 8]
    quantization = calibrate(checkpoint, calibrated_on, source.pad_id, allow_pickle=allow_pickle)
    graph = GraphBuilder(checkpoint, quantization=quantization, allow_pickle=allow_pickle).build()
    ov.save_model(graph, folder / _NAME, compress_to_fp16=True)
    plain = GraphBuilder(checkpoint, allow_pickle=allow_pickle).build()
    longest = max_positions(checkpoint)
    exact = OpenVinoRuntime(plain, "fp32", source.pad_id, longest)
    ours = OpenVinoRuntime(folder / _NAME, "int8", source.pad_id, longest)
    pairs = [(runtime.embed([t], [[0]])[0]) for t in held_out for runtime in (exact, ours)]
    vectors = np.stack(pairs).reshape(len(held_out), 2, -1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    cosines = (vectors[:, 0] * vectors[:, 1]).sum(-1)
    report = {
        "model": source.name,
        "fingerprint": source.fingerprint,
        "precision": "int8",
        "graph_version": GRAPH_VERSION,
        "openvino": ov.__version__,
        "int8_products": has_int8_products(),  # else the cosines below are of sums cut at 16 bits
        "calibration_texts": len(calibrated_on),
        "held_out_texts": len(held_out),
        "mean_cosine_to_fp32": round(float(cosines.mean()), 6),
        "least_cosine_to_fp32": round(float(cosines.min()), 6),
        "seconds": round(time.perf_counter() - started, 1),
    }
    (folder / "facts.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    return report


def _facts(folder: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        return report
    except (OSError, ValueError):
        return {}


def _is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (_NAME, "graph.bin", "facts.json"))
