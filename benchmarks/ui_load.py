"""Many users at once:  python benchmarks/ui_load.py [--users 20] [--seconds 60] [--address http://127.0.0.1:7860/]

Each user searches again and again through the application's API, with a second of thought in between. Prints one table;
without --address it starts the application itself, on the store given (default: the one of the other commands).

    python benchmarks/ui_load.py --memory     # what 5,000 searches of programs and 500 of a page leave in memory
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORDS = (
    "mercury",
    "bark",
    "boots that broke",
    "notice period",
    "login crashes",
    "virus",
    "rye bread",
    "jaguar",
    "java",
)
DOMAINS = ("astronomy", "Roman mythology", "legal", "medical", "customer review", "software", "cooking", "biology")


def main() -> None:
    """Start what is to be measured, if need be, and measure it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=1.0, help="seconds between two searches of a user")
    parser.add_argument("--address")
    parser.add_argument("--store")
    parser.add_argument("--memory", action="store_true", help="measure memory over many searches instead")
    parser.add_argument("--calls", type=int, default=5000, help="with --memory: searches of programs")
    parser.add_argument("--pages", type=int, default=500, help="with --memory: searches in a browser")
    args = parser.parse_args()
    if args.address:
        report(args, args.address, None)
        return
    command = [sys.executable, "-m", "ui.app", "--port", "0", *(["--store", args.store] if args.store else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        for line in process.stdout:
            found = re.search(r"http://\S+/", line)
            if found:
                (flat if args.memory else report)(args, found[0], process.pid)
                break
    finally:
        process.terminate()


def report(args: argparse.Namespace, address: str, pid: int | None) -> None:
    """Let the users search, and print the table."""
    times, errors, ends = [], [], time.monotonic() + args.seconds
    users = [
        threading.Thread(target=use, args=(address, args.think, ends, times, errors, n)) for n in range(args.users)
    ]
    before = memory(pid)
    for user in users:
        user.start()
    half = None
    while any(user.is_alive() for user in users):
        time.sleep(0.5)
        if half is None and time.monotonic() > ends - args.seconds / 2:
            half = memory(pid)
    times.sort()
    print("| users | searches | errors | p50 ms | p95 ms | p99 ms | MB before | MB half-way | MB at the end |")
    print("|---|---|---|---|---|---|---|---|---|")
    at = [1000 * times[min(int(q * len(times)), len(times) - 1)] for q in (0.5, 0.95, 0.99)] if times else [0, 0, 0]
    print(
        f"| {args.users} | {len(times)} | {len(errors)} | {at[0]:.0f} | {at[1]:.0f} | {at[2]:.0f} | {before} | {half} "
        f"| {memory(pid)} |"
    )
    if errors:
        print(statistics.mode(errors))


def use(address: str, think: float, ends: float, times: list[float], errors: list[str], number: int) -> None:
    """Search until the time is over."""
    from gradio_client import Client

    draw = random.Random(number)
    try:
        client = Client(address, verbose=False)
    except Exception as error:
        errors.append(repr(error)[:200])
        return
    while time.monotonic() < ends:
        instruction = f"Represent the {draw.choice(DOMAINS)} question for retrieving supporting documents: "
        started = time.perf_counter()
        try:
            hits = client.predict(query=draw.choice(WORDS), instruction=instruction, api_name="/search")
            times.append(time.perf_counter() - started)
            if not hits:
                errors.append("no hits")
        except Exception as error:
            errors.append(repr(error)[:200])
        time.sleep(think * draw.uniform(0.5, 1.5))


def flat(args: argparse.Namespace, address: str, pid: int) -> None:
    """Print the memory before, after many calls of programs that are not known to one another, and after a page's."""
    many(address, 300)
    in_browser(address, 20)
    before = memory(pid)
    started = time.monotonic()
    many(address, args.calls)
    called, took = memory(pid), time.monotonic() - started
    in_browser(address, args.pages)
    after = memory(pid)
    print("| what | searches | MB before | MB after | MB more |")
    print("|---|---|---|---|---|")
    print(f"| programs ({args.calls / took:.0f} a second) | {args.calls} | {before} | {called} | {called - before} |")
    print(f"| a page, opened anew after 50 | {args.pages} | {called} | {after} | {after - called} |")


def many(address: str, count: int, threads: int = 4) -> None:
    """Search by plain HTTP, each time as a program that the server has not seen."""
    place = address.split("/")[2]

    def some(number: int) -> None:
        draw = random.Random(number)
        for _ in range(count // threads):
            instruction = f"Represent the {draw.choice(DOMAINS)} question for retrieving supporting documents: "
            call(place, [draw.choice(WORDS), instruction, "corpus", "", "dense", "", 10])

    users = [threading.Thread(target=some, args=(n,)) for n in range(threads)]
    for user in users:
        user.start()
    for user in users:
        user.join()


def call(place: str, data: list[object]) -> None:
    """Call the API's search once, and take the answer."""
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request(
        "POST", "/gradio_api/call/search", json.dumps({"data": data}), {"content-type": "application/json"}
    )
    event = json.loads(connection.getresponse().read())["event_id"]
    connection.request("GET", f"/gradio_api/call/search/{event}")
    if b"event: complete" not in connection.getresponse().read():
        raise SystemExit("a search was not answered")
    connection.close()


def in_browser(address: str, count: int) -> None:
    """Search in the system's chromium, in a page that is opened anew after 50 searches."""
    import shutil

    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for number in range(count):
            if number % 50 == 0:
                page = browser.new_page()
                page.goto(f"{address}?tab=search&c=corpus&q=mercury")
                page.wait_for_selector("#results .card")
            query = f"{WORDS[number % len(WORDS)]} {number}"
            page.fill("#query textarea", query)
            page.press("#query textarea", "Enter")
            seen = "q => (document.querySelector('#results [data-asked]')?.dataset.asked || '').includes(JSON.stringify(q))"
            page.wait_for_function(seen, arg=query)
            if number % 50 == 49:
                page.close()
        browser.close()


def memory(pid: int | None) -> int | None:
    """Return the resident megabytes of a process, on Linux."""
    with contextlib.suppress(OSError, TypeError, ValueError):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) >> 10
    return None


if __name__ == "__main__":
    main()
