"""The encoding of a text or page: found, declared, declared wrongly, and damaged."""

import json

import pytest

from tests.ingest.reading import one


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


def test_a_declared_charset_is_used(tmp_path):
    page = "<html><head><meta charset='windows-1251'><title>Привет</title></head><body>мир</body></html>"
    (tmp_path / "a.html").write_bytes(page.encode("cp1251"))
    document, _, text = one(tmp_path / "a.html")
    assert (document.title, text.strip()) == ("Привет", "мир")


def test_broken_characters_are_replaced_and_not_fatal(tmp_path):
    lines = [
        {"text": "tweet \ud83d cut", "user": "x \udc00", "title": "t \ud800", "n": float("inf"), "s": "\ud83d\ude00"}
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps(lines[0]))
    document, _, text = one(tmp_path / "a.jsonl")
    assert text == "tweet \ufffd cut" and document.title == "t \ufffd"
    assert document.metadata == {"user": "x \ufffd", "n": "inf", "s": "\U0001f600"}


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


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "utf-16le", "utf-16", "nonsense"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_wrong_declarations_of_a_page(tmp_path, charset, mark):
    page = f"<html><head><meta charset='{charset}'></head><body>Hello</body></html>".encode()
    (tmp_path / "a.html").write_bytes(mark + page)
    assert one(tmp_path / "a.html")[2] == "Hello\n\n"
