"""How long does an evaluation take, and in how much memory? Our encoder against sentence-transformers, same tasks.

    python benchmarks/evaluation.py --data DIR --suite sts,pair-classification

Each system runs in a process of its own with an empty output folder, without instructions, so that both embed the very
same texts; the embedding cache is on for both. Peak memory is the process's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SYSTEMS = {"ours": "default@none", "sentence-transformers": "st:default@none"}


def measure(model: str, suite: str, data: str) -> tuple[float, float]:
    """Return seconds and peak MB of a run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "eval", "--suite", suite, "--data", data, "--models", model, "--quiet"]
        started = time.perf_counter()
        process = subprocess.Popen([*command, "--output", folder], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status):
            sys.exit(f"{model} failed")
        return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="all")
    parser.add_argument("--data", default="bundled")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    data = str(Path(args.data).resolve()) if Path(args.data).is_dir() else args.data
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SYSTEMS}
    for _ in range(args.rounds):  # interleaved
        for name, model in SYSTEMS.items():
            found[name].append(measure(model, args.suite, data))
    seconds = {name: sorted(s for s, _ in rows)[len(rows) // 2] for name, rows in found.items()}
    print("| system | seconds | peak MB | speed |\n|---|---|---|---|")
    for name, rows in found.items():
        ratio = seconds["sentence-transformers"] / seconds[name]
        print(f"| {name} | {seconds[name]:.1f} | {max(m for _, m in rows):.0f} | {ratio:.2f}x |")


if __name__ == "__main__":
    main()
