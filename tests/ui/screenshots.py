"""Pictures of every tab, light and dark, wide and narrow:  python -m tests.ui.screenshots --output DIR [--only compare]"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from tests.ui.conftest import ASTRONOMY, MYTHOLOGY, chromium, make_prompt, running

SIZES = {"wide": (1440, 900), "narrow": (390, 844)}


def search(page):
    page.wait_for_selector("#results .card")


def why(page):
    page.wait_for_selector("#results .card")
    page.click("#results [data-action=why] >> nth=0")
    page.wait_for_selector(".drawer .why")


def document(page):
    page.wait_for_selector("#results .card")
    page.click("#results .title >> nth=0")
    page.wait_for_selector(".drawer #passage")


def compare(page):
    page.wait_for_selector("#comparison .badge")


def draw(page):
    page.click("#map-go")
    page.wait_for_selector(".map-root[data-drawn]")


def prompts(page):
    make_prompt(page, "The export hangs at 99 percent and never ends.", "Name the component of the bug.")


def nothing(page):
    page.wait_for_timeout(300)


def wrong(page):
    page.wait_for_selector("#results .panel.error")


MERCURY = {"c": "corpus", "q": "mercury"}
SCENES = {
    "start": ({"tab": "search"}, nothing),
    "search": ({"tab": "search", **MERCURY, "i": ASTRONOMY}, search),
    "document": ({"tab": "search", **MERCURY, "i": ASTRONOMY}, document),
    "why": ({"tab": "search", **MERCURY, "i": ASTRONOMY}, why),
    "error": ({"tab": "search", **MERCURY, "w": "star < 3"}, wrong),
    "compare": ({"tab": "compare", **MERCURY, "i": ASTRONOMY, "j": MYTHOLOGY}, compare),
    "map": ({"tab": "map"}, draw),
    "prompts": ({"tab": "prompts"}, prompts),
    "collections": ({"tab": "collections"}, nothing),
    "evaluation": ({"tab": "evaluation"}, nothing),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("screenshots"))
    parser.add_argument("--only", help="scenes, separated by commas")
    parser.add_argument("--store", type=Path, help="store to show; default: a new one, made from corpus/")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    wanted = args.only.split(",") if args.only else list(SCENES)
    folder = Path(tempfile.mkdtemp())
    try:
        with running("--store", str(args.store or folder / "store"), "--runs", "runs") as application:
            take(application.address, wanted, args.output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def take(address: str, wanted: list[str], output: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=options)
        for name in wanted:
            query, act = SCENES[name]
            for size, (width, height) in SIZES.items():
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
                page = context.new_page()
                page.set_default_timeout(240_000)
                page.goto(f"{address}?{urlencode(query)}")
                page.wait_for_function("document.querySelector('#collection input')?.value")
                act(page)
                page.wait_for_timeout(600)
                page.screenshot(path=output / f"{name}-{size}-light.png")
                page.evaluate("document.querySelector('#theme').click()")
                page.wait_for_timeout(400)
                page.screenshot(path=output / f"{name}-{size}-dark.png")
                context.close()
                print(name, size, flush=True)
        browser.close()


if __name__ == "__main__":
    main()
