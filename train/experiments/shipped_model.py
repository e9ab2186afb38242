"""The last stages of the shipped model (run 17 in docs/lab/runs_14_to_17.md), one after another:

    python -m train.experiments.shipped_model MODEL --mixture DIR --output runs/shipped

Two models are trained to move embeddings along their mean, averaged 3 to 1, moved once more, and stored in float16. A
stage whose folder is there is not run again. MODEL is what run 16 left, which is not kept: from the shipped model
itself the stages run as well, but move it a second time.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from instructor_search.commands.parser import Parser, failing_with_one_line

_EXAMPLES = """examples:
  python -m train.experiments.shipped_model default --mixture mixtures/medi --output runs/shipped"""


class Stage(NamedTuple):
    """A command that writes a model to the folder ``output``: ``program`` is a module of this package."""

    program: str
    arguments: tuple[str, ...]
    output: Path

    def __str__(self) -> str:
        """Return the stage as it would be typed."""
        return shlex.join(["python", "-m", f"train.experiments.{self.program}", *self.argv])

    @property
    def argv(self) -> list[str]:
        """The arguments, ``--output`` among them."""
        return [*self.arguments, "--output", str(self.output)]


def stages(model: str, mixture: Path, output: Path) -> Iterator[Stage]:
    """Yield the stages in their order; the last one writes ``output/model``."""
    texts = ("--mixture", str(mixture))
    before, after, both, moved = (output / name for name in ("e3", "e1", "e", "k"))
    yield Stage("mean_shift", (model, *texts, *"--similarity 1.5 --documents 0.5 --rest -0.25 --bf16".split()), before)
    yield Stage(
        "mean_shift",
        (model, *texts, *"--similarity 2 --documents 1 --rest 0 --after --steps 250 --bf16".split()),
        after,
    )
    yield Stage("average", (f"{before}=0.75", f"{after}=0.25"), both)
    yield Stage("mean_shift", (str(both), *texts, "--everywhere", "0.5"), moved)
    yield Stage("average", (str(moved), "--half"), output / "model")


def run(stage: Stage) -> int:
    """Run a stage and return its exit code; its folder is whole or not there."""
    from train.experiments import average, mean_shift

    part = stage.output.with_name(f".{stage.output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    code = {"average": average, "mean_shift": mean_shift}[stage.program].main(stage._replace(output=part).argv)
    if code == 0:
        part.rename(stage.output)
    return code


def build_parser() -> Parser:
    """Return the parser of ``python -m train.experiments.shipped_model``."""
    parser = Parser(
        prog="python -m train.experiments.shipped_model",
        description="Run the five last stages of the bundled model, those that are not done yet: two models that move "
        "along their mean, their average, that moved once more, and the same in float16.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="folder or hub id of a BERT without dense layers")
    parser.add_argument("--mixture", type=Path, required=True, metavar="DIR", help="folder of python -m train.medi")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the stages' models")
    parser.add_argument("--dry-run", action="store_true", help="print the stages' commands and stop")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: that of the stage that failed."""
    args = build_parser().parse_args(argv)
    with failing_with_one_line() as outcome:
        for stage in stages(args.model, args.mixture, args.output):
            done = "  # done" if stage.output.exists() else ""
            sys.stdout.write(f"{stage}{done}\n")
            if args.dry_run or done:
                continue
            args.output.mkdir(parents=True, exist_ok=True)
            if code := run(stage):
                return code
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
