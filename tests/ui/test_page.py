"""The page as a whole: the collection at the top, the address and the history, an early search, narrow screens, the drawer."""

import contextlib
import os
import shutil
import signal
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.ui.conftest import ASTRONOMY, MYTHOLOGY, make_prompt, running
from tests.ui.test_browser import act, at, search, titles

pytestmark = [
    pytest.mark.slow,
    pytest.mark.trust,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NEWS, NEWS_QUERY = (
    "Represent the news article for retrieval: ",
    "Represent the news query for retrieving reports of the event: ",
)


@pytest.fixture(scope="module")
def two(corpus_store, tmp_path_factory):
    """An application with two collections, ``corpus`` and ``weather``."""
    from ingest.cli import main

    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(corpus_store, folder / "store")
    (folder / "notes").mkdir()
    for name, text in (("rain", "Rain falls from clouds."), ("mercury", "The mercury rises in the heat.")):
        (folder / "notes" / f"{name}.md").write_text(f"# {name.capitalize()}\n\n{text}\n")
    assert (
        main(
            [
                str(folder / "notes"),
                "--collection",
                "weather",
                "--instruction",
                NEWS,
                "--store",
                str(folder / "store"),
                "--quiet",
                "--json",
            ]
        )
        == 0
    )
    with running("--store", str(folder / "store"), "--runs", str(folder / "runs"), "--collection", "corpus") as made:
        yield made


def here(page):
    """Return the page's address as the page itself knows it."""
    return page.evaluate("location.href")


def wait_until_here(page, address):
    """Wait until the page is at an address."""
    page.wait_for_function("address => location.href === address", arg=address, timeout=20_000)


def named(page):
    """Return what the page's address holds."""
    return {key: value[0] for key, value in parse_qs(urlsplit(here(page)).query).items()}


def choose(page, name):
    page.click("#collection input")
    page.click(f"#collection [role=option]:has-text('{name}'), ul[role=listbox] [role=option]:has-text('{name}')")
    page.wait_for_function("n => document.querySelector('#collection input').value === n", arg=name)


def wait_for_address(page, **wanted):
    held = "w => { const p = new URLSearchParams(location.search); return Object.entries(w).every(([k, v]) => p.get(k) === v); }"
    page.wait_for_function(held, arg=wanted, timeout=20_000)


def wait_for_hits(page, word, where="#results", timeout=20_000):
    seen = "([w, t]) => [...document.querySelectorAll(w + ' .from')].some(n => n.innerText.includes(t))"
    page.wait_for_function(seen, arg=[where, word], timeout=timeout)


def test_hits_are_of_the_collection_that_is_chosen(two, open_page):
    page = open_page(at(two, tab="search", c="corpus", q="mercury"))
    page.wait_for_selector("#results .card")
    choose(page, "weather")
    wait_for_hits(page, "notes/mercury.md")
    assert len(titles(page)) == 2 and page.locator("#results .from:has-text('corpus/')").count() == 0
    assert page.input_value("#instruction textarea") == NEWS_QUERY
    wait_for_address(page, c="weather", q="mercury", i=NEWS_QUERY)
    search(page, "rain", ASTRONOMY)  # an instruction of one's own stays
    choose(page, "corpus")
    wait_for_hits(page, "corpus/")
    assert page.input_value("#instruction textarea") == ASTRONOMY
    wait_for_address(page, c="corpus", q="rain", i=ASTRONOMY)


def test_without_a_query_and_with_a_filter_of_the_old_collection(two, open_page):
    page = open_page(at(two, tab="search"))
    choose(page, "weather")
    wait_for_address(page, tab="search", c="weather")
    assert page.locator("#results .try").count() == 4
    choose(page, "corpus")
    page.click("text=Filter")
    act(page, "#results [data-url*='stars'] .card", "#go", query="boots", where="stars <= 2")
    choose(page, "weather")
    page.wait_for_selector("#results .panel.error")
    assert "unknown filter field 'stars'" in page.inner_text("#results") and named(page)["c"] == "weather"


def test_a_comparison_and_a_map_are_of_the_collection_that_is_chosen(two, open_page):
    page = open_page(at(two, tab="map"), ready="#map-go")
    page.click("#map-method label >> nth=1")
    page.click("#map-beside label >> nth=0")
    act(page, ".map-root[data-drawn]", "#map-go")
    page.click("[data-tab-id=compare]")
    act(page, "#comparison .card", "#compare-go", **{"compare-query": "mercury"})
    choose(page, "weather")
    wait_for_hits(page, "notes/mercury.md", "#comparison")
    wait_for_address(page, tab="compare", c="weather", q="mercury")
    page.click("[data-tab-id=map]")
    page.wait_for_selector("#map-said .panel.empty")
    assert page.locator(".map-root canvas").count() == 0


def open_slowly(page, address):
    """Open a page whose first answer is held back; return what lets it go."""
    held, is_open = [], False
    page.route("**/gradio_api/queue/join*", lambda route: route.continue_() if is_open else held.append(route))
    page.goto(address)
    page.wait_for_selector("#query, #compare-query")

    def release():
        nonlocal is_open
        is_open = True
        for route in held:
            route.continue_()
        page.wait_for_function("document.querySelector('#collection input').value")

    return release


@pytest.mark.parametrize(("chosen", "found"), [({}, "corpus/"), ({"c": "weather"}, "notes/")])
def test_who_searches_before_the_page_knows_the_collection(two, open_page, chosen, found):
    page = open_page(f"{two.address}theme.css", ready="html")
    release = open_slowly(page, at(two, **chosen))
    assert page.input_value("#collection input") == ""
    search(page, "mercury")
    wait_for_hits(page, found)
    assert "without an instruction" not in page.inner_text("#results .found")
    release()
    wait_for_hits(page, found)
    wait_for_address(page, q="mercury", c=chosen.get("c", "corpus"))
    assert page.input_value("#query textarea") == "mercury"


def test_who_compares_before_the_page_knows_the_collection(two, open_page):
    page = open_page(f"{two.address}theme.css", ready="html")
    release = open_slowly(page, two.address)
    page.click("[data-tab-id=compare]")
    page.fill("#compare-query textarea", "mercury")
    page.press("#compare-query textarea", "Enter")
    wait_for_hits(page, "corpus/", "#comparison")
    assert page.input_value("#compare-query textarea") == "mercury"
    release()


@contextlib.contextmanager
def halted_ingest(store, wanted="."):
    """Stop the process that makes the first collection of a store once ``wanted`` is there; give what lets it go on."""
    found, ended = [], threading.Event()

    def look():
        while not found and not ended.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    is_ours = b"ui.child" in path.read_bytes() and (path.parent / "cwd").resolve() == store.parent
                    if is_ours and (store.parent / wanted).exists():
                        found.append(int(path.parent.name))
                        os.kill(found[0], signal.SIGSTOP)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield lambda: os.kill(found[0], signal.SIGCONT)
    finally:
        ended.set()
        looking.join()
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
@pytest.mark.parametrize("wanted", [".", "store/corpus/manifest.json"])  # before it is there, and while it is empty
def test_who_searches_before_there_is_a_collection_is_answered_when_it_is_there(open_page, tmp_path, wanted):
    store = tmp_path / "store"
    with halted_ingest(store, wanted) as go_on, running("--store", str(store), cwd=tmp_path) as application:
        page = open_page(application.address, ready="#starting .panel")
        page.fill("#query textarea", "mercury")
        page.press("#query textarea", "Enter")
        page.wait_for_selector("#results .panel.note")
        go_on()
        wait_for_hits(page, "corpus/", timeout=90_000)
        assert "without an instruction" not in page.inner_text("#results .found")
        wait_for_address(page, c="corpus", q="mercury")


def state(page):
    query = page.input_value("#query textarea")
    wait_for_address(page, q=query, i=page.input_value("#instruction textarea"))
    return (query, page.input_value("#instruction textarea"), titles(page), here(page))


def test_each_search_is_a_visit(two, open_page):
    page = open_page(two.address)
    visited = []
    search(page, "mercury", ASTRONOMY)
    visited.append(state(page))
    with page.expect_response(lambda answer: "/gradio_api/run/" in answer.url):
        page.press(
            "#query textarea", "Enter"
        )  # the same again: no visit; a slow page would send it with the next words
    search(page, "mercury ", MYTHOLOGY)
    visited.append(state(page))
    search(page, "boots")
    visited.append(state(page))
    for back, (query, instruction, hits, url) in (
        ("go_back", visited[1]),
        ("go_back", visited[0]),
        ("go_forward", visited[1]),
        ("go_forward", visited[2]),
    ):
        getattr(page, back)()
        wait_until_here(page, url)
        page.wait_for_function("q => document.querySelector('#query textarea').value === q", arg=query, timeout=20_000)
        page.wait_for_function("t => document.querySelector('#results .title')?.innerText === t", arg=hits[0])
        assert state(page) == (query, instruction, hits, url)
    for _ in range(3):
        page.go_back()
    page.wait_for_selector("#results .try")  # as it was opened
    assert page.input_value("#query textarea") == "" and here(page) == two.address


def test_options_tabs_and_collections_come_back(two, open_page):
    page = open_page(at(two, tab="search", c="corpus", q="boots", w="stars <= 2", m="hybrid", k="3", i="-"))
    page.wait_for_selector("#results .card")
    first = here(page)
    assert len(titles(page)) == 3
    page.click("[data-tab-id=compare]")
    act(page, "#comparison .badge", "#compare-go", **{"compare-query": "mercury"})
    wait_for_address(page, tab="compare", q="mercury")
    compared = here(page)
    page.click("[data-tab-id=map]")
    wait_for_address(page, tab="map", c="corpus")
    choose(page, "weather")
    wait_for_address(page, tab="map", c="weather")
    page.click("[data-tab-id=search]")
    wait_for_address(page, tab="search", c="weather", q="boots")
    for _ in range(3):
        page.go_back()
    assert here(page) == compared
    page.wait_for_selector("#tab-compare:visible #comparison .badge")
    wait_for_hits(page, "corpus/", "#comparison")
    assert page.input_value("#collection input") == "corpus"
    for _ in range(2):
        page.go_back()
    assert here(page) == first
    page.wait_for_selector("#tab-search:visible .card")
    wait_for_hits(page, "reviews.csv")
    page.click("text=Filter")
    assert len(titles(page)) == 3 and page.input_value("#where textarea") == "stars <= 2"
    assert page.locator("#mode input:checked").get_attribute("value") == "hybrid"
    assert page.input_value("#top-k input[type=number]") == "3" and page.input_value("#instruction textarea") == ""


def test_a_tab_keeps_its_search_in_the_address(two, open_page):
    page = open_page(at(two, tab="search", c="weather", q="rain", i=NEWS))
    page.wait_for_selector("#results .card")
    shown = here(page)
    page.click("[data-tab-id=evaluation]")
    wait_for_address(page, tab="evaluation", c="weather")
    page.click("[data-tab-id=search]")
    page.wait_for_function("u => location.href === u", arg=shown, timeout=10_000)
    page.reload()
    page.wait_for_selector("#results .card")
    assert here(page) == shown and titles(page)[0] == "Rain"
    page.go_back()
    page.wait_for_selector("#tab-evaluation:visible")
    assert urlencode(named(page)) == "tab=evaluation&c=weather"


TABS = ("search", "compare", "map", "prompts", "collections", "evaluation")


def is_in_view(page, selector):
    """Whether the first node of a selector is wholly inside the window."""
    return page.evaluate(
        "s => { const b = document.querySelector(s).getBoundingClientRect();"
        " return b.height > 0 && b.top >= 0 && b.bottom <= innerHeight; }",
        selector,
    )


def wait_until_in_view(page, selector):
    page.wait_for_function(
        "s => { const b = document.querySelector(s)?.getBoundingClientRect();"
        " return b && b.height > 0 && b.top >= 0 && b.bottom <= innerHeight; }",
        arg=selector,
        timeout=10_000,
    )


def test_what_is_found_is_seen_on_a_narrow_screen(two, open_page):
    page = open_page(at(two, tab="search", c="corpus", q="mercury"), width=390, height=844)
    page.wait_for_selector("#results .card")
    assert is_in_view(page, "#results .title")  # a link that somebody follows
    page.evaluate("scrollTo(0, 0)")
    search(page, "boots")
    wait_until_in_view(page, "#results .title")
    page.goto(at(two, tab="compare"))
    page.wait_for_function("document.querySelector('#collection input')?.value")
    act(page, "#comparison .card", "#compare-go", **{"compare-query": "mercury"})
    wait_until_in_view(page, "#comparison .title")
    page.goto(at(two, tab="map"))
    page.wait_for_function("document.querySelector('#collection input')?.value")
    page.click("#map-method label >> nth=1")
    act(page, ".map-root[data-drawn]", "#map-go")
    wait_until_in_view(page, ".map canvas")


def test_a_prompt_is_seen_on_a_narrow_screen(two, open_page):
    page = open_page(at(two, tab="prompts"), width=390, height=844, ready="#prompt-go")
    make_prompt(page, "The export hangs at 99 percent and never ends.", "Name the component of the bug.")
    wait_until_in_view(page, "#prompt .found")
    assert page.locator("pre.prompt").bounding_box()["y"] < 400


@pytest.mark.parametrize("width", [1440, 1280, 390])
def test_all_tabs_have_one_width(two, open_page, width):
    page = open_page(at(two, tab="search", q="mercury"), width=width, height=844)
    page.wait_for_selector("#results .card")
    boxes = {}
    for name in TABS:
        if not page.locator(f"[role=tab][data-tab-id={name}]").count():  # it is in the menu of a narrow screen
            page.click("#tabs .overflow-menu > button")
            page.click(f"#tabs .overflow-dropdown button:text-is('{name.capitalize()}')")
        else:
            page.click(f"[role=tab][data-tab-id={name}]")
        page.wait_for_selector(f"#tab-{name}:visible")
        wait_for_address(page, tab=name)
        boxes[name] = page.locator(f"#tab-{name}").bounding_box()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    for side in ("x", "width"):
        values = [box[side] for box in boxes.values()]
        assert max(values) - min(values) <= 2, boxes
    assert boxes["search"]["width"] >= min(1280, width - 60)


def focused(page):
    return page.evaluate(
        "document.activeElement.closest('.drawer') ? 'inside' : document.activeElement.dataset.action || ''"
    )


def test_the_drawer_is_a_modal_dialog(two, open_page):
    page = open_page(at(two, tab="search", c="corpus", q="mercury"))
    page.wait_for_selector("#results .card")
    for action, clicked in (("open", ".card >> nth=1 >> .title"), ("why", ".card >> nth=1 >> [data-action=why]")):
        page.click(f"#results {clicked}")
        page.wait_for_selector(".drawer[role=dialog][aria-modal=true]")
        for key in ("Tab", "Tab", "Tab", "Tab", "Shift+Tab", "Shift+Tab", "Shift+Tab"):
            page.keyboard.press(key)
            assert focused(page) == "inside", key
        behind = "n => n.closest('[inert]') !== null"
        assert all(page.locator(selector).first.evaluate(behind) for selector in ("#tabs", "#collection", "footer"))
        assert not page.locator(".drawer").evaluate(behind)
        page.mouse.move(100, 500)
        page.mouse.wheel(0, 600)
        page.wait_for_timeout(200)
        assert page.evaluate("scrollY") == 0
        page.keyboard.press("Escape")
        page.wait_for_selector(".drawer", state="detached")
        assert focused(page) == action
        assert page.evaluate(
            "document.activeElement.closest('[data-chunk]') === document.querySelectorAll('#results .card')[1]"
        )
        assert page.locator("[inert]").count() == 0
    page.mouse.wheel(0, 600)
    page.wait_for_function("scrollY > 0")


def test_the_theme_button_says_what_it_does(two, open_page):
    page = open_page(two.address, dark=True)
    button = page.get_by_role("button", name="Switch to the light theme")
    assert button.inner_text() == "◐"
    button.click()
    assert not page.evaluate("document.body.classList.contains('dark')")
    page.get_by_role("button", name="Switch to the dark theme").wait_for()
    page.reload()
    page.get_by_role("button", name="Switch to the dark theme").wait_for()
