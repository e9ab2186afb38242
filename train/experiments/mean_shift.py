"""Move embeddings along their mean, as far as what they are asked for: python -m train.experiments.mean_shift MODEL.

A model's embeddings have a direction in common: m, their mean before their length is made one. Mu and Viswanath (arXiv
1702.01417) take it out; added, it tells similar sentences better (run 17 in docs/lab/runs_14_to_17.md).
``--everywhere S`` adds S m to the bias of the last layer norm, so that every embedding moves by as much. The other
factors train the model to move by what an instruction asks for: how alike texts are, documents that are to be
retrieved, or anything else; texts under no instruction stay where they are.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from instructor_search.commands.parser import Parser, failing_with_one_line
from instructor_search.instructions import InstructedText
from train.embedding import embed, pieces, plain_attention
from train.examples import read_mixture
from train.experiments.mean_shift_texts import texts_by_kind

_COMMANDS = """examples:
  python -m train.experiments.mean_shift default --mixture mixtures/medi --everywhere 0.5 --output runs/moved
  python -m train.experiments.mean_shift default --mixture mixtures/medi --similarity 1.5 --documents 0.5 \\
      --rest -0.25 --output runs/shifted
"""
_TEXTS_OF_MEAN = 4000
_MAX_TOKENS = 4096  # of a piece


class MeanShift(NamedTuple):
    """How many times the mean is added for what an instruction asks for; ``after``: to embeddings of length one."""

    similarity: float = 0.0
    documents: float = 0.0
    rest: float = 0.0
    none: float = 0.0
    after: bool = False


def pooled(encoder: Any, texts: Sequence[InstructedText], *, bf16: bool = False) -> np.ndarray:
    """Return embeddings before their length is made one, (n, dim) in float32."""
    vectors = np.empty((len(texts), encoder.dim), np.float32)
    model, tokens = encoder.model.eval(), encoder.tokenizer.encode_batch([tuple(text) for text in texts])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for piece in pieces(tokens, 2 * _MAX_TOKENS, encoder.pad_id, "cpu"):
            ids, attention, pooling = piece.inputs
            vectors[piece.rows] = model.mean(model.token_embeddings(ids, attention).float(), pooling).numpy()
    return vectors


def last_norm_bias(encoder: Any) -> torch.nn.Parameter:
    """Return the vector that is added to every hidden state of the last layer.

    Raises:
        ValueError: the model's last layer does not end in a layer norm, or layers follow the pooling.
    """
    biases = [p for n, p in encoder.model.backbone.named_parameters() if n.endswith("output.LayerNorm.bias")]
    if encoder.model.dense or not encoder.model.normalize or not biases:
        raise ValueError(
            f"{encoder.name} does not pool the output of a layer norm to unit vectors; expected a BERT, without dense "
            "layers"
        )
    return biases[-1]


def targets(vectors: np.ndarray, mean: np.ndarray, kinds: Sequence[str], shift: MeanShift) -> torch.Tensor:
    """Return where embeddings, ``vectors`` (n, dim) before their length is made one, are to be: (n, dim), unit."""
    factors = np.array([getattr(shift, kind) for kind in kinds], np.float32)[:, None]
    if shift.after:
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        mean = mean / np.linalg.norm(mean) * np.linalg.norm(vectors.mean(0))
    moved = vectors + factors * mean
    return torch.from_numpy(moved / np.linalg.norm(moved, axis=1, keepdims=True))


def train(
    encoder: Any,
    texts: Mapping[str, Iterable[InstructedText]],
    mean: np.ndarray,
    shift: MeanShift,
    *,
    steps: int = 300,
    batch_size: int = 96,
    learning_rate: float = 5e-5,
    seed: int = 0,
    bf16: bool = False,
) -> list[float]:
    """Train all but the embeddings of tokens, in place, and return the loss of each step: the mean of 1 - cosine.

    ``mean``: (dim,). The learning rate rises over 20 steps and falls linearly after them.

    Raises:
        ValueError: the loss is not finite (NaN or Inf).
    """
    from tqdm import trange

    rows = [(kind, text) for kind, many in texts.items() for text in many]
    chance = random.Random(f"{seed} order")
    chance.shuffle(rows)
    goal = targets(pooled(encoder, [text for _, text in rows], bf16=bf16), mean, [kind for kind, _ in rows], shift)
    tokens = encoder.tokenizer.encode_batch([tuple(text) for _, text in rows])
    trained = [p.requires_grad_("embeddings" not in n) for n, p in encoder.model.named_parameters()]
    optimizer = torch.optim.AdamW([p for p in trained if p.requires_grad], lr=learning_rate, weight_decay=0.0)
    losses: list[float] = []
    order: list[int] = []
    model = encoder.model.eval()  # no dropout: the targets are without
    for step in (bar := trange(steps, desc="mean shift", unit=" steps", file=sys.stderr)):
        if len(order) < batch_size:
            order += chance.sample(range(len(rows)), len(rows))
        chosen, order = order[:batch_size], order[batch_size:]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1, (step + 1) / 20) * max(0.02, 1 - step / steps)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            parts = pieces([tokens[row] for row in chosen], _MAX_TOKENS, encoder.pad_id, "cpu")
            with plain_attention(parts):
                loss = (1 - torch.nn.functional.cosine_similarity(embed(model, parts), goal[chosen], dim=-1)).mean()
                loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise ValueError(f"the loss of step {step + 1} is {losses[-1]}; a lower --learning-rate may help")
        bar.set_postfix(loss=f"{np.mean(losses[-20:]):.4f}")
    model.requires_grad_(True)
    return losses


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = build_parser().parse_args(argv)
    with failing_with_one_line() as outcome:
        _check(args)
        shift = MeanShift(args.similarity or 0.0, args.documents or 0.0, args.rest or 0.0, after=args.after)
        _run(args, shift)
    return outcome.code


def build_parser() -> Parser:
    """Return the parser of ``python -m train.experiments.mean_shift``."""
    parser = Parser(
        prog="python -m train.experiments.mean_shift",
        renamed={"--likeness": "--similarity"},
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Move a model's embeddings along their mean. --similarity, --documents and --rest train for it, "
        "--everywhere does not; texts without an instruction stay where they are.",
    )
    parser.add_argument("model", metavar="MODEL", help="folder or hub id of a BERT without dense layers")
    parser.add_argument(
        "--mixture",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of python -m train.medi with the texts: mean and training",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the new model")
    parser.add_argument(
        "--everywhere", type=float, metavar="S", help="add S times the mean to every embedding, after training"
    )
    parser.add_argument("--similarity", type=float, metavar="S", help="train: where it is asked how alike texts are")
    parser.add_argument("--documents", type=float, metavar="S", help="train: where documents are retrieved")
    parser.add_argument("--rest", type=float, metavar="S", help="train: under any other instruction")
    parser.add_argument("--after", action="store_true", help="train: move embeddings whose length is one already")
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="of training (default: 300)")
    parser.add_argument("--batch-size", type=int, default=96, metavar="N", help="texts a step (default: 96)")
    parser.add_argument("--learning-rate", type=float, default=5e-5, metavar="X", help="of training (default: 5e-5)")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of training (default: 0)")
    return parser


def _check(args: Any) -> None:
    factors = [getattr(args, name) for name in ("everywhere", "similarity", "documents", "rest")]
    given = [factor for factor in factors if factor is not None]
    if not given:
        raise ValueError("nothing to do; expected --everywhere, or --similarity, --documents or --rest, to train")
    if not all(map(math.isfinite, given)):
        raise ValueError(f"factors {given}; expected finite numbers, e.g. 0.5")
    if args.steps < 1 or args.batch_size < 1 or not (math.isfinite(args.learning_rate) and args.learning_rate > 0):
        raise ValueError(
            f"--steps {args.steps} --batch-size {args.batch_size} --learning-rate {args.learning_rate}; expected "
            "whole numbers from 1, and a rate above 0"
        )
    if args.output.exists():
        raise FileExistsError(f"{args.output} exists; choose another folder")


def _run(args: Any, shift: MeanShift) -> None:
    from instructor_search.encoder import load_encoder
    from instructor_search.encoder.saving import save_checkpoint

    encoder = load_encoder(args.model, runtime="torch", precision="fp32", device="cpu")
    bias = last_norm_bias(encoder)
    texts = texts_by_kind(read_mixture(args.mixture), args.seed)
    every = [text for many in texts.values() for text in many]
    if not every:
        raise ValueError(f"{args.mixture} has no texts")
    sample = random.Random(args.seed).sample(every, min(_TEXTS_OF_MEAN, len(every)))
    mean = pooled(encoder, sample, bf16=args.bf16).mean(0)
    sys.stdout.write(f"length of the mean: {np.linalg.norm(mean):.3f}, of {len(sample):,} embeddings\n")
    if any(factor is not None for factor in (args.similarity, args.documents, args.rest)):
        losses = train(
            encoder,
            texts,
            mean,
            shift,
            steps=args.steps,
            batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            seed=args.seed,
            bf16=args.bf16,
        )
        sys.stdout.write(f"loss: {losses[0]:.4f} -> {np.mean(losses[-20:]):.4f}\n")
    if args.everywhere:
        bias.data += torch.from_numpy(args.everywhere * mean)
    save_checkpoint(encoder, args.output)
    sys.stdout.write(f"model: {args.output}\n")


if __name__ == "__main__":
    sys.exit(main())
