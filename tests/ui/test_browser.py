"""The application in a real browser, as a user meets it."""

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest

from instructor_search import Collection
from instructor_search.store.judgments import read_judgments
from tests.conftest import ROOT
from tests.ui.conftest import ASTRONOMY, MYTHOLOGY, Application, make_prompt, running

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


ALONE = """
import fcntl, socket, struct, sys, urllib.request
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # loopback up: IFF_UP and IFF_RUNNING
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x41))
try:
    socket.create_connection(("192.0.2.1", 80), 2)
    sys.exit("there is a network")
except OSError:
    pass
sys.path.insert(0, {root!r})
from tests.ui.conftest import running
with running("--store", {store!r}) as application:
    page = urllib.request.urlopen(application.address).read().decode()
    assert "<gradio-app" in page
    print("whole")
"""


def at(application, **state):
    return f"{application.address}?{urlencode(state)}"


def titles(page, where="#results"):
    return page.locator(f"{where} .card .title").all_inner_texts()


def search(page, query, instruction=None):
    if instruction is not None:
        page.fill("#instruction textarea", instruction)
    page.fill("#query textarea", query)
    page.press("#query textarea", "Enter")
    page.wait_for_function(
        "q => (document.querySelector('#results [data-asked]')?.dataset.asked || '').includes(JSON.stringify(q))",
        arg=query,
    )
    page.wait_for_selector("#results .card, #results .panel")


def test_the_instruction_decides_and_the_address_can_be_shared(application, open_page):
    page = open_page(application.address)
    search(page, "mercury", ASTRONOMY)
    assert titles(page)[0] == "Mercury (planet)"
    assert page.locator("#results .card mark").count() == 10
    search(page, "mercury ", MYTHOLOGY)
    assert titles(page)[0] == "Mercury (god)"
    other = open_page(page.url)  # somebody else follows the link
    other.wait_for_selector("#results .card")
    assert titles(other) == titles(page)
    assert other.locator("#instruction textarea").input_value() == MYTHOLOGY
    page.focus("#results .title >> nth=0")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.innerText") == titles(page)[1]


def act(page, until, *clicks, **boxes):
    """Fill in boxes and click, until the effect is seen.

    On a busy machine a page that is still drawing gives a box that was just opened its old value late, and has dropped
    clicks (of those that are pressed while it draws anew, see below, the page makes up); a person would do it once more.
    """
    from playwright.sync_api import TimeoutError as Late

    for _ in range(6):
        for name, text in boxes.items():
            page.fill(f"#{name} textarea", text)
        for click in clicks:
            page.click(click)
        try:
            return page.wait_for_selector(until, timeout=15_000)
        except Late:
            continue
    raise AssertionError(f"{clicks} six times with {boxes}, and there is no {until}")


def test_filters_modes_and_wrong_input(application, open_page):
    page = open_page(at(application, tab="search", c="corpus", q="boots", w="stars <= 2"))
    page.wait_for_selector("#results .card")
    assert all("reviews.csv" in text for text in page.locator("#results .from").all_inner_texts())
    page.click("text=Words")
    page.wait_for_function("document.querySelector('#results').innerText.includes('by words')")
    page.click("text=Filter")
    act(page, "#results .panel.error", "#go", where="star <= 2")
    said = page.inner_text("#results .panel.error")
    assert "unknown filter field 'star' (did you mean stars?)" in said and "Traceback" not in said
    act(page, "#results .try", "#go", where="", query=" ")


@pytest.mark.parametrize(("tab", "where"), [("search", "#results"), ("compare", "#comparison")])
def test_an_address_of_a_collection_that_is_not_there(application, open_page, tab, where):
    address = at(application, tab=tab, c="nope", q="boots")
    page = open_page(address, ready=f"{where} .panel.error")
    assert "no collection 'nope'" in page.inner_text(f"{where} .panel.error") and page.url == address


def test_a_click_counts_where_hits_are_drawn_anew_under_it(application, open_page):
    page = open_page(at(application, tab="search", c="corpus", q="mercury"))
    page.wait_for_selector("#results .card")
    box = page.locator("#results .title >> nth=0").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 8)
    page.mouse.down()
    page.evaluate(
        "() => { const drawn = document.querySelector('#results [data-asked]').parentElement;"
        " drawn.innerHTML = String(drawn.innerHTML); }"
    )
    page.mouse.up()
    page.wait_for_selector(".drawer #passage", timeout=30_000)
    assert page.inner_text(".drawer h2") == titles(page)[0]


def test_a_hit_opens_without_the_queue(application, open_page):
    """An event that joins the queue as the stream of its answers closes never hears: one click in seven, here."""
    page, asked = open_page(at(application, tab="search", c="corpus", q="mercury")), []
    page.wait_for_selector("#results .card")
    page.on("request", lambda request: asked.append((request.url, request.post_data or "")))
    page.click("#results .title >> nth=0")
    page.wait_for_selector(".drawer #passage", timeout=30_000)
    (opened,) = [url for url, sent in asked if '"action":"open"' in sent]
    assert "/run/" in opened
    page.keyboard.press("Escape")
    page.evaluate("document.querySelector('#results [data-chunk]').dataset.chunk = 'gone'")
    page.click("#results .title >> nth=0")
    page.wait_for_selector(".drawer [role=alert]", timeout=30_000)
    assert "'corpus' has no chunk 'gone'" in page.inner_text(".drawer")


def test_who_asks_again_before_the_answer_gets_the_later_one(application, open_page):
    """Without it the second press is always dropped; with it once in a while, on a busy machine: three tries."""
    from playwright.sync_api import TimeoutError as Late

    page = open_page(at(application, tab="search", c="corpus"))
    for last in ("virus", "crane", "jaguar"):
        for query in ("mercury", "boots", last):
            page.fill("#query textarea", query)
            page.click("#go")
        seen = f"document.querySelector('#results [data-asked]')?.dataset.asked.includes('\"{last}\"')"
        try:
            page.wait_for_function(seen, timeout=20_000)
            return
        except Late:
            continue
    raise AssertionError("three times the last of three searches was not answered")


def test_a_document_opens_at_its_passage_and_says_why(application, open_page):
    page = open_page(at(application, tab="search", c="corpus", q="mercury", i=ASTRONOMY))
    act(page, ".drawer #passage", "#results .title >> nth=0")
    assert "smallest planet" in page.inner_text(".drawer #passage")
    page.keyboard.press("Escape")
    page.wait_for_selector(".drawer", state="detached")
    act(page, ".drawer .why", "#results [data-action=why] >> nth=0")
    scores = [float(text.split()[1]) for text in page.locator(".why > .sum >> nth=0").all_inner_texts()]
    shares = page.evaluate(
        "[...document.querySelectorAll('.why')].map(w => [...w.querySelectorAll('.heat')[0].querySelectorAll('span')]"
        ".reduce((sum, s) => sum + parseFloat(s.title), parseFloat(w.querySelectorAll('.sum')[1].innerText.split(': ')[1])))"
    )
    assert shares[0] == pytest.approx(scores[0], abs=0.005)  # each of the shown shares is rounded


def test_hits_that_do_not_stand_out_are_said_and_the_right_sentence_is_marked(application, open_page):
    page = open_page(at(application, tab="search", c="corpus", q="qwxzv blorf"))
    page.wait_for_selector("#results .card")
    assert "No hit stands out" in page.inner_text("#results")
    search(page, "which medicine makes me cough")
    page.wait_for_selector("#results .card")
    assert "No hit stands out" not in page.inner_text("#results")
    (pressure,) = [
        card
        for card in page.locator("#results .card").all()
        if "page 2" in card.inner_text() and "blood_pressure.pdf" in card.inner_text()
    ]
    assert "dry cough under ACE inhibitors" in pressure.locator("mark").inner_text()


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


def test_a_judgment_is_stored(application, own_store, open_page):
    page = open_page(at(application, tab="search", c="corpus", q="who walked on the moon", i=ASTRONOMY))
    act(page, "#results [data-action=up][aria-pressed=true]", "#results .card [data-action=up] >> nth=0")
    chunk = page.get_attribute("#results .card >> nth=0", "data-chunk")
    stored = [j for j in read_judgments(Collection.open("corpus", own_store)) if j.query == "who walked on the moon"]
    assert [(j.chunk_id, j.instruction, j.relevant) for j in stored] == [(chunk, ASTRONOMY, True)]
    page.reload()
    page.wait_for_selector("#results [data-action=up][aria-pressed=true]")


def test_two_users_at_once_have_their_own_state(application, open_page):
    ann = open_page(at(application, tab="search", c="corpus", q="mercury", i=ASTRONOMY))
    bob = open_page(at(application, tab="search", c="corpus", q="bark", i="-"))
    for page in (ann, bob):
        page.wait_for_selector("#results .card")
    assert "Mercury" in titles(ann)[0] and "bark" in titles(bob)[0].lower()
    act(bob, ".drawer", "#results .title >> nth=0")
    ann.wait_for_timeout(300)
    assert ann.locator(".drawer").count() == 0
    assert ann.locator("#query textarea").input_value() == "mercury"


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


@pytest.mark.slow
@pytest.mark.trust
def test_a_first_start_and_a_second(open_page, tmp_path):
    """An empty folder: the page comes at once, the collection while it is looked at; Ctrl-C ends it in order."""
    with running("--store", str(tmp_path / "store"), cwd=tmp_path) as application:
        page = open_page(application.address)  # waits until a collection stands there
        assert page.input_value("#collection input") == "corpus"
        search(page, "mercury", ASTRONOMY)
        page.wait_for_selector("#results .card")
        assert titles(page)[0] == "Mercury (planet)"
        assert application.stop() == 0
        assert "Traceback" not in "".join(application.lines)
    with running("--store", str(tmp_path / "store"), "--read-only", cwd=tmp_path) as application:
        page = open_page(application.address)
        search(page, "mercury", ASTRONOMY)
        assert page.locator("#results [data-action=up]:disabled").count() == 10
        assert "first start" not in "".join(application.lines)


@pytest.mark.slow
@pytest.mark.trust
def test_without_any_network(tmp_path, own_store):
    """Started where there is no network but loopback, the page is whole: nothing of it comes from elsewhere."""
    if not shutil.which("unshare"):
        pytest.skip("unshare is not installed")
    script = tmp_path / "alone.py"
    script.write_text(ALONE.format(root=str(ROOT), store=str(own_store)))
    command = ["unshare", "-rn", sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    if done.stderr.startswith("unshare:"):
        pytest.skip(f"no network namespace can be made here: {done.stderr.strip()[:100]}")
    assert "whole" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.trust
def test_programs_and_language_models_can_ask(own_store, tmp_path):
    with running("--store", str(own_store), "--mcp") as application:
        from gradio_client import Client

        client = Client(application.address, verbose=False)
        hits = client.predict(query="mercury", instruction=ASTRONOMY, collection="corpus", top_k=2, api_name="/search")
        assert hits[0]["title"] == "Mercury (planet)"
        told = json.loads(urllib.request.urlopen(f"{application.address}gradio_api/mcp/schema").read())
        tools = {tool["name"]: tool for tool in told}
        for name in ("search", "compare", "prompt"):
            found = next(tool for key, tool in tools.items() if key.endswith(name))
            assert any("instruction" in key for key in found["inputSchema"]["properties"])


def test_ctrl_c_ends_it(own_store):
    application = Application("--store", str(own_store))
    started = time.monotonic()
    assert application.stop() == 0
    assert time.monotonic() - started < 30 and "Traceback" not in "".join(application.lines)
    assert Path(own_store).is_dir()
