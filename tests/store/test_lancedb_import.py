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
        from instructor_search.store import _lancedb
        print(*sorted(n for n in sys.modules if n.startswith(("lance_namespace", "overrides"))))
    """)
    assert out == []


def test_deferred_names_are_the_packages_own():
    out = run("""
        from instructor_search.store._lancedb import lancedb
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
        from instructor_search.store._lancedb import lancedb
        print(lancedb.db.ListTablesResponse is lance_namespace.ListTablesResponse)
    """)
    assert out == ["True"]
