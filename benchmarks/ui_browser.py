"""The application in a real browser:  python benchmarks/ui_browser.py [--count 100000] [--points 50000] [--searches 100]

Fills a store as benchmarks/search.py does (vectors of docstrings, and mixtures of neighbours), starts the application and
chromium, and prints one table: from Enter to the hits on the page, and how a map of many points is drawn and dragged.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.search import collection_of, embedded, with_synthetic
from tests.ui.conftest import chromium, running

ROOT = Path(__file__).resolve().parents[1]
ASKED = "q => (document.querySelector('#results [data-asked]')?.dataset.asked || '').includes(JSON.stringify(q))"
WATCH = """() => { let shown; const results = document.querySelector('#results');
 addEventListener('keydown', e => { if (e.key === 'Enter') { window.took = null; window.since = performance.now(); } }, true);
 new MutationObserver(() => { const asked = results.querySelector('[data-asked]')?.dataset.asked;
  if (asked && asked !== shown) { shown = asked; const there = performance.now() - window.since;
   requestAnimationFrame(() => setTimeout(() => window.took = [there, performance.now() - window.since])); } })
 .observe(results, {childList: true, subtree: true, attributes: true}); }"""
FRAMES = """steps => new Promise(done => { const canvas = document.querySelector('.map canvas'), box = canvas.getBoundingClientRect();
 const times = [], points = []; let step = 0, before = 0;
 const at = (kind, x) => canvas.dispatchEvent(new PointerEvent(kind, {clientX: x, clientY: box.top + 200, pointerId: 1, bubbles: true}));
 canvas.setPointerCapture = () => {};
 at('pointerdown', box.left + 100);
 const move = now => { if (before) { times.push(now - before); points.push(+canvas.dataset.points); }
  before = now; at('pointermove', box.left + 100 + step % 200);
  if (++step < steps) requestAnimationFrame(move);
  else { at('pointerup', box.left + 100 + step % 200); const moving = points.slice(steps / 4);
   setTimeout(() => done([times, moving.reduce((a, b) => a + b) / moving.length, +canvas.dataset.points]), 1000); } };
 requestAnimationFrame(move); })"""


def main() -> None:
    """Fill the store, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="chunks that are searched")
    parser.add_argument("--points", type=int, default=50_000, help="chunks on the map")
    parser.add_argument("--searches", type=int, default=100)
    parser.add_argument("--real", type=int, default=6_000, help="texts that are really embedded")
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "benchmarks")
    args = parser.parse_args()
    texts, vectors, asked, _ = embedded(args.cache, args.real, args.searches)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, count in (("searched", args.count), ("mapped", args.points)):
            collection_of(Path(folder) / name, texts, with_synthetic(vectors, count))
        store = str(Path(folder) / "searched")
        upkeep = [sys.executable, "-m", "instructor_search", "maintain", "--collection", "bench", "--store", store]
        subprocess.run(upkeep, check=True, cwd=ROOT, stdout=sys.stderr)
        with running("--store", store) as application, opened() as browser:
            there, drawn = searches(browser, application.address, asked)
            rows.append(("search, from Enter until the hits are in the page", args.count, *there))
            rows.append(("the same, until they are drawn (software rendering)", args.count, *drawn))
        with running("--store", str(Path(folder) / "mapped")) as application, opened() as browser:
            seconds, (frames, moving, still) = drawn_map(browser, application.address)
            rows.append(
                (
                    "map by principal components, from Draw to the points (once)",
                    args.points,
                    1000 * seconds,
                    1000 * seconds,
                )
            )
            what = f"map, from frame to frame while it is dragged ({moving:,.0f} of its points; {still:,} at rest)"
            rows.append((what, args.points, *at(frames)))
    print("| | chunks | p50 ms | p95 ms |\n|---|---|---|---|")
    for what, count, middle, high in rows:
        print(f"| {what} | {count:,} | {middle:.0f} | {high:.0f} |")


class opened:  # noqa: N801 - a context
    """Chromium, without a GPU."""

    def __enter__(self) -> Any:
        from playwright.sync_api import sync_playwright

        self.playwright = sync_playwright().start()
        options = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
        self.browser = self.playwright.chromium.launch(executable_path=chromium(), args=options)
        return self.browser

    def __exit__(self, *_: object) -> None:
        self.browser.close()
        self.playwright.stop()


def ready(browser: Any, address: str) -> Any:
    """Return a page that has loaded."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(300_000)
    page.goto(address)
    page.wait_for_function("document.querySelector('#collection input')?.value")
    return page


def searches(browser: Any, address: str, asked: list[str]) -> list[tuple[float, float]]:
    """Return p50 and p95 in ms of searches, one after the other, the first five not counted.

    By the page's own clock: from the key until the hits are in the page, and to the end of the frame that draws them.
    """
    page, times = ready(browser, address), []
    page.evaluate(WATCH)
    for query in dict.fromkeys(" ".join(q.split())[:100] for q in asked):
        page.fill("#query textarea", query)
        page.press("#query textarea", "Enter")
        page.wait_for_function(ASKED, arg=query)
        page.wait_for_function("window.took")
        times.append(page.evaluate("window.took"))
    return [at(part) for part in zip(*times[5:], strict=True)]


def drawn_map(browser: Any, address: str) -> tuple[float, tuple[list[float], float, int]]:
    """Return the seconds until the points of a view are on the page, by principal components, and how it is dragged.

    That is: ms from each frame to the next, points drawn meanwhile (mean of the last three quarters), and afterwards.
    """
    page = ready(browser, f"{address}?tab=map")
    page.wait_for_selector("#map-go")
    page.click("#map-method label >> nth=1")
    page.click("#map-beside label >> nth=0")
    time.sleep(1)
    started = time.perf_counter()
    page.click("#map-go")
    page.wait_for_selector(".map-root[data-drawn]")
    seconds = time.perf_counter() - started
    return seconds, page.evaluate(FRAMES, 240)


def at(times: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile."""
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)]


if __name__ == "__main__":
    main()
