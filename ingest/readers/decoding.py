"""Bytes to characters: finds a file's encoding, refuses binary data, opens it as a stream."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import IO

from instructor_search.errors import MissingExtraError, ReaderError

_SAMPLE = 1 << 18
_LEAST_TO_GUESS = 64  # bytes; fewer tell nothing, and the commonest old encoding is as good as any
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def detect_encoding(path: Path) -> str:
    """Return the encoding of a text file: its mark, UTF-8 if the whole file is valid, else a guess from a sample.

    Raises:
        ReaderError: it is binary data, or no encoding fits.
    """
    with path.open("rb") as stream:
        sample = stream.read(_SAMPLE)
        for mark, name in _BOMS:
            if sample.startswith(mark):
                return name
        if b"\0" in sample[:8192]:
            return _utf16_without_mark(sample[:8192])
        if _looks_binary(sample[:8192]):
            raise ReaderError("binary data, not text")
        stream.seek(0)
        if _is_utf8(stream) or _is_nearly_utf8(sample):
            return "utf-8"
    if len(sample) < _LEAST_TO_GUESS:
        return "cp1252"
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        raise MissingExtraError("charset-normalizer", "ingest", "reading text that is not UTF-8") from error
    best = from_bytes(sample, cp_exclusion=["utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_7"]).best()
    if best is None:
        raise ReaderError("binary data or an unknown text encoding")
    return best.encoding


def _is_nearly_utf8(sample: bytes) -> bool:
    """Whether it is UTF-8 with a damaged place or two: most of its longer characters are whole."""
    text = sample.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    whole = sum(ord(character) > 127 for character in text) - bad
    return whole >= 2 and bad <= max(1, whole // 10)


def _utf16_without_mark(sample: bytes) -> str:
    """Western text in UTF-16 has a zero in every other byte; anything else with zeros is binary."""
    half = len(sample) // 2
    for name, low, high in (("utf-16-le", sample[0::2], sample[1::2]), ("utf-16-be", sample[1::2], sample[0::2])):
        if half and high.count(0) > 0.6 * half and low.count(0) < 0.1 * half and not _looks_binary(low):
            return name
    raise ReaderError("binary data, not text")


def _looks_binary(sample: bytes) -> bool:
    control = sum(byte < 32 and byte not in (7, 8, 9, 10, 11, 12, 13, 27) for byte in sample)
    return control > 0.05 * max(len(sample), 1)


def _is_utf8(stream: IO[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while part := stream.read(1 << 20):
            decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def open_text(path: Path) -> IO[str]:
    """Open a text file in its encoding, line ends as they stand (so that spans count the file's own characters)."""
    return path.open("r", encoding=detect_encoding(path), errors="replace", newline="")


def read_all(path: Path, limit: int = 1 << 28, encoding: str = "") -> str:
    """Return the whole text of a file; ``encoding`` as declared, where it fits.

    Raises:
        ReaderError: it is larger than ``limit`` bytes, or binary.
    """
    size = path.stat().st_size
    if size > limit:
        raise ReaderError(f"{size / 1e6:.0f} MB; this format is read whole, up to {limit / 1e6:.0f} MB")
    if encoding:
        try:
            return path.read_bytes().decode(encoding)
        except (LookupError, UnicodeError):
            encoding = ""  # a wrong declaration: the bytes decide
    with open_text(path) as stream:
        return stream.read()
