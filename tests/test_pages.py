"""The pages hold together: links and paths lead somewhere, every page is listed, and one version is named everywhere."""

import re
import tomllib
from importlib.util import find_spec

import pytest

from instructor_search import __version__
from tests.conftest import ROOT
from tests.lowest import lowest

DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")] + DOCS
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name_of(path):
    return str(path.relative_to(ROOT))


def headings(path):
    """Return the anchors of a page, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in headings(linked), f"{page.name} links to {target}"


def test_the_index_lists_every_page():
    listed = set(re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs/index.md").read_text(encoding="utf-8")))
    pages = {str(page.relative_to(ROOT / "docs")) for page in DOCS} - {"index.md"}
    assert pages - listed == set()


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md", "docs/platforms.md"])
def test_every_path_that_is_named_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)*/[\w.-]*|[\w-]+\.(?:py|md|txt|toml))`", text)) - {".venv/"}
    paths = {name for name in named if not name.startswith("/")}
    assert len(paths) >= (25 if "architecture" in page else 2)
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_the_architecture_names_every_room_of_the_library():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = {p.name for p in (ROOT / "instructor_search").iterdir() if (p / "__init__.py").is_file()}
    assert {room for room in rooms if f"`instructor_search/{room}/`" not in text} == set()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 250


def test_one_version_and_its_date_everywhere():
    version = __version__
    dated = re.search(
        r"^## (\S+) \((\d{4}-\d\d-\d\d)\)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert dated and dated[1] == version
    assert f"version: {version}\n" in citation and f"date-released: {dated[2]}\n" in citation


def test_the_citation_names_the_paper_and_no_invented_people():
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["authors"] == [{"name": "The instructor-search authors"}]
    assert cited["references"][0]["identifiers"][0]["value"] == "arXiv:2212.09741"


def test_hooks_before_a_commit_download_nothing():
    yaml = pytest.importorskip("yaml")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [(repo["repo"], [hook["id"] for hook in repo["hooks"]]) for repo in hooks] == [
        ("local", ["ruff-check", "ruff-format", "mypy"])
    ]
    assert {hook["language"] for hook in hooks[0]["hooks"]} == {"system"}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_goals_of_make_that_are_named_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    goals = set(re.findall(r"\bmake ([a-z][\w-]+)(?=`|\s{2,}#)", (ROOT / page).read_text(encoding="utf-8")))
    assert len(goals) >= 4
    assert {goal for goal in goals if f"\n{goal}:" not in makefile} == set()


def test_the_lowest_versions_are_those_of_the_bounds():
    project = {
        "dependencies": ["numpy>=2.0", "mcp>=1.21,<2"],
        "optional-dependencies": {"x": ["a.b[c]>=3 ; python_version<'4'"]},
    }
    assert list(lowest(project, ["x"])) == ["numpy==2.0", "mcp==1.21", "a.b==3"]
    assert "lancedb" in {line.partition("==")[0] for line in lowest(PROJECT)}
    with pytest.raises(ValueError, match="'numpy' has no lower bound"):
        list(lowest({"dependencies": ["numpy"]}))


def test_programs_that_the_pages_name_exist():
    for page in PAGES:
        for module in set(re.findall(r"python -m ([a-z_]+(?:\.[a-z_]+)*)", page.read_text(encoding="utf-8"))):
            assert module == "venv" or find_spec(module), f"{page.name} names python -m {module}"


def test_the_tests_without_torch_are_there():
    from tests.without_torch import FILES

    assert len(FILES) > 10 and not [name for name in FILES if not (ROOT / name).is_file()]
