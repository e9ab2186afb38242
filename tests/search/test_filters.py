"""The filter language against a plain Python oracle on real rows, and against those who would break out of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructor_search.errors import FilterError
from instructor_search.search.filters import compile_filter
from instructor_search.store.indexes.metadata import MetadataColumns

FIELDS = {"year": "number", "kind": "string", "ok": "bool", "odd name": "string", "mix": "mixed", "source": "string"}
ROWS = [
    {"year": 2000, "kind": "a", "ok": True, "mix": "7"},
    {"year": 2010, "kind": "O'Neil", "ok": False, "mix": 7},
    {"year": 2020.5, "kind": "B", "odd name": "x y", "mix": "seven"},
    {"kind": 'say "hi"', "source": "import"},
    {},
]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    import json

    import lancedb
    import pyarrow as pa

    from instructor_search.store.schema import CHUNK_FIELDS

    db = lancedb.connect(str(tmp_path_factory.mktemp("db")))
    schema = pa.schema(CHUNK_FIELDS)
    base = {f.name: None for f in CHUNK_FIELDS}
    rows = [
        base
        | {
            "id": str(i),
            "metadata": json.dumps(row),
            "source": f"root/{i}.md",
            "page": i,
            "text": f"text {i}",
            "mtime": 1_700_000_000.0 + i * 86_400,
        }
        for i, row in enumerate(ROWS)
    ]
    arrays = [pa.array([r[f.name] for r in rows], f.type) for f in CHUNK_FIELDS]
    return db.create_table("chunks", pa.Table.from_arrays(arrays, schema=schema))


def ids(table, where):
    """What the store finds; the columns of metadata fields must say the same."""
    compiled = compile_filter(where, FIELDS)
    found = table.search().where(compiled).with_row_id(True).select(["id"]).to_list()
    assert sorted(MetadataColumns().rows_where(table, table.version, compiled)) == sorted(r["_rowid"] for r in found), (
        where
    )
    return sorted(int(r["id"]) for r in found)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("year >= 2010", [1, 2]),
        ("year = 2020.5", [2]),
        ("year != 2000", [1, 2]),
        ("kind = a", [0]),
        ("kind = 'O\\'Neil'", [1]),
        ('kind = "O\'Neil"', [1]),
        ('kind = "say \\"hi\\""', [3]),
        ("kind in (a, B)", [0, 2]),
        ("kind contains NEIL", [1]),
        ("not kind = a and year exists", [1, 2]),
        ("ok = true or year > 2015", [0, 2]),
        ("ok = true or year > 2015 and kind = nothing", [0]),
        ("(ok = true or year > 2015) and kind = B", [2]),
        ("'odd name' = 'x y'", [2]),
        ("mix = 7", [0, 1]),
        ("mix = '7'", [0, 1]),
        ("mix = seven", [2]),
        ("source contains '3.md'", [3]),
        ("metadata.source = import", [3]),
        ("page in (1, 2, 9)", [1, 2]),
        ("page < 2 AND NOT page = 0", [1]),
        ("mtime >= 2023-11-16", [2, 3, 4]),
        ("mtime < 2024 and mtime > '2023-11-17T12:00:00'", [3, 4]),
        ("year exists", [0, 1, 2]),
        ("not year exists", [3, 4]),
    ],
)
def test_filters_select_the_right_rows(table, where, expected):
    assert ids(table, where) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "at 'the end': expected a field"),
        ("yaer > 3", r"unknown filter field 'yaer' \(did you mean year\?\); there is: .*kind"),
        ("year >", "expected a value"),
        ("year > old", "year is a number"),
        ("ok = maybe", "true or false"),
        ("mtime > yesterday", "expected a date"),
        ("year > 1 kind = a", "expected 'and', 'or' or the end"),
        ("(year > 1", r"expected '\)'"),
        ("year in 1", r"expected '\(' after 'in'"),
        ("year ~ 1", "expected one of ="),
        ("kind = 'open", "expected a field, a value or an operator|expected a value"),
        ("and", "expected a field name"),
        ("not " * 60 + "year > 1", "nested deeper"),
        ("year > 1 or " * 1000 + "year > 1", "at most 4000"),
        ("id = 1; drop table chunks", "unknown filter field 'id'"),
        ("text like '%'", "expected one of ="),
        ("repeat('a', 100000000) = 1", "unknown filter field 'repeat'"),
    ],
)
def test_wrong_filters_say_where_and_what(where, message):
    with pytest.raises(FilterError, match=message):
        compile_filter(where, FIELDS)


PAYLOADS = [
    "x' OR '1'='1",
    "x'; DROP TABLE chunks; --",
    "' OR 1=1 --",
    "\\' OR 1=1 --",
    "x') OR ('1'='1",
    "'' OR ''=''",
    'x" OR "1"="1',
    "%' OR kind LIKE '%",
]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("form", ["kind = {}", "kind contains {}", "source = {}", "kind in (zz, {})"])
def test_values_cannot_break_out(table, payload, form):
    quoted = '"' + payload.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert ids(table, form.format(quoted)) == []


@settings(max_examples=100, deadline=None)
@given(value=st.text(max_size=30))
def test_any_value_compares_as_itself(table, value):
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    expected = [i for i, row in enumerate(ROWS) if row.get("kind") == value]
    assert ids(table, f"kind = {quoted}") == expected


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="year kind'\"()=<>!,andornotinexists 12\\.", max_size=40))
def test_any_text_compiles_or_is_refused(table, where):
    try:
        compiled = compile_filter(where, FIELDS)
    except FilterError:
        return
    found = table.search().where(compiled).select(["id"]).to_list()  # and what compiles runs
    assert len(found) <= len(ROWS)


comparison = st.tuples(st.just("year"), st.sampled_from(["<", "<=", ">", ">=", "=", "!="]), st.integers(1990, 2030))


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        comparison,
        lambda inner: st.tuples(st.sampled_from(["and", "or"]), inner, inner) | st.tuples(st.just("not"), inner),
        max_leaves=6,
    )
)
def test_logic_equals_a_plain_evaluation(table, tree):
    def text(node):
        if node[0] == "year":
            return f"year {node[1]} {node[2]}"
        return f"not ({text(node[1])})" if node[0] == "not" else f"({text(node[1])} {node[0]} {text(node[2])})"

    def truth(node, year):
        if node[0] == "year":
            compare = {"<": year < node[2], "<=": year <= node[2], ">": year > node[2], ">=": year >= node[2]}
            return compare.get(node[1], (year == node[2]) == (node[1] == "="))
        if node[0] == "not":
            return not truth(node[1], year)
        values = truth(node[1], year), truth(node[2], year)
        return all(values) if node[0] == "and" else any(values)

    expected = [i for i, row in enumerate(ROWS) if "year" in row and truth(tree, row["year"])]  # no year: never matches
    assert ids(table, text(tree)) == expected
