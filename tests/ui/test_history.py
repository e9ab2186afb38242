"""The address and the history of the page: each search, tab and collection comes back."""

from urllib.parse import urlencode

import pytest

from tests.ui.browsing import (
    act,
    at,
    choose,
    here,
    named,
    search,
    titles,
    wait_for_address,
    wait_for_hits,
    wait_until_here,
)
from tests.ui.conftest import ASTRONOMY, MYTHOLOGY, NEWS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.trust,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def state(page):
    query = page.input_value("#query textarea")
    wait_for_address(page, q=query, i=page.input_value("#instruction textarea"))
    return (query, page.input_value("#instruction textarea"), titles(page), here(page))


def test_each_search_is_a_visit(two, open_page):
    page = open_page(two.address)
    visited = []
    search(page, "mercury", ASTRONOMY)
    visited.append(state(page))
    # The same again is no visit. Its answer is awaited: a slow page would send it with the next words.
    with page.expect_response(lambda answer: "/gradio_api/run/" in answer.url):
        page.press("#query textarea", "Enter")
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


def test_a_late_answer_of_another_collection_does_not_stay(two, open_page):
    page = open_page(at(two, tab="search", c="corpus", q="mercury"))
    wait_for_hits(page, "corpus/")
    held, is_open = [], False

    def hold(route):
        asked = route.request.post_data or ""
        held.append(route) if "weather" in asked and "mercury" in asked and not is_open else route.continue_()

    page.route("**/gradio_api/run/*", hold)
    choose(page, "weather")
    wait_for_address(page, c="weather")
    while not held:  # the search made again there is asked, and not answered
        page.wait_for_timeout(50)
    page.go_back()
    wait_for_address(page, c="corpus")
    page.wait_for_function("document.querySelector('#collection input').value === 'corpus'")
    wait_for_hits(page, "corpus/")
    is_open = True
    for route in held:
        with page.expect_response(lambda answer: "/gradio_api/run/" in answer.url):
            route.continue_()
    page.wait_for_timeout(2000)  # it is drawn by now
    wait_for_hits(page, "corpus/")
    assert page.locator("#results .from:has-text('notes/')").count() == 0
    assert named(page)["c"] == "corpus" and page.input_value("#collection input") == "corpus"
