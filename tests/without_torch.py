"""Quick tests of the library in an environment without torch: ``.venv-lowest/bin/python -m tests.without_torch``.

A test that needs a package of an extra is skipped; the run fails where a test fails, and where too few are left.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

FILES = (
    "tests/test_instructions.py",
    "tests/test_instruction_rule.py",
    "tests/test_renamed.py",
    "tests/engines/test_local.py",
    "tests/store/test_fill_view.py",
    "tests/store/test_collection.py",
    "tests/store/test_judgments.py",
    "tests/store/test_fulltext.py",
    "tests/store/test_hit_cache.py",
    "tests/store/test_metadata.py",
    "tests/search/test_filters.py",
    "tests/search/test_searcher.py",
    "tests/search/test_ranking.py",
    "tests/in_context/test_pool.py",
)
OF_EXTRAS = frozenset(
    "accelerate bs4 charset_normalizer datasets defusedxml docx faiss gradio jinja2 langchain_core matplotlib mteb openpyxl "
    "peft pptx pypdfium2 rapidfuzz scipy sentence_transformers sklearn tiktoken torch transformers".split()
)
FEWEST = 200  # tests that are to pass all the same


def absent(error: BaseException | None) -> str | None:
    """Return the package of an extra whose absence is the cause of an error; None: it is something else."""
    from instructor_search.errors import MissingExtraError

    while error is not None:
        if isinstance(error, MissingExtraError):
            return str(error).partition(";")[0]
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in OF_EXTRAS:
            return error.name
        error = error.__cause__ or error.__context__
    return None


class Skipping:
    """A plugin of pytest: what an absent package of an extra fails is skipped; it counts what passes."""

    def __init__(self) -> None:
        """Begin to count."""
        self.passed = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Skip a test that fails for want of a package."""
        report = yield
        package = absent(call.excinfo.value) if call.excinfo and report.failed else None
        if package:
            report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"without {package}")
        self.passed += report.when == "call" and report.passed
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        """Skip a file that imports such a package."""
        report = yield
        error = getattr(getattr(report, "call", None), "excinfo", None)
        package = absent(error.value.__cause__ or error.value) if error and report.failed else None
        if package:
            report.outcome, report.longrepr = "skipped", (str(collector.path), 0, f"without {package}")
        return report


def main() -> int:
    """Run the tests and return pytest's exit code; 1 where fewer than FEWEST passed."""
    plugin = Skipping()
    code = pytest.main(["-q", "-m", "not slow and not trust", *FILES, *sys.argv[1:]], [plugin])
    print(f"{plugin.passed} passed without torch; at least {FEWEST} are expected")
    return int(code) or int(plugin.passed < FEWEST)


if __name__ == "__main__":
    sys.exit(main())
