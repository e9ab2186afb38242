"""The tabs beside the search, in a real browser: comparison, map, collections, prompts."""

import shutil

import pytest

from tests.conftest import ROOT
from tests.ui.browsing import act, at, search, titles
from tests.ui.conftest import ASTRONOMY, MYTHOLOGY, make_prompt

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_comparing_two_instructions(application, open_page):
    page = open_page(at(application, tab="compare"), ready="#compare-query")
    boxes = {"compare-query": "mercury", "instruction-first": ASTRONOMY, "instruction-second": MYTHOLOGY}
    act(page, "#comparison .badge", "#compare-go", **boxes)
    first, second = (titles(page, f"#comparison .side:nth-child({n})") for n in (1, 2))
    assert (first[0], second[0]) == ("Mercury (planet)", "Mercury (god)")
    moved = page.locator("#comparison .badge.moved").count()
    assert moved and moved % 2 == 0 and "j=Represent" in page.url
    act(page, ".drawer .why", "#comparison [data-action=why] >> nth=0")
    assert page.locator(".drawer .why").count() == 2 and "Roman mythology" in page.inner_text(".drawer")


@pytest.mark.slow
def test_a_narrow_screen(application, open_page):
    page = open_page(at(application, tab="search", c="corpus", q="mercury"), width=390, height=844)
    page.wait_for_selector("#results .card")
    for tab in ("search", "compare", "map", "collections", "evaluation", "prompts"):
        page.goto(at(application, tab=tab))
        page.wait_for_function("document.querySelector('#collection input')?.value")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab


DRAG_SLOWLY = """() => new Promise(done => { const c = document.querySelector('.map canvas'); let step = 0;
 c.setPointerCapture = () => {};
 const at = kind => c.dispatchEvent(new PointerEvent(kind, {clientX: 300 + step, clientY: 300, pointerId: 7, bubbles: true}));
 at('pointerdown');
 const move = () => { const until = performance.now() + 60; while (performance.now() < until); step += 3; at('pointermove');
  if (step < 90) return requestAnimationFrame(move);
  const moving = +c.dataset.points; at('pointerup'); setTimeout(() => done([moving, +c.dataset.points]), 1000); };
 move(); })"""  # a frame takes 60 ms: fewer points are drawn, and all of them afterwards


def test_a_click_on_the_map_opens_the_document(application, open_page):
    page = open_page(at(application, tab="map"), ready="#map-go")
    page.click("#map-method label >> nth=1")
    page.click("#map-beside label >> nth=0")
    act(page, ".map-root[data-drawn]", "#map-go")
    count = int(page.get_attribute(".map-root", "data-drawn"))
    assert count >= 128
    page.locator(".map canvas").scroll_into_view_if_needed()
    drawn = page.evaluate(
        "() => { const c = document.querySelector('.map canvas'), gl = c.getContext('webgl'), p = new Uint8Array(4 * c.width * c.height);"
        " gl.readPixels(0, 0, c.width, c.height, gl.RGBA, gl.UNSIGNED_BYTE, p); return p.filter((v, i) => i % 4 === 3 && v > 0).length; }"
    )
    assert drawn > count  # points are drawn, not only a frame
    moving, still = page.evaluate(DRAG_SLOWLY)
    assert moving < 0.5 * count
    assert still == count
    x, y = page.evaluate("() => document.querySelector('.map canvas').place(5)")
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    page.wait_for_selector(".drawer #passage")


def make_docx(path):
    from docx import Document

    document = Document()
    document.add_heading("Tides", 1)
    document.add_paragraph("The moon pulls the sea, and the water rises twice a day.")
    document.save(path)


@pytest.mark.slow
@pytest.mark.trust
def test_uploads_become_a_collection(application, open_page, tmp_path):
    make_docx(tmp_path / "tides.docx")
    shutil.copy(ROOT / "corpus" / "health" / "blood_pressure.pdf", tmp_path / "pressure.pdf")
    page = open_page(at(application, tab="collections"), ready="#create")
    page.fill("#new-name input, #new-name textarea", "uploaded")
    page.set_input_files("#new-files input.files", [tmp_path / "tides.docx", tmp_path / "pressure.pdf"])
    page.wait_for_selector("#new-files [data-state=ready]")
    page.click("#create")
    page.wait_for_selector("#jobs [data-state=running] .bar")
    page.wait_for_selector("#jobs [data-state=done]")
    assert "2 files added" in page.inner_text("#jobs")
    page.wait_for_function("document.querySelector('#collection input').value === 'uploaded'")
    page.click("[role=tab][data-tab-id=search]")
    search(page, "why does the water rise")
    assert "tides.docx" in page.locator("#results .from").first.inner_text()
    search(page, "salt in food")
    assert "pressure.pdf" in page.locator("#results .from").first.inner_text()


@pytest.mark.slow
def test_an_ingest_is_cancelled(application, open_page, tmp_path):
    files = []
    for number in range(120):
        files.append(tmp_path / f"note{number}.txt")
        files[-1].write_text(" ".join(f"word{number}x{i}" for i in range(900)))
    page = open_page(at(application, tab="collections"), ready="#create")
    page.fill("#new-name input, #new-name textarea", "many")
    page.set_input_files("#new-files input.files", files)
    page.wait_for_selector("#new-files [data-state=ready]")
    page.click("#create")
    page.click("#jobs [data-action=cancel]")
    page.wait_for_selector("#jobs [data-state=cancelled]")
    page.wait_for_selector("#jobs [data-action=again]")
    assert "cancelled; what was stored stays" in page.inner_text("#jobs .job >> nth=0")


@pytest.mark.slow
def test_a_prompt_is_built_and_copied(application, open_page):
    page = open_page(at(application, tab="prompts"), ready="#prompt-go")
    make_prompt(page, "I cannot sign in with my password", "Name the component.")
    shown = page.inner_text("pre.prompt")
    assert shown.startswith("Name the component.") and shown.rstrip().endswith("Output:") and "Output: login" in shown
    page.click("#prompt [data-action=copy]")
    page.wait_for_function("document.querySelector('#prompt [data-action=copy]').innerText === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == page.evaluate(
        "document.querySelector('pre.prompt').textContent"
    )
