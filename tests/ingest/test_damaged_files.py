"""Files that are damaged or made to do harm: one clear error, and the next file is read."""

import os
import zipfile

import pytest

from ingest.readers import ReadOptions
from ingest.readers.sandbox import Sandbox
from instructor_search.errors import ReaderError
from tests.conftest import ROOT
from tests.ingest.reading import CORPUS, read


def make_zip_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * (600 << 20))


def make_pdf_bomb(path):
    """A page whose content stream inflates to 3 GiB (a stream inside a stream)."""
    import zlib

    part = zlib.compress(b"\0" * (1 << 28), 9)
    compressor = zlib.compressobj(9)
    inner = b"".join(compressor.compress(b"BT (x) Tj ET " * (1 << 16)) for _ in range(3700)) + compressor.flush()
    del part
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(inner), inner),
    ]
    body = b"%PDF-1.4\n" + b"".join(b"%d 0 obj\n%s\nendobj\n" % (i, o) for i, o in enumerate(objects, 1))
    path.write_bytes(body + b"trailer << /Root 1 0 R /Size 5 >>\n%%EOF\n")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", os.urandom(4096), "binary data"),
        ("a.xyz", os.urandom(4096), "no reader for .xyz"),
        ("a.pdf", b"%PDF-1.4 truncated", "not a readable PDF"),
        ("a.pdf", b"", "not a readable PDF"),
        ("a.docx", b"not a zip", "not a zip container"),
        ("a.xlsx", b"PK\x03\x04 broken", "not a zip container"),
        ("a.epub", b"", "not a zip container"),
        ("a.json", b'{"a": ', "not JSON"),
        ("a.json", b"[" * 200_000, "not JSON|nested too deeply"),
        ("a.jsonl", b'{"text": "fine"}\n{"text": \n', "line 2: not JSON"),
        ("a.jsonl", b'{"a": ' * 100_000, "line 1: not JSON|its parser failed"),
        ("a.ipynb", b'{"cells": [1, 2]}', "its parser failed"),
        ("a.ipynb", b'{"cells": {}, "metadata": null}', "its parser failed"),
        ("a.parquet", b"PAR1 no", "not a readable parquet"),
        ("a.ipynb", b'{"nbformat": 4}', "not a notebook"),
        ("a.eml", b"\n\nno header at all", "no mail header"),
    ],
)
def test_damaged_files_are_one_clear_error(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ReaderError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    make_zip_bomb(tmp_path / "bomb.docx")
    assert (tmp_path / "bomb.docx").stat().st_size < 1 << 20
    with pytest.raises(ReaderError, match="unpacks to 629 MB"):
        read(tmp_path / "bomb.docx")


@pytest.mark.slow
def test_a_parser_that_needs_too_much_memory_dies_alone(tmp_path):
    make_pdf_bomb(tmp_path / "bomb.pdf")
    sandbox = Sandbox(memory_limit=1 << 30, silence_limit_seconds=20)
    with pytest.raises(ReaderError, match="died|memory|longer than|not a readable|failed"):
        for document in sandbox.read(tmp_path / "bomb.pdf", "bomb.pdf", ReadOptions()):
            assert not "".join(b.text for b in document.blocks)
            raise ReaderError("read as empty: not a readable text")  # reported as "no text in it" by ingest
    fine = CORPUS / "health/blood_pressure.pdf"
    assert len(list(sandbox.read(fine, "fine", ReadOptions()))) == 1  # and the next file is read
    sandbox.close()


def test_a_parser_that_hangs_is_stopped(tmp_path):
    sandbox = Sandbox(silence_limit_seconds=0.001)
    with pytest.raises(ReaderError, match="longer than"):
        list(sandbox.read(CORPUS / "legal/lease.docx", "lease", ReadOptions()))
    sandbox.silence_limit_seconds = 30
    assert list(sandbox.read(CORPUS / "legal/lease.docx", "lease", ReadOptions()))[0].title == "Lease of a shop"
    sandbox.close()


def test_the_time_limit_is_for_each_file(tmp_path, monkeypatch):
    """A child that has used its seconds on earlier files must not die on an innocent one."""
    import subprocess
    import sys

    code = (
        "import ingest.readers.sandbox as s, time; s.CPU_LIMIT_SECONDS = 1\n"
        "for _ in range(4):\n    s._limit_cpu(); t = time.process_time()\n    while time.process_time() < t + 0.8: pass\n"
        "print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "alive\n", done
