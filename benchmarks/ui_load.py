"""Many users at once:  python benchmarks/ui_load.py [--users 20] [--seconds 60] [--address http://127.0.0.1:7860/]

Each user searches again and again through the application's API, with a second of thought in between. Prints one table;
without --address it starts the application itself, on the store given (default: the one of the other commands).
"""

from __future__ import annotations

import argparse
import contextlib
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
                report(args, found[0], process.pid)
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
    print(f"| {args.users} | {len(times)} | {len(errors)} | {at[0]:.0f} | {at[1]:.0f} | {at[2]:.0f} | {before} | {half} "
          f"| {memory(pid)} |")  # fmt: skip
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


def memory(pid: int | None) -> int | None:
    """Return the resident megabytes of a process, on Linux."""
    with contextlib.suppress(OSError, TypeError, ValueError):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) >> 10
    return None


if __name__ == "__main__":
    main()
