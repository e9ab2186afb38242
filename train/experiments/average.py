"""Average the weights of models of one shape: a finetuned model with its base, or several runs.

    python -m train.experiments.average runs/medi/model=0.7 all-MiniLM-L6-v2=0.3 --output runs/averaged

Averaging a finetuned model with the one it came from keeps most of what was learned and brings back what was lost
(Wortsman et al., arXiv 2109.01903); averaging several runs does better than the best of them (arXiv 2203.05482).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instructor_search.commands.parser import Parser, failing_with_one_line
from instructor_search.files import file_hash

_EXAMPLES = """examples:
  python -m train.experiments.average runs/medi/model=0.7 all-MiniLM-L6-v2=0.3 --output runs/averaged"""


def average(models: Sequence[tuple[str, float]], output: Path, *, half: bool = False) -> None:
    """Write the weighted mean of models to ``output``; all but the weights is the first one's.

    ``models``: (folder or hub id, share). Shares are divided by their sum. ``half``: store float16; one model will do.

    Raises:
        ValueError: there is one model only and it is not halved, a share is not above 0, or two models differ in shape
            or tokenizer.
    """
    import torch

    from instructor_search.encoder import load_encoder
    from instructor_search.encoder.saving import save_checkpoint

    if len(models) < 2 and not half:  # noqa: PLR2004
        raise ValueError(
            "one model has no average; expected at least two, e.g. runs/medi/model=0.7 BASE=0.3, or --half, to store "
            "one in float16"
        )
    wrong = [f"{name}={share}" for name, share in models if not (share > 0 and math.isfinite(share))]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: expected a share above 0")
    total = math.fsum(share for _, share in models)
    first: Any = None
    mean: dict[str, torch.Tensor] = {}
    for name, share in models:
        encoder = load_encoder(name, runtime="torch", precision="fp32", device="cpu")
        state = {k: v.double() if v.is_floating_point() else v for k, v in encoder.model.state_dict().items()}
        if first is None:
            first, mean = encoder, {k: v * (share / total) if v.is_floating_point() else v for k, v in state.items()}
            continue
        _check_alike(first, encoder, mean, state)
        for key, value in state.items():
            if value.is_floating_point():
                mean[key] += value * (share / total)
    first.model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in mean.items()})
    if half:
        first.model.half()
        first.checkpoint.config["dtype"] = "float32"  # to compute in; transformers would take the type on disk
    save_checkpoint(first, output)


def _check_alike(first: Any, other: Any, mean: dict[str, Any], state: dict[str, Any]) -> None:
    different = sorted(
        k for k in mean.keys() | state.keys() if getattr(mean.get(k), "shape", 0) != getattr(state.get(k), "shape", 1)
    )
    if different:
        raise ValueError(
            f"{other.name} is of another shape than {first.name}: {different[0]} and {len(different) - 1} more"
        )
    hashes = {file_hash(e.checkpoint.transformer_folder / "tokenizer.json") for e in (first, other)}
    if len(hashes) > 1:
        raise ValueError(f"{other.name} has another tokenizer than {first.name}; their weights mean other words")


def build_parser() -> Parser:
    """Return the parser of ``python -m train.experiments.average``."""
    parser = Parser(
        prog="python -m train.experiments.average",
        description="Average the weights of models of one shape; all but the weights is as in the first one.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="+", metavar="MODEL[=SHARE]", help="folders or hub ids (default: equal shares)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the new model")
    parser.add_argument("--half", action="store_true", help="store float16: half the size")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = build_parser().parse_args(argv)
    with failing_with_one_line() as outcome:
        average([_with_share(given) for given in args.models], args.output, half=args.half)
        sys.stdout.write(f"model: {args.output}\n")
    return outcome.code


def _with_share(given: str) -> tuple[str, float]:
    name, separator, share = given.rpartition("=")
    if not separator or Path(given).exists():
        return given, 1.0
    try:
        return name, float(share)
    except ValueError:
        raise ValueError(f"{given!r}: {share!r} is no number; expected MODEL=SHARE, e.g. runs/medi/model=0.7") from None


if __name__ == "__main__":
    sys.exit(main())
