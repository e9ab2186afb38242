"""A collection on a plane, under one or two instructions side by side.

t-SNE (van der Maaten and Hinton, JMLR 9, 2008; openTSNE's implementation, which is linear in the number of points) or
plain principal components. The second layout starts from the first and is then turned onto it (orthogonal Procrustes),
so that a point keeps its place where its neighbours do. Kept in the collection's folder until its vectors change.
"""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from instructor_search.encoder.protocol import to_unit_length
from instructor_search.errors import MissingExtraError, StoreError
from instructor_search.files import atomic_file
from instructor_search.instruction_rule import GivenInstruction, resolve
from instructor_search.instructions import InstructedText
from instructor_search.store.collection import Collection
from instructor_search.store.indexes.row_batches import vector_batches
from instructor_search.store.manifest import View
from instructor_search.store.view_encoder import load_view_encoder

METHODS = ("tsne", "pca")
FOLDER = "projections"
MAX_EMBEDDED = 5_000  # chunks that are embedded under an instruction that is no view
MAX_POINTS = 200_000
_KEPT = 8  # layouts of a collection
_COMPONENTS = 50  # t-SNE sees so many principal components: distances hardly change, and time does
_SEED = 42
_SPREAD = 9e-3  # standard deviation from which a second map starts; openTSNE warns of more than 0.01


class Layout(NamedTuple):
    """One plane. ``points``: float32 (n, 2), centred, most of them within -1 and 1."""

    label: str
    points: np.ndarray


@dataclass(frozen=True)
class Projection:
    """Chunks on one plane, or on two in the same order."""

    chunk_ids: tuple[str, ...]
    layouts: tuple[Layout, ...]
    method: str
    seconds: float
    from_cache: bool


class _Side(NamedTuple):
    """What is drawn: a view, or the chunks' texts under an instruction by the encoder of a view."""

    label: str
    view: View
    instruction: str | None  # None: the view's own vectors


def project(
    collection: Collection,
    *,
    views: Sequence[str] = (),
    instructions: Sequence[GivenInstruction] = (),
    method: str = "tsne",
    encoder: Callable[[View], Any] = load_view_encoder,
    told: Callable[[str], None] = lambda line: None,
    keep: bool = True,
) -> Projection:
    """Return where each chunk lies under the named ``views`` and then ``instructions``, two of them at most.

    None named: the default view. ``encoder`` opens the encoder of a view; ``told`` hears what is being done; ``keep``:
    the layouts are kept in the collection's folder.

    Raises:
        ValueError: more than two sides, an unknown method, or too many chunks.
        StoreError: there is no such view, or fewer than three chunks have vectors in all of them.
        MissingExtraError: openTSNE is not installed.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    sides = _sides(collection, views, instructions)
    path = collection.folder / FOLDER / f"{_key(collection, sides, method)}.npz"
    started = time.perf_counter()
    kept = _read(path, sides, method)
    if kept is not None:
        return kept
    told("reading vectors")
    ids, matrices = _vectors(collection, sides, encoder, told)
    layouts: list[np.ndarray] = []
    for side, vectors in zip(sides, matrices, strict=True):
        told(f"laying out {len(ids):,} chunks: {side.label}")
        layouts.append(_layout(vectors, method, layouts[0] if layouts else None))
    if keep:
        _write(path, ids, layouts)
    named = tuple(Layout(side.label, points) for side, points in zip(sides, layouts, strict=True))
    return Projection(tuple(ids), named, method, time.perf_counter() - started, from_cache=False)


def kept_projection(
    collection: Collection,
    *,
    views: Sequence[str] = (),
    instructions: Sequence[GivenInstruction] = (),
    method: str = "tsne",
) -> Projection | None:
    """Return what ``project`` would, if it is kept and still right; else None."""
    sides = _sides(collection, views, instructions)
    return _read(collection.folder / FOLDER / f"{_key(collection, sides, method)}.npz", sides, method)


def _sides(collection: Collection, views: Sequence[str], instructions: Sequence[GivenInstruction]) -> list[_Side]:
    named = [collection.view(name) for name in views] or ([] if instructions else [collection.view(None)])
    sides = [_Side(f"view {view.name}", view, None) for view in named]
    base = named[0] if named else collection.view(None)
    for given in instructions:
        instruction = resolve(given, "document", documents_under=base.document_instruction)
        known = collection.find_view(base.fingerprint, instruction)
        if known:
            sides.append(_Side(f"view {known.name}", known, None))
        else:
            sides.append(_Side(repr(instruction.strip()) if instruction else "no instruction", base, instruction))
    if len(sides) > 2:
        raise ValueError(f"{len(sides)} views and instructions; expected two at most")
    return sides


def _key(collection: Collection, sides: Sequence[_Side], method: str) -> str:
    """Return a name that another version of the table, or other sides, do not have."""
    side_keys = [[s.view.name, s.view.created, s.view.fingerprint, s.instruction] for s in sides]
    text = json.dumps([side_keys, method, collection.chunks.version, collection.manifest.created])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _vectors(
    collection: Collection, sides: Sequence[_Side], encoder: Callable[[View], Any], told: Callable[[str], None]
) -> tuple[list[str], list[np.ndarray]]:
    """Return the chunks that have a vector on all sides, and their unit vectors, (n, dim) a side."""
    count = collection.num_chunks()
    if count > MAX_POINTS:
        raise ValueError(f"{collection.name!r} has {count:,} chunks; expected at most {MAX_POINTS:,} on a map")
    vectors_by_side: list[dict[str, np.ndarray]] = []
    for side in sides:
        if side.instruction is None:
            vectors_by_side.append(_stored(collection, side.view))
        else:
            vectors_by_side.append(_embedded(collection, side, encoder, told, count))
    ids = sorted(set.intersection(*(set(vectors) for vectors in vectors_by_side)))
    if len(ids) < 3:
        raise StoreError(f"{len(ids)} chunks have vectors under what is to be drawn; expected at least 3")
    return ids, [np.stack([vectors[name] for name in ids]) for vectors in vectors_by_side]


def _stored(collection: Collection, view: View) -> dict[str, np.ndarray]:
    vectors: dict[str, np.ndarray] = {}
    for entries, block in vector_batches(collection.chunks, view):
        vectors.update(zip((name.decode() for name in entries["id"]), block, strict=True))
    return vectors


def _embedded(
    collection: Collection, side: _Side, encoder: Callable[[View], Any], told: Callable[[str], None], count: int
) -> dict[str, np.ndarray]:
    if count > MAX_EMBEDDED:
        raise ValueError(
            f"{collection.name!r} has {count:,} chunks; up to {MAX_EMBEDDED:,} are embedded for a map. Make a view of "
            f"this instruction: python -m ingest ... --instruction {side.instruction!r}"
        )
    told(f"embedding {count:,} chunks: {side.label}")
    rows = collection.fetch(collection.chunks.search().select(["id", "text"]).limit(max(count, 1)))
    texts = [InstructedText(side.instruction or "", row["text"]) for row in rows]
    vectors = to_unit_length(np.asarray(encoder(side.view).encode(texts), np.float32))
    return {row["id"]: vector for row, vector in zip(rows, vectors, strict=True)}


def _layout(vectors: np.ndarray, method: str, first: np.ndarray | None) -> np.ndarray:
    """Return points, float32 (n, 2); ``first``: the layout that they are to stay near."""
    components = _principal(vectors, min(_COMPONENTS, *vectors.shape))
    points = components[:, :2] if components.shape[1] > 1 else np.repeat(components, 2, axis=1)
    if method == "tsne" and len(vectors) > 6:
        points = _tsne(components, first)
    points = _scaled(points)
    return _turned(points, first) if first is not None else points


def _principal(vectors: np.ndarray, count: int) -> np.ndarray:
    """Return the first principal components, (n, count), by the covariance's eigenvectors; signs are fixed."""
    centred = vectors - vectors.mean(0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, np.argsort(-values)[:count]]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    points: np.ndarray = centred @ axes
    return points


def _tsne(components: np.ndarray, first: np.ndarray | None) -> np.ndarray:
    try:
        from openTSNE import TSNE
    except ImportError as error:
        raise MissingExtraError("openTSNE", "ui", "a map by t-SNE") from error
    start = components[:, :2] if first is None else first
    spread = 1e-4 if first is None else _SPREAD  # the former as openTSNE scales its own
    start = spread * start / max(float(start.std(0).max()), 1e-12)
    perplexity = min(30.0, (len(components) - 1) / 3)
    tsne = TSNE(
        perplexity=perplexity,
        initialization=np.ascontiguousarray(start, np.float64),
        random_state=_SEED,
        n_jobs=-1 if len(components) >= 5_000 else 1,  # threads that wait for one another cost more than they give
        negative_gradient_method="bh" if len(components) < 5_000 else "fft",
        early_exaggeration_iter=250 if first is None else 0,  # which would lay the points out anew
        n_iter=500 if len(components) < 20_000 else 350,
    )
    return np.asarray(tsne.fit(np.ascontiguousarray(components, np.float64)), np.float32)


def _scaled(points: np.ndarray) -> np.ndarray:
    """Return points around zero, 98 of 100 within -1 and 1."""
    points = points - np.median(points, axis=0)
    return (points / max(float(np.quantile(np.abs(points), 0.98)), 1e-9)).astype(np.float32)


def _turned(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Return points turned or mirrored as near as can be to ``onto`` (orthogonal Procrustes; Schoenemann 1966)."""
    left, _, right = np.linalg.svd(points.T @ onto)
    turned: np.ndarray = (points @ (left @ right)).astype(np.float32)
    return turned


def _read(path: Path, sides: Sequence[_Side], method: str) -> Projection | None:
    started = time.perf_counter()
    try:
        with np.load(path, allow_pickle=False) as kept:
            ids = tuple(kept["ids"].tolist())
            named = tuple(Layout(side.label, kept[f"layout_{at}"]) for at, side in enumerate(sides))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError):
        return None  # not there, or cut off: it is made again
    return Projection(ids, named, method, time.perf_counter() - started, from_cache=True)


def _write(path: Path, ids: Sequence[str], layouts: Sequence[np.ndarray]) -> None:
    """Keep layouts; the oldest go. A folder that cannot be written to costs the cache only."""
    arrays = {f"layout_{at}": layout for at, layout in enumerate(layouts)}
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with atomic_file(path) as part, part.open("wb") as stream:
            np.savez_compressed(stream, ids=np.array(ids), **arrays)  # type: ignore[arg-type]
        old = sorted(path.parent.glob("[!.]*.npz"), key=lambda p: p.stat().st_mtime)
        for one in old[:-_KEPT]:
            one.unlink(missing_ok=True)
