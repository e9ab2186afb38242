"""Documents, names and questions full of markup and templates: the page shows them as they are, and nothing of them runs."""

import json
from urllib.parse import urlencode

import pytest

from tests.ui.browsing import act, search
from tests.ui.conftest import running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.trust,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
RUN = "window.hacked=1"
EVIL = [
    f"<img src=x onerror={RUN}>",
    f"<script>{RUN}</script>",
    f"${{{RUN}}}",
    f"{{{{{RUN}}}}}",
    f"<svg onload={RUN}>",
    f'" onmouseover="{RUN}" style="position:fixed;inset:0',
    f"</textarea><img src=x onerror={RUN}>",
    f"[x](javascript:{RUN})",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'>",
]
ALL = " ".join(EVIL)


@pytest.fixture(scope="module")
def hostile_store(tmp_path_factory):
    """A collection whose names, titles, headings, cells and metadata all attack."""
    from ingest.cli import main

    folder = tmp_path_factory.mktemp("hostile")
    files = folder / "files <b>"
    files.mkdir()
    (files / "<img src=x onerror=window.hacked=1>.md").write_text(
        f"---\ntitle: {EVIL[0]}\n---\n# {ALL}\n\nParrots. {ALL}\n"
    )
    (files / "page.html").write_text(f"<title>{ALL}</title><h1>{EVIL[0]}</h1><p>Parrots sing. {EVIL[1]}</p>")
    rows = [
        {"text": f"Parrot {n} {ALL}", f"<img src=x onerror={RUN}>": EVIL[n % len(EVIL)], "kind": EVIL[n % 3]}
        for n in range(9)
    ]
    (files / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (files / "table.csv").write_text(f'text,{EVIL[4]}\n"Parrot {EVIL[0]}",{EVIL[4]}\n')
    store = folder / "store"
    instruction = f"Represent the {ALL} document: "
    assert (
        main([str(files), "--collection", "evil", f"--instruction={instruction}", "--store", str(store), "--quiet"])
        == 0
    )
    return store


def visit(page, application, tab, **state):
    page.goto(f"{application.address}?{urlencode({'tab': tab, 'c': 'evil', **state})}")


def test_nothing_of_a_hostile_collection_runs(hostile_store, open_page):
    with running("--store", str(hostile_store)) as application:
        page = open_page(
            f"{application.address}?{urlencode({'tab': 'search', 'c': 'evil', 'q': ALL, 'i': ALL, 'w': EVIL[0]})}"
        )
        page.wait_for_selector("#results .panel.error")
        visit(page, application, "search", q="parrots", i="-")
        page.wait_for_selector("#results .card")
        search(page, f"parrot {ALL}", f"Represent {ALL}: ")
        hover_all(page, "#results .card *")
        act(page, ".drawer #passage", "#results .title >> nth=0")
        assert RUN in page.inner_text(".drawer")
        page.keyboard.press("Escape")
        act(page, ".drawer .why", "#results [data-action=why] >> nth=0")
        hover_all(page, ".drawer .heat span")
        visit(page, application, "compare", q="parrot", i=ALL, j=EVIL[0])
        page.wait_for_selector("#comparison .card")
        visit(page, application, "map")
        page.wait_for_selector("#map-go")
        page.wait_for_function("document.querySelector('#collection input')?.value === 'evil'")
        page.click("#map-method label >> nth=1")
        act(page, ".map-root[data-drawn]", "#map-go")
        for point in range(10):
            x, y = page.evaluate(f"() => document.querySelector('.map canvas').place({point})")
            page.mouse.move(x, y)
        visit(page, application, "collections")
        page.wait_for_selector("#collection-facts table")
        page.click("text=Files >> nth=0")
        page.wait_for_timeout(1000)
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src=x], svg[onload], iframe[srcdoc]").count() == 0


def hover_all(page, selector):
    """Let the pointer enter many elements at once, as events do it."""
    page.evaluate(
        "s => document.querySelectorAll(s).forEach(n => n.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})))",
        selector,
    )
