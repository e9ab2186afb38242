"""Columns of metadata fields against what the store finds by SQL, while the table changes."""

import json

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructor_search.search.filters import compile_filter
from instructor_search.store.indexes import metadata
from instructor_search.store.indexes.metadata import MetadataColumns, total_order

KINDS = {"year": "number", "kind": "string", "mix": "mixed", "ok": "bool", "odd 'name'": "string"}
VALUES = [
    "7",
    "-0",
    "nan",
    "inf",
    "1e3",
    " 5",
    "9007199254740993",
    "9007199254740992",
    "abc",
    "ÉCOLE",
    "ΑΣ",
    "İx",
    "0x1",
]
FILTERS = [
    "year >= 1990",
    "year != 7",
    "not year = 7",
    "year exists",
    "not year exists",
    "year = 9007199254740993",
    "year > 9007199254740992",
    "year = 0",
    "year < 0.5",
    "year > 1e9",
    "kind = abc",
    'kind = "7"',
    "kind contains école",
    "kind contains 'ας'",
    "kind < b",
    "mix = 7",
    "mix = '7'",
    "mix in (7, abc, nan)",
    "not mix in (7, abc)",
    "ok = true",
    "not ok = true",
    "kind = abc and year > 3",
    "kind = abc or not year > 3",
    "page = 2 and year > 3",
    "page = 2 or year > 3",
    "not (page = 2 and year > 3) and kind exists",
    "(year > 3 and page > 1) and mix exists",
    """ "odd 'name'" = x or year = 7""",
    "not (kind = abc and ok = true) and not (year < 5 or mix = 7)",
]


def rows(first, metadata):
    given_rows = [json.dumps(values) for values in metadata]
    return pa.table(
        {
            "id": [f"{first + i:032d}" for i in range(len(metadata))],
            "page": pa.array([i % 4 for i in range(len(metadata))], pa.int32()),
            "metadata": pa.array(given_rows, pa.json_()),
        }
    )


def some(seed, count):
    rng = np.random.default_rng(seed)

    def value(name):
        plain = [True, False] if name == "ok" else [*VALUES, 7, 7.0, 1990, -3.5, 2**53 + 1]
        return plain[rng.integers(len(plain))]

    return [{name: value(name) for name in KINDS if rng.random() < 0.6} for _ in range(count)]


def by_sql(table, where="true"):
    query = table.search().where(str(where)).with_row_id(True).select(["id"]).limit(10_000)
    return sorted(query.to_arrow()["_rowid"].to_pylist())


def by_columns(columns, table, where):
    return np.intersect1d(columns.rows_where(table, table.version, where), by_sql(table)).tolist()


def test_filters_find_what_sql_finds_while_the_table_changes(tmp_path):
    table = lancedb.connect(str(tmp_path)).create_table("t", rows(0, some(0, 300)))
    columns = MetadataColumns()
    for step in range(5):
        for where in FILTERS[step % 2 :: 2] if step < 4 else FILTERS:  # columns lag behind one another
            compiled = compile_filter(where, KINDS)
            assert by_columns(columns, table, compiled) == by_sql(table, compiled), where
        if step == 0:
            table.add(rows(1000, some(1, 200)))
        elif step == 1:
            table.delete("id < '00000000000000000000000000000100'")
        elif step == 2:
            newer = rows(250, some(2, 100))  # 50 of them are there
            table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(newer)
        else:
            table.optimize()


def test_only_new_rows_are_read(tmp_path, monkeypatch):
    table = lancedb.connect(str(tmp_path)).create_table("t", rows(0, some(0, 300)))
    columns, read = MetadataColumns(), []
    whole = metadata.batches

    def counted(*args):
        for batch in whole(*args):
            read.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(metadata, "batches", counted)
    for where in ("year > 3", "year < 3 and kind exists", "kind = abc"):
        compiled = compile_filter(where, KINDS)
        assert by_columns(columns, table, compiled) == by_sql(table, compiled), where
    assert sum(read) == 600  # each field once
    monkeypatch.setattr(table, "search", None)  # the same version is not asked again
    assert len(columns.rows_where(table, table.version, compile_filter("year > 1 or kind = abc", KINDS)))
    monkeypatch.undo()
    monkeypatch.setattr(metadata, "batches", counted)
    table.add(rows(1000, some(1, 20)))
    where = compile_filter("year > 3", KINDS)
    assert by_columns(columns, table, where) == by_sql(table, where), where
    assert sum(read) == 620


def test_few_columns_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "MAX_COLUMNS", 2)
    table = lancedb.connect(str(tmp_path)).create_table("t", rows(0, some(0, 50)))
    columns = MetadataColumns()
    where = compile_filter("year > 3 and kind exists and mix exists", KINDS)
    assert by_columns(columns, table, where) == by_sql(table, where), where
    where = compile_filter("ok = true", KINDS)
    assert by_columns(columns, table, where) == by_sql(table, where), where
    assert len(columns._columns) == 2
    assert list(columns._columns)[-1] == "ok"


@settings(max_examples=200, deadline=None)
@given(st.floats(), st.floats())
def test_total_order_is_that_of_arrow(one, other):
    import pyarrow.compute as pc

    if one == other or np.isnan(one) or np.isnan(other):
        return
    assert (total_order(one) < total_order(other)) == pc.less(pa.scalar(one), pa.scalar(other)).as_py()


@pytest.mark.parametrize(("low", "high"), [(-1e-300, 0.0), (float("inf"), float("nan")), (-1.0, -0.5)])
def test_total_order_at_its_edges(low, high):
    assert total_order(low) < total_order(high)
    assert total_order(-0.0) == total_order(0.0)
