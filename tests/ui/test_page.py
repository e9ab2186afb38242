"""The page as a whole: the collection at the top, narrow screens, one width of all tabs, the drawer, the theme."""

import pytest

from tests.ui.browsing import act, at, choose, named, search, titles, wait_for_address, wait_for_hits
from tests.ui.conftest import ASTRONOMY, NEWS_QUERY, make_prompt

pytestmark = [
    pytest.mark.slow,
    pytest.mark.trust,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


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
