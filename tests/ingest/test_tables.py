"""Tables and rows of JSON: which of their cells are text, which are metadata, and of what type."""

import json

import pytest

from instructor_search.errors import ReaderError
from tests.ingest.reading import one, read


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


def test_a_text_column_may_be_missing_in_some_rows(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id": 2, "body": "x", "text": "hello"}\n')
    assert [d[2] for d in read(tmp_path / "a.jsonl", text_fields=("text",))] == ["hello"]
