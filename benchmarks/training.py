"""How fast is training, in how much memory? Beside sentence-transformers' trainer, on the same batches.

    python benchmarks/training.py [--steps 12] [--rounds 3] [--batch 32] [--length 96] [--device cpu]

Both train all-MiniLM-L6-v2 on pairs of the Python standard library (description, code) with in-batch negatives and AdamW,
in float32 and in bfloat16, texts cut at the same length. Each engine is a process of its own; rounds alternate, and the
median step counts. Memory is the process's; with --device cuda, which nobody has run yet, what PyTorch took of the GPU's.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))


def ours(args: argparse.Namespace, folder: str, *, bf16: bool = False, **options: object) -> list[float]:
    """Return the seconds of each step of our trainer."""
    from accelerate import Accelerator

    from instructor_search import load_encoder
    from instructor_search.encoder.checkpoint import BASE_MODEL
    from train.config import TrainConfig
    from train.examples import Mixture
    from train.stdlib_mixture import stdlib_mixture
    from train.trainer import Trainer

    rows = stdlib_mixture().tasks["stdlib-code"][: args.batch * args.steps]
    config = TrainConfig(
        output_dir=folder,
        per_device_train_batch_size=args.batch,
        max_steps=args.steps,
        bidirectional=False,
        max_source_length=args.length,
        drop_instruction=1.0,
        bf16=bf16,
        **options,
    )
    encoder = load_encoder(BASE_MODEL, runtime="torch", precision="fp32", device=args.device)
    accelerator = Accelerator(cpu=args.device == "cpu", mixed_precision="bf16" if bf16 else "no")
    trainer = Trainer(config, encoder, Mixture({"code": rows}, {}), accelerator)
    times = []
    for _ in range(args.steps):
        started = time.perf_counter()
        trainer.step()  # reads the loss, and so waits for the device
        times.append(time.perf_counter() - started)
    return times


def theirs(args: argparse.Namespace, folder: str, *, bf16: bool = False) -> list[float]:
    """Return the seconds of each step of SentenceTransformerTrainer with MultipleNegativesRankingLoss."""
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    from instructor_search.encoder.checkpoint import BASE_MODEL, resolve_folder
    from train.stdlib_mixture import stdlib_mixture

    rows = stdlib_mixture().tasks["stdlib-code"][: args.batch * args.steps]
    data = Dataset.from_dict({"anchor": [e.query.text for e in rows], "positive": [e.positive.text for e in rows]})
    model = SentenceTransformer(str(resolve_folder(BASE_MODEL)[0]), device=args.device)
    model.max_seq_length = args.length
    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            if args.device != "cpu":
                torch.cuda.synchronize()
            marks.append(time.perf_counter())

        on_step_end = on_step_begin

    arguments = SentenceTransformerTrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=args.batch,
        max_steps=args.steps,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        use_cpu=args.device == "cpu",
        disable_tqdm=True,
        bf16=bf16,
    )
    loss = MultipleNegativesRankingLoss(model)
    SentenceTransformerTrainer(model, arguments, train_dataset=data, loss=loss, callbacks=[Clock()]).train()
    return [end - begin for begin, end in zip(marks[::2], marks[1::2], strict=True)]


ENGINES = {
    "sentence-transformers": theirs,
    "sentence-transformers, bf16": partial(theirs, bf16=True),
    "ours": ours,
    "ours, bf16": partial(ours, bf16=True),
    "ours, GradCache": partial(ours, grad_cache=True, micro_batch_tokens=1024),
}


def peak_memory(device: str) -> float:
    """Return the most memory that this process, or PyTorch on its GPU, had, in MB."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    import torch

    return torch.cuda.max_memory_allocated() / 2**20


def main() -> None:
    """Run the engines in turn and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=96)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", choices=ENGINES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        with tempfile.TemporaryDirectory() as folder:
            times = ENGINES[args.work](args, folder)
        print(json.dumps([median(times[2:]), peak_memory(args.device)]))
        return
    found: dict[str, list[list[float]]] = {name: [] for name in ENGINES}
    for _ in range(args.rounds):
        for name in ENGINES:
            command = [sys.executable, *sys.argv, "--work", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    peer = median(seconds for seconds, _ in found["sentence-transformers"])
    sizes = f"batch {args.batch}, {args.length} tokens at most, {args.steps} steps"
    print(f"{args.device}, {sizes}, median of {args.rounds} rounds")
    print("| trainer | pairs/s | x peer | peak MB |\n|---|---|---|---|")
    for name, rows in found.items():
        seconds, memory = median(r[0] for r in rows), median(r[1] for r in rows)
        print(f"| {name} | {args.batch / seconds:.1f} | {peer / seconds:.2f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
