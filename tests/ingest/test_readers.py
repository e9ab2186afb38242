"""Every reader against a real file of its format, and against what goes wrong with it."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from ingest.discovery import SkippedPath, discover
from ingest.readers import ReadOptions, read_file, suffixes
from ingest.readers.sandbox import Sandbox
from instructor_search.errors import ReaderError
from tests.conftest import ROOT

CORPUS = ROOT / "corpus"


def read(path, **options):
    documents = []
    for document in read_file(path, f"root/{path.name}", ReadOptions(**options)):
        blocks = list(document.blocks)
        documents.append((document, blocks, "".join(b.text for b in blocks)))
    return documents


def one(path, **options):
    (found,) = read(path, **options)
    return found


# file of the corpus, number of documents, title of the first, words of its text, (heading path, words below it)
FORMATS = [
    ("encyclopedia/cell-prison.txt", 1, "cell-prison.txt", "six square metres", None),
    ("encyclopedia/mercury-planet.md", 1, "Mercury (planet)", "88 days", (("Mercury (planet)", "Visits"), "MESSENGER")),
    ("software/caching.rst", 1, "Caching guide", "time to live", (("Caching guide", "Keys"), "user's language")),
    ("health/asthma.html", 1, "Asthma: attack plan", "tight chest", (("Asthma: attack plan", "At once"), "ten puffs")),
    ("health/blood_pressure.pdf", 1, "High blood pressure in plain words", "calcium channel blockers", None),
    ("legal/lease.docx", 1, "Lease of a shop", "86 square metres", (("Lease of a shop", "1. Rent"), "1,450 euros")),
    ("office/quarterly_review.pptx", 1, "Quarterly review, spring 2024", "size table", (("Sales",), "18 percent")),
    ("office/plants.xlsx", 5, "Snake plant", "weeks without water", None),
    ("reviews/reviews.csv", 24, "reviews.csv row=1", "forget I am wearing them", None),
    ("support/tickets.tsv", 8, "Cannot sign in since the update", "token expired", None),
    ("bugs/bug_reports.jsonl", 16, "BUG-101", "process aborts", None),
    ("papers/papers.parquet", 12, "Deep residual networks for early detection of lung nodules", "94 percent", None),
    ("history/fables.epub", 1, "Three fables after Aesop", "sour anyhow", (("The Fox and the Grapes",), "ripe grapes")),
    ("mail/offer.eml", 1, "Offer for 40 office chairs", "189 euros", None),
    ("software/river_levels.ipynb", 1, "Water level of the river, 2023", "resample", None),
    ("software/retry.py", 1, "retry.py", "RateLimiter", (("retry",), "attempts")),
    ("software/deployment.yaml", 1, "deployment.yaml", "memory_mb", None),
]


@pytest.mark.parametrize(("name", "count", "title", "words", "section"), FORMATS, ids=[f[0] for f in FORMATS])
def test_formats(name, count, title, words, section):
    documents = read(CORPUS / name)
    document, blocks, text = documents[0]
    assert (len(documents), document.title) == (count, title)
    assert words in text
    if section:
        heading, inside = section
        assert any(b.heading == heading and inside in b.text for b in blocks), [b.heading for b in blocks]


def test_the_corpus_is_as_rich_as_it_says():
    files = [p for p in CORPUS.rglob("*") if p.is_file()]
    assert len({p.suffix for p in files}) >= 10 and len({p.parent for p in files}) >= 5
    assert sum(len(read(p)) for p in files) >= 60


def test_metadata_of_rows_pages_and_mail():
    document = read(CORPUS / "reviews/reviews.csv")[3][0]
    assert document.metadata == {"product": "Aria 200 headphones", "stars": 1, "sentiment": "negative"}
    assert document.row == 4
    assert document.document_id == "root/reviews.csv#row=4"
    _, blocks, _ = one(CORPUS / "health/blood_pressure.pdf")
    assert {b.page for b in blocks} == {1, 2} and any(b.page == 2 and "ACE inhibitors" in b.text for b in blocks)
    mail, _, text = one(CORPUS / "mail/outage.eml")
    assert mail.metadata["date"] == "2024-04-11T16:40:00+02:00" and "<p>" not in text
    sheet = read(CORPUS / "office/plants.xlsx")[1][0]
    assert sheet.metadata["price"] == 29 and sheet.metadata["sheet"] == "plants"


def test_hidden_parts_of_a_page_are_left_out():
    _, _, text = one(CORPUS / "health/sleep.html")
    assert "hidden advertisement" not in text and "Get up at the same hour" in text
    _, _, text = one(CORPUS / "encyclopedia/virus-biology.html")
    assert "track(" not in text and "Home" not in text and "margin" not in text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("Größe naïve".encode(), "Größe naïve"),
        (b"\xef\xbb\xbf" + "Größe".encode(), "Größe"),
        ("Größe und Maß".encode("utf-16"), "Größe und Maß"),
        (("Groesse " * 20).encode("utf-16-le"), "Groesse " * 20),
        (("Der Fluß trägt Schiffe über die Brücke. " * 10).encode("cp1252"), "Der Fluß trägt Schiffe über die Brücke."),
        (("Москва слезам не верит, говорят люди. " * 10).encode("cp1251"), "Москва слезам не верит"),
    ],
    ids=["utf-8", "utf-8 mark", "utf-16 mark", "utf-16 bare", "cp1252", "cp1251"],
)
def test_encodings(tmp_path, data, expected):
    (tmp_path / "a.txt").write_bytes(data)
    assert expected in one(tmp_path / "a.txt")[2]


def test_spans_count_the_file_s_own_characters(tmp_path):
    raw = "first\r\n\r\nsecond line\rthird\n\n\nfourth"
    (tmp_path / "a.txt").write_bytes(raw.encode())
    assert one(tmp_path / "a.txt")[2] == raw


def test_text_fields(tmp_path):
    (tmp_path / "a.csv").write_text("id;titel;inhalt\n007;One;Alpha; \n8;Two;Beta;\n")
    documents = read(tmp_path / "a.csv", text_fields=("inhalt",))
    assert [d[2] for d in documents][0] == "Alpha"
    assert documents[0][0].metadata == {"id": "007", "titel": "One"}  # a leading zero is no number
    with pytest.raises(ReaderError, match="no column nothing .*there is: id, titel, inhalt"):
        read(tmp_path / "a.csv", text_fields=("nothing",))
    whole = read(tmp_path / "a.csv")[0][2]
    assert whole == "id: 007\ntitel: One\ninhalt: Alpha"  # no column has a known name: all of them, named


def test_nested_json_and_lists(tmp_path):
    value = [{"text": "one", "author": {"name": "N", "age": 3}, "tags": ["a", "b"], "none": None}, "two"]
    (tmp_path / "a.json").write_text(json.dumps(value))
    documents = read(tmp_path / "a.json")
    assert [d[2] for d in documents] == ["one", "two"]
    assert documents[0][0].metadata == {"author.name": "N", "author.age": 3, "tags": "a, b"}


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


def test_deep_and_broken_html(tmp_path):
    (tmp_path / "deep.html").write_text("<div>" * 200_000 + "bottom" + "</div>" * 200_000)
    assert one(tmp_path / "deep.html")[2].strip() == "bottom"
    (tmp_path / "open.html").write_text("<p>one<p>two <b>bold <i>text<div hidden><p>no</div><h2>Head</h2>three")
    _, blocks, text = one(tmp_path / "open.html")
    assert text.split() == ["one", "two", "bold", "text", "Head", "three"] and blocks[-1].heading == ("Head",)


def test_a_declared_charset_is_used(tmp_path):
    page = "<html><head><meta charset='windows-1251'><title>Привет</title></head><body>мир</body></html>"
    (tmp_path / "a.html").write_bytes(page.encode("cp1251"))
    document, _, text = one(tmp_path / "a.html")
    assert (document.title, text.strip()) == ("Привет", "мир")


def test_discovery_skips_links_loops_hidden_and_binary_files(tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git/config.txt").write_text("no")
    (root / "a.md").write_text("yes")
    (root / "sub/b.md").write_text("yes")
    (root / "store").mkdir()
    (root / "store/manifest.json").write_text("{}")
    (root / "image.png").write_bytes(b"\x89PNG")
    (root / "sub/loop").symlink_to(root)
    (root / "sub/link.md").symlink_to(tmp_path / "outside.md")
    (tmp_path / "outside.md").write_text("secret")

    def files(paths, include=(), exclude=()):
        found = discover(paths, include, exclude, root / "store")
        return [p.relative_to(root).as_posix() for p in found if isinstance(p, Path)]

    assert files([root]) == ["a.md", "sub/b.md"]
    passed = [p for p in discover([root], [], [], root / "store") if isinstance(p, SkippedPath)]
    assert {p.path.name: p.reason for p in passed} == {
        "image.png": "no reader for .png",
        "loop": "symbolic link (not followed)",
        "link.md": "symbolic link (not followed)",
    }
    assert files([root], ["sub/*"]) == files([root], ["sub"]) == ["sub/b.md"]
    for pattern in ("sub", "sub/", "su*", "*/b.md", "b.md"):
        assert files([root], ["*.md"], [pattern]) == ["a.md"], pattern
    assert files([root, root / "a.md"]) == ["a.md", "sub/b.md"]  # each once


def test_formats_of_the_documentation_have_a_reader():
    named = "txt md rst html pdf docx pptx xlsx csv tsv json jsonl parquet epub eml ipynb py js java go rs c".split()
    assert {f".{n}" for n in named} <= set(suffixes())


def test_broken_characters_are_replaced_and_not_fatal(tmp_path):
    lines = [
        {"text": "tweet \ud83d cut", "user": "x \udc00", "title": "t \ud800", "n": float("inf"), "s": "\ud83d\ude00"}
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps(lines[0]))
    document, _, text = one(tmp_path / "a.jsonl")
    assert text == "tweet \ufffd cut" and document.title == "t \ufffd"
    assert document.metadata == {"user": "x \ufffd", "n": "inf", "s": "\U0001f600"}


def test_nothing_of_an_odd_table_is_lost(tmp_path):
    (tmp_path / "a.csv").write_text("a,a,b\none,two,three\nx,y,z,more,\n")
    assert [d[2] for d in read(tmp_path / "a.csv")] == [
        "a: one\na.2: two\nb: three",
        "a: x\na.2: y\nb: z\nextra_cells: more",
    ]
    rows = [
        {"text": "hello"},
        {"content": "other field"},
        {"y": 4},
        {"text": {"inner": "deep"}},
        {"row": "abc", "text": "r"},
    ]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    documents = read(tmp_path / "b.jsonl")
    assert [d[2] for d in documents] == ["hello", "other field", "y: 4", "text.inner: deep", "r"]
    assert (documents[4][0].metadata, documents[4][0].row) == ({"row": "abc"}, 5)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12", 12),
        ("-3.50", -3.5),
        ("007", "007"),
        ("1_000", "1_000"),
        ("12e3", "12e3"),
        ("12345678901234567890", "12345678901234567890"),
        ("True", True),
        ("0", 0),
        ("0.5", 0.5),
        ("1.2.3", "1.2.3"),
        ("", ""),
    ],
)
def test_cells_are_numbers_only_where_they_are_written_as_such(cell, value):
    from ingest.readers.tables import typed

    assert typed(cell) == value and type(typed(cell)) is type(value)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<!doctype html><html><head><title>T</title><body><p>Visible</p></body></html>", "Visible"),
        ("<p>Before</p><p hidden>secret<p>After", "Before After"),
        ("<ul><li aria-hidden='true'>x<li>y</ul><p>rest", "y rest"),
        ("<ul><li hidden>x</ul><p>rest", "rest"),
        ("<div hidden><p>a<p>b</div>c", "c"),
        ("<table><tr><td style='display: none'>a<td>b<tr><td>c</table>", "b c"),
        ("<section><div hidden>never closed</section>after", "after"),
    ],
)
def test_optional_end_tags(tmp_path, markup, text):
    (tmp_path / "a.html").write_text(markup)
    assert one(tmp_path / "a.html")[2].split() == text.split()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("Käse".encode("cp1252"), "Käse"),
        ("für Verkehr und Bau, über die Brücke nach Köln. ".encode() * 5 + b"\xff", "für Verkehr und Bau"),
        ("für Verkehr und Bau, über die Brücke nach Köln".encode() * 3 + "ü".encode()[:1], "über die Brücke"),
    ],
    ids=["a word in cp1252", "one bad byte", "cut at the end"],
)
def test_small_damage_does_not_change_the_encoding(tmp_path, data, expected):
    (tmp_path / "a.txt").write_bytes(data)
    assert expected in one(tmp_path / "a.txt")[2]


def test_groups_and_merged_cells_of_office_files(tmp_path):
    import docx
    import pptx
    from pptx.util import Cm

    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(Cm(1), Cm(1), Cm(5), Cm(1)).text_frame.text = "inside a group"
    deck.save(tmp_path / "a.pptx")
    assert "inside a group" in one(tmp_path / "a.pptx")[2]
    document = docx.Document()
    table = document.add_table(rows=1, cols=3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "merged"
    table.cell(0, 2).text = "single"
    document.save(tmp_path / "a.docx")
    assert one(tmp_path / "a.docx")[2] == "merged | single\n"


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


@pytest.mark.parametrize(
    ("content", "text", "metadata"),
    [
        ("\n\ntext,n\nhello,1\n", "hello", {"n": 1}),
        ("sep=;\ntext;n\nhello;1\n", "hello", {"n": 1}),
        ('"a;b;c",text\n"1;2",hello\n', "hello", {"a;b;c": "1;2"}),
        ("text,n,\n3.50,TRUE,extra\n", "3.50", {"n": True, "column 3": "extra"}),
        ("a,a.2,a\n1,2,3\n", "a: 1\na.2: 2\na.3: 3", {}),
    ],
    ids=["blank lines first", "excel's sep", "quoted delimiters", "text as written", "numbered twice"],
)
def test_headers_of_csv_files(tmp_path, content, text, metadata):
    (tmp_path / "a.csv").write_text(content)
    document, _, found = one(tmp_path / "a.csv")
    assert found == text and (not metadata or document.metadata == metadata)


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "utf-16le", "utf-16", "nonsense"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_wrong_declarations_of_a_page(tmp_path, charset, mark):
    page = f"<html><head><meta charset='{charset}'></head><body>Hello</body></html>".encode()
    (tmp_path / "a.html").write_bytes(mark + page)
    assert one(tmp_path / "a.html")[2] == "Hello\n\n"


def test_a_text_column_may_be_missing_in_some_rows(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id": 2, "body": "x", "text": "hello"}\n')
    assert [d[2] for d in read(tmp_path / "a.jsonl", text_fields=("text",))] == ["hello"]
