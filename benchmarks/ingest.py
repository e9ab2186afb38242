"""Where the time of an ingest goes: 2,000 real documents, read and cut while those before are embedded and written.

    python benchmarks/ingest.py [--documents 2000]

The documents are docstrings of the Python that runs this, one file each. The peer is sentence-transformers, which
embeds the same chunks with the same model in the same run, without a store (batches of 32, sorted by length).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.texts import docstrings  # noqa: E402


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--documents", type=int, default=2000)
    count = parser.parse_args().documents
    from sentence_transformers import SentenceTransformer

    from ingest import IngestConfig, ingest
    from instructor_search import Collection
    from instructor_search.encoder.checkpoint import resolve_folder
    from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "docs")
        folder.mkdir()
        for number, text in zip(range(count), docstrings(25), strict=False):
            (folder / f"{number:05}.txt").write_text(text, encoding="utf-8")
        found = len(list(folder.iterdir()))
        report = ingest(
            IngestConfig(paths=(folder,), store=str(Path(scratch, "store")), instruction=DEFAULT_DOCUMENT_INSTRUCTION)
        )
        again = ingest(IngestConfig(paths=(folder,), store=str(Path(scratch, "store"))))
        texts = Collection.open("docs", Path(scratch, "store")).chunks.to_arrow()["text"].to_pylist()
        peer = SentenceTransformer(str(resolve_folder(None)[0]), device="cpu")
        started = time.perf_counter()
        peer.encode(texts, prompt=DEFAULT_DOCUMENT_INSTRUCTION)
        peer_seconds = time.perf_counter() - started
    seconds = report.seconds
    total = seconds["total"]
    print(f"{found} documents, {report.chunks_total} chunks, {total:.2f} s in all")
    print("| part | seconds | of the time in all |\n|---|---|---|")
    for name in ("reading", "chunking", "embedding", "writing"):
        print(f"| {name} | {seconds[name]:.2f} | {seconds[name] / total:.1%} |")
    print(
        f"| loading the model (once) | {seconds['loading the model']:.2f} | {seconds['loading the model'] / total:.1%} |"
    )
    print(f"| second run, nothing changed | {again.seconds['total']:.2f} | |")
    ratio = peer_seconds / total
    print(
        f"| peer: sentence-transformers, embedding alone | {peer_seconds:.2f} | ours in all: {ratio:.2f}x its speed |"
    )


if __name__ == "__main__":
    main()
