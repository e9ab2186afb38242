"""An encoder that remembers: vectors on disk by (encoder fingerprint, runtime, precision, instruction, text).

A text is embedded once under an instruction; a study with five paraphrased instructions embeds only what changed. Each
instruction has a folder with two files that only grow: ``vectors.f32`` (n, dim) and ``keys.bin`` (n 16-byte hashes of
texts). Vectors are written first, so a killed run leaves at most vectors without a key, which the next one cuts off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from instructor_search.instructions import InstructedText

if TYPE_CHECKING:
    from instructor_search.encoder.protocol import Encoder
    from instructor_search.encoder.tokenization import InstructedTokenizer

_KEY_BYTES = 16
_SLICE = 1024  # texts embedded between two writes: an interrupted run loses at most so many


class CachedEncoder:
    """Wraps an encoder; ``num_hits`` and ``num_misses`` count texts over its life."""

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        """Keep the vectors of ``encoder`` in a subfolder of ``folder`` that is named by what made them."""
        self.encoder = encoder
        self.folder = folder / f"{encoder.fingerprint}-{encoder.runtime}-{encoder.precision}-{encoder.dim}"
        self.num_hits = self.num_misses = 0

    @property
    def name(self) -> str:
        """Name of the wrapped encoder."""
        return self.encoder.name

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the wrapped encoder."""
        return self.encoder.fingerprint

    @property
    def runtime(self) -> str:
        """Runtime of the wrapped encoder."""
        return self.encoder.runtime

    @property
    def precision(self) -> str:
        """Precision of the wrapped encoder."""
        return self.encoder.precision

    @property
    def tokenizer(self) -> InstructedTokenizer:
        """Tokenizer of the wrapped encoder."""
        return self.encoder.tokenizer

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.encoder.dim

    @property
    def max_tokens(self) -> int:
        """Tokens of the window."""
        return self.encoder.max_tokens

    def load(self) -> None:
        """Nothing: the weights are loaded when a text is not found."""

    def encode(
        self,
        sentences: Sequence[InstructedText],
        batch_size: int | None = None,
        *,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return float32 vectors, (n, dim), as the encoder would; what is not known is embedded and kept."""
        vectors = np.empty((len(sentences), self.dim), dtype=np.float32)
        by_instruction: dict[str, list[int]] = {}
        for row, (instruction, _) in enumerate(sentences):
            by_instruction.setdefault(instruction, []).append(row)
        for instruction, rows in by_instruction.items():
            texts = [sentences[row][1] for row in rows]
            vectors[rows] = self._encode_texts(instruction, texts, batch_size, on_batch)
        return vectors

    def _encode_texts(
        self, instruction: str, texts: Sequence[str], batch_size: int | None, on_batch: Callable[[int], None] | None
    ) -> np.ndarray:
        shelf = _Shelf(self.folder, instruction, self.dim)
        keys = [text_key(text) for text in texts]
        known = shelf.read(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        self.num_hits += sum(key in known for key in keys)
        self.num_misses += len(missing)
        if on_batch and len(keys) > len(missing):
            on_batch(len(keys) - len(missing))
        order = sorted(missing, key=lambda key: -len(missing[key]))  # texts of like length go together
        for start in range(0, len(order), _SLICE):
            part = order[start : start + _SLICE]
            pairs = [InstructedText(instruction, missing[key]) for key in part]
            new = np.ascontiguousarray(self.encoder.encode(pairs, batch_size, on_batch=on_batch), dtype=np.float32)
            shelf.append(part, new)
            known.update(zip(part, new, strict=True))
        return np.stack([known[key] for key in keys]) if keys else np.empty((0, self.dim), dtype=np.float32)


class _Shelf:
    """The two files of one instruction."""

    def __init__(self, folder: Path, instruction: str, dim: int) -> None:
        name = hashlib.blake2b(instruction.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        self.folder = folder / name
        self.instruction = instruction
        self.dim = dim
        self.keys_file, self.vectors_file = self.folder / "keys.bin", self.folder / "vectors.f32"

    def read(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the vectors of those of ``keys`` that are known; a damaged one (zero, not finite) is not."""
        if not self.keys_file.is_file() or not self.vectors_file.is_file():
            return {}
        stored = self.keys_file.read_bytes()
        count = min(len(stored) // _KEY_BYTES, self.vectors_file.stat().st_size // (4 * self.dim))
        if not count:
            return {}
        places = {stored[i * _KEY_BYTES : (i + 1) * _KEY_BYTES]: i for i in range(count)}
        wanted = sorted({places[key] for key in keys if key in places})
        values = np.memmap(self.vectors_file, dtype=np.float32, mode="r", shape=(count, self.dim))[wanted]
        sound = {
            place: vector
            for place, vector in zip(wanted, values, strict=True)
            if np.isfinite(vector).all() and vector.any()
        }
        return {key: sound[places[key]] for key in keys if places.get(key) in sound}

    def append(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Add vectors, (n, dim), under their keys; other processes may do the same."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            (self.folder / "instruction.txt").write_text(self.instruction, encoding="utf-8", errors="replace")
            for path in (self.keys_file, self.vectors_file):
                path.touch()
            row_bytes = 4 * self.dim
            count = min(self.keys_file.stat().st_size // _KEY_BYTES, self.vectors_file.stat().st_size // row_bytes)
            _append(self.vectors_file, count * row_bytes, vectors.tobytes())
            _append(self.keys_file, count * _KEY_BYTES, b"".join(keys))


def _append(path: Path, size: int, data: bytes) -> None:
    """Write ``data`` at ``size``; what stood behind it was left by a run that was killed."""
    with path.open("r+b") as stream:
        stream.truncate(size)
        stream.seek(size)
        stream.write(data)


def text_key(text: str) -> bytes:
    """Return the 16-byte name of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
