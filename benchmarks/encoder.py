"""How fast is the encoder, at what quality, in how much memory? Each engine beside sentence-transformers.

    python benchmarks/encoder.py [--threads 2] [--texts 600] [--rounds 5]

Every engine is a process of its own, pinned to the same cores; rounds are interleaved and the median counts. The texts
are docstrings of the Python that runs this, under a document instruction, tokenisation included. The second peer runs
the model in OpenVINO as sentence-transformers' backend does: batches of 32 by length, one request at a time. (That
backend itself pins versions of transformers and datasets that this project cannot be installed with.)
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

INSTRUCTION = "Represent the document for retrieval: "
QUESTION = "Represent the question for retrieving supporting documents: "
ENGINES = {
    "sentence-transformers": "sentence-transformers",
    "OpenVINO, batches of 32": "openvino-plain",
    "ours, torch fp32": "torch fp32",
    "ours, openvino fp32": "openvino fp32",
    "ours, openvino bf16": "openvino bf16",
    "ours, openvino int8": "openvino int8",
}
LINEAR_OPERATIONS = 2 * 6 * (4 * 384 * 384 + 2 * 384 * 1536)  # a token in the linear layers of all-MiniLM-L6-v2


def texts(count: int) -> list[str]:
    """Return docstrings of 25 words and more, in an order that mixes modules."""
    from benchmarks.texts import docstrings

    found = list(islice(docstrings(25), 4 * count))
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:count]]


def open_engine(name: str) -> Any:
    """Return a function from (instruction, texts) to vectors."""
    if name == "sentence-transformers":
        from sentence_transformers import SentenceTransformer

        from instructor_search.encoder.checkpoint import resolve_folder

        model = SentenceTransformer(str(resolve_folder(None)[0]), device="cpu")
        model.max_seq_length = 256
        # the instruction as a prompt that is left out of the pooling, as ours is
        model[1].include_prompt = False
        return lambda instruction, batch: model.encode(batch, prompt=instruction or None, batch_size=32)
    from instructor_search import load_encoder

    if name == "openvino-plain":
        return plain_openvino()
    runtime, precision = name.split()
    encoder = load_encoder(runtime=runtime, precision=precision, device="cpu" if runtime == "torch" else None)
    encoder.load()
    return lambda instruction, batch: encoder.encode([(instruction, text) for text in batch])


def plain_openvino() -> Any:
    """Return an engine that converts the torch model and runs one batch of 32 after the other, at OpenVINO's defaults."""
    import torch
    from transformers import AutoModel

    from instructor_search import load_encoder
    from instructor_search.encoder.runtimes.openvino_runtime._openvino import ov
    from instructor_search.encoder.tokenization import pad

    encoder = load_encoder(precision="fp32")
    model = AutoModel.from_pretrained(encoder.checkpoint.transformer_folder, add_pooling_layer=False)
    example = {name: torch.ones(2, 8, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    graph = ov.convert_model(model, example_input=example)
    request = ov.compile_model(graph, "CPU").create_infer_request()  # bf16 on a CPU that has it

    def run(instruction: str, batch: list[str]) -> np.ndarray:
        items = encoder.tokenizer.encode_batch([(instruction, text) for text in batch])
        vectors = np.empty((len(items), encoder.dim), dtype=np.float32)
        order = sorted(range(len(items)), key=lambda row: -len(items[row].ids))
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            ids, attention, pooling = pad([items[row] for row in rows], 0)
            request.infer({"input_ids": ids, "attention_mask": attention})
            hidden = request.get_output_tensor(0).data  # (batch, length, hidden)
            mean = (hidden * pooling[..., None]).sum(1) / pooling.sum(1, keepdims=True)
            vectors[rows] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return vectors

    return run


def work(name: str, threads: int, count: int, out: Path) -> None:
    """Serve an engine: "bulk" and "query" on stdin are answered by seconds on stdout; "end" by peak MB."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if name == "sentence-transformers" or name.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
    documents = texts(count)
    words = [[w for w in text.split() if w.isalpha() and w.islower()][:11] for text in documents]
    engine = open_engine(name)
    np.save(out, np.asarray(engine(INSTRUCTION, documents)))
    for number in range(10):
        engine(QUESTION, [" ".join(words[number])])
    asked = 0
    for line in sys.stdin:
        started = time.perf_counter()
        if line == "bulk\n":
            engine(INSTRUCTION, documents)
        elif line == "query\n":
            asked += 1
            question = f"{asked} " + " ".join(words[asked % len(words)])
            started = time.perf_counter()
            engine(QUESTION, [question])
        else:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
            return
        print(time.perf_counter() - started, flush=True)


def ask(process: subprocess.Popen, what: str) -> float:
    """Return the engine's answer."""
    process.stdin.write(what + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def overlap(ours: np.ndarray, exact: np.ndarray) -> float:
    """Return the mean share of each text's ten nearest that both agree on."""
    nearest = [np.argsort(-(v @ v.T - 2 * np.eye(len(v))), axis=1)[:, :10] for v in (ours, exact)]
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*nearest, strict=True)]))


def int8_rate(threads: int) -> float:
    """Return operations a second of a bare int8 matrix product of the model's widest shape (torch._int_mm)."""
    import torch

    torch.set_num_threads(threads)
    a, b = (torch.randint(-9, 9, shape, dtype=torch.int8) for shape in ((1024, 384), (384, 1536)))
    times = []
    for _ in range(200):
        started = time.perf_counter()
        torch._int_mm(a, b)
        times.append(time.perf_counter() - started)
    return 2 * 1024 * 384 * 1536 / median(times)


def main() -> None:
    """Run all engines and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        return work(args.work[0], args.threads, args.texts, Path(args.work[1]))
    from instructor_search import load_encoder

    encoder = load_encoder()
    tokens = sum(len(t.ids) for t in encoder.tokenizer.encode_batch([(INSTRUCTION, t) for t in texts(args.texts)]))
    command = [sys.executable, __file__, "--threads", str(args.threads), "--texts", str(args.texts), "--work"]
    with tempfile.TemporaryDirectory() as folder:
        running = {}
        for name, engine in ENGINES.items():
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
            running[name] = subprocess.Popen([*command, engine, f"{folder}/{engine}.npy"], **pipes)
            ask(running[name], "query")  # one after the other: none starts while another is measured
        bulk: dict[str, list[float]] = {name: [] for name in running}
        query: dict[str, list[float]] = {name: [] for name in running}
        for _ in range(args.rounds):
            for name, process in running.items():
                bulk[name].append(ask(process, "bulk"))
                query[name] += [ask(process, "query") for _ in range(40)]
        memory = {name: ask(process, "end") for name, process in running.items()}
        vectors = {name: np.load(f"{folder}/{engine}.npy") for name, engine in ENGINES.items()}
    print(f"{args.texts} texts, {tokens / args.texts:.0f} tokens each, {args.threads} threads, median of {args.rounds}")
    print("| engine | texts/s | x peer | query p50 / p95 ms | peak MB | mean cosine | top-10 overlap |")
    print("|---|---|---|---|---|---|---|")
    exact = vectors["ours, torch fp32"]
    peer = median(bulk["sentence-transformers"])
    for name in running:
        seconds, (p50, p95) = median(bulk[name]), np.percentile(query[name], [50, 95]) * 1000
        cosine = (vectors[name] * exact).sum(1).mean()
        print(
            f"| {name} | {args.texts / seconds:.0f} | {peer / seconds:.2f} | {p50:.2f} / {p95:.2f} | {memory[name]:.0f} "
            f"| {cosine:.5f} | {overlap(vectors[name], exact):.3f} |"
        )
    rate = tokens / median(bulk["ours, openvino int8"]) * LINEAR_OPERATIONS
    print(f"int8: {rate / int8_rate(args.threads):.0%} of the rate of a bare int8 matrix product")


if __name__ == "__main__":
    main()
