"""The report needs nothing else, shows every score, and escapes what it is given."""

import re
from html.parser import HTMLParser

import pytest

from eval.records import Category
from eval.report import write_reports
from eval.results import Failure
from eval.runs import read_runs
from eval.table import PUBLISHED_MODELS, as_markdown, make_table, published
from tests.eval.conftest import copy_sets


@pytest.fixture(scope="module")
def output(tmp_path_factory, cli):
    folder = tmp_path_factory.mktemp("reported")
    models = "default@none,default"
    command = ["--suite", "all", "--data", copy_sets(folder / "data"), "--quiet", "--models", models]
    assert cli([*command, "--output", folder / "runs"]) == 0
    return folder / "runs"


@pytest.fixture
def runs(output):
    return read_runs(output)


class Outside(HTMLParser):
    """Collects whatever a page would fetch or run."""

    def __init__(self):
        super().__init__()
        self.found, self.cells = [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "link", "img", "iframe") or (values.get("src") or "").strip():
            self.found.append((tag, values))
        self.found += [(tag, v) for k, v in attributes if k in ("href", "xlink:href") and not str(v).startswith("#")]

    def handle_data(self, data):
        self.cells.append(data)


def test_one_file_with_everything(runs, tmp_path):
    html, markdown = write_reports(runs, tmp_path / "report")
    page = Outside()
    page.feed(html.read_text(encoding="utf-8"))
    assert page.found == []
    text = "".join(page.cells)
    for run in runs:
        assert run.results["FileCommands"].facts["fingerprint"] in text
        for result in run.results.values():
            assert f"{100 * result.score:.2f}" in text and f"{100 * result.score:.2f}" in markdown.read_text()
    assert "Represent the everyday sentence for measuring semantic similarity: " in text
    assert html.read_text().count("<svg") == 1


def test_failures_and_markup_are_shown_as_text(runs, tmp_path):
    runs[0].failures["<script>alert(1)</script>"] = Failure("<b>no</b>", Category.STS)
    html, _ = write_reports(runs, tmp_path / "report")
    text = html.read_text()
    assert "<script" not in text and "<b>no" not in text and "&lt;b&gt;no&lt;/b&gt;" in text


def test_the_averages_are_of_what_all_have(runs):
    del runs[0].results["FileCommands"]
    runs[0].failures["FileCommands"] = Failure("x", Category.PROMPT_RETRIEVAL)
    table = make_table(runs)
    rows = {row.name: row for row in table.rows}
    assert rows["FileCommands"].cells[0].remark == "failed"
    average = rows["average of sets (2 of 3)"]
    expected = [sum(100 * r.score for n, r in run.results.items() if n != "FileCommands") / 2 for run in runs]
    assert [cell.score for cell in average.cells] == pytest.approx(expected)
    assert rows["prompt-retrieval (0 of 1)"].cells[1].score is None
    assert re.search(r"\| \*\*average of sets \(2 of 3\)\*\* \|", as_markdown(table))


def test_published_scores():
    values = dict(zip(PUBLISHED_MODELS, published("STS12"), strict=True))
    assert values["sentence-transformers/all-MiniLM-L6-v2"] == 72.37 and values["hkunlp/instructor-base"] == 77.02
    assert published("nothing") == (None,) * 4
