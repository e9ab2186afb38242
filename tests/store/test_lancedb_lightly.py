"""lancedb is imported without its catalogue client, and neither it nor others notice."""

import subprocess
import sys
import textwrap


def run(code):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_client_is_not_loaded_and_nothing_is_left_behind():
    out = run("""
        import sys
        from instructor_search.store import lancedb_lightly
        print(*sorted(n for n in sys.modules if n.startswith(("lance_namespace", "overrides"))))
    """)
    assert out == []


def test_deferred_names_are_the_packages_own():
    out = run("""
        from instructor_search.store.lancedb_lightly import lancedb
        import lance_namespace, lance_namespace.errors, overrides
        made = lancedb.db.ListTablesResponse(tables=["a"])
        print(type(made) is lance_namespace.ListTablesResponse, isinstance(made, lancedb.db.ListTablesResponse))
        print(isinstance(3, lancedb.db.ListTablesResponse), "tables" in lancedb.db.ListTablesResponse.model_fields)
        print(lancedb.db.TableNotFoundError is lance_namespace.errors.TableNotFoundError)
        print(lance_namespace.TableNotFoundError is lance_namespace.errors.TableNotFoundError)
        print(overrides.override.__module__)
    """)
    assert out == ["True", "True", "False", "True", "True", "True", "overrides.overrides"]


def test_a_package_that_was_imported_before_is_used():
    out = run("""
        import lance_namespace
        from instructor_search.store.lancedb_lightly import lancedb
        print(lancedb.db.ListTablesResponse is lance_namespace.ListTablesResponse)
    """)
    assert out == ["True"]


def test_a_table_whose_rows_have_words_of_their_own_is_compacted(tmp_path):
    """The process ended here: "memory allocation of 25783965669 bytes failed"."""
    out = run(f"""
        import pyarrow as pa
        from instructor_search.store.lancedb_lightly import FTS, PhraseQuery, lancedb
        def rows(start, end):
            return pa.table({{"id": range(start, end), "text": [f"some text {{i}} " * 20 for i in range(start, end)]}})
        table = lancedb.connect({str(tmp_path)!r}).create_table("t", rows(0, 50_000))
        table.add(rows(50_000, 100_000))
        table.create_index("text", config=FTS(stem=True, remove_stop_words=True, with_position=True))
        table.optimize()
        found = table.search(PhraseQuery("text 77321", "text"), query_type="fts").limit(5).to_list()
        print(*[row["id"] for row in found], table.count_rows())
    """)
    assert out == ["77321", "100000"]
