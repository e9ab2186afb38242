"""What axe-core finds on every tab: nothing serious and nothing critical, light and dark, on wide and narrow screens."""

import os
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.ui.browsing import at
from tests.ui.conftest import ASTRONOMY, MYTHOLOGY

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MERCURY = {"c": "corpus", "q": "mercury", "i": ASTRONOMY}
SCENES = {  # what the address asks for, what is clicked then, and what is seen at the end
    "start": ({"tab": "search"}, "", "#results .try"),
    "search": ({"tab": "search", **MERCURY}, "", "#results .card"),
    "error": ({"tab": "search", **MERCURY, "w": "star < 3"}, "", "#results .panel.error"),
    "document": ({"tab": "search", **MERCURY}, "#results .title >> nth=0", ".drawer #passage"),
    "why": ({"tab": "search", **MERCURY}, "#results [data-action=why] >> nth=0", ".drawer .why"),
    "compare": ({"tab": "compare", **MERCURY, "j": MYTHOLOGY}, "", "#comparison .badge"),
    "map": ({"tab": "map"}, "#map-go", ".map-root[data-drawn]"),
    "prompts": ({"tab": "prompts"}, "", "#prompt-go"),
    "collections": ({"tab": "collections"}, "", "#collection-facts table"),
    "evaluation": ({"tab": "evaluation"}, "", "#scores .panel"),
}
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
FIND = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
  .filter((v) => ['serious', 'critical'].includes(v.impact))
  .flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 120)} -- ${n.failureSummary.split('\\n').slice(1).join(' ').trim()}`))"""
DARK = "dark => { for (const node of [document.body, document.documentElement]) node.classList.toggle('dark', dark); }"


@pytest.fixture(scope="module")
def axe():
    """The text of axe-core, which ``make axe`` installs."""
    path = Path(os.environ.get("AXE_CORE") or ROOT / "node_modules/axe-core/axe.min.js")
    if not path.is_file():
        pytest.skip(f"axe-core is not at {path}; install it: make axe (or name its file in AXE_CORE)")
    return path.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.trust
@pytest.mark.parametrize("size", SIZES)
def test_nothing_keeps_people_out(application, open_page, axe, size):
    width, height = SIZES[size]
    page, found = open_page(application.address, width=width, height=height), []
    page.emulate_media(reduced_motion="reduce")  # colours are at once what they will be
    for name, (asked, clicked, seen) in SCENES.items():
        page.goto(at(application, **asked))
        page.wait_for_function("document.querySelector('#collection input')?.value")
        if clicked:
            page.click(clicked)
        page.wait_for_selector(seen)
        page.evaluate(axe)
        for dark in (False, True):
            page.evaluate(DARK, dark)
            found += [f"{name}, {'dark' if dark else 'light'}: {violation}" for violation in page.evaluate(FIND)]
    assert not found, "\n" + "\n".join([f"{len(found)} in all", *found[:30]])
