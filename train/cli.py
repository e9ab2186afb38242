"""The command line of training: parse, read, train, report. Nothing heavy is imported before the arguments are read."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructor_search.commands.parser import failing_with_one_line, let_threads_sleep
from instructor_search.errors import MissingExtraError
from instructor_search.store.lock import writer_lock
from train.config import TrainConfig, examples_a_step
from train.flags import build_parser

if TYPE_CHECKING:
    from accelerate import Accelerator

    from train.examples import Mixture
    from train.trainer import Evaluate


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    let_threads_sleep()
    with failing_with_one_line() as outcome:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise MissingExtraError("accelerate", "train", "training") from error
        given: dict[str, Any] = {f.name: getattr(args, f.name) for f in fields(TrainConfig)}
        given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        config = TrainConfig(**given)
        epochs = args.num_train_epochs
        if epochs is not None and not (math.isfinite(epochs) and epochs > 0):
            raise ValueError(f"num_train_epochs is {epochs}; expected a finite number above 0")
        accelerator = Accelerator(cpu=_on_cpus(), mixed_precision="bf16" if _in_bf16(config) else "no")
        _use_all_cores()
        report = _train(config, args, accelerator)
        if accelerator.is_main_process:
            print(json.dumps(report) if args.json else _as_text(report, config))
        accelerator.end_training()
    return outcome.code


def _train(config: TrainConfig, args: argparse.Namespace, accelerator: Accelerator) -> dict[str, Any]:
    mixture = _mixture(config, args)
    if args.from_collection:
        from train.from_collection import fitted

        config = fitted(config, mixture, accelerator.num_processes)
    if args.num_train_epochs is not None:
        batch = examples_a_step(config, accelerator.num_processes)
        config = replace(config, max_steps=max(1, math.ceil(args.num_train_epochs * mixture.num_examples / batch)))
    with _output_folder(config, accelerator) as folder:
        return _run(config, mixture, folder, accelerator)


def _run(config: TrainConfig, mixture: Mixture, folder: Path, accelerator: Accelerator) -> dict[str, Any]:
    from instructor_search.encoder import load_encoder
    from train import dev_evaluation
    from train.trainer import Trainer

    device = str(accelerator.device)
    encoder = load_encoder(config.model_name_or_path, runtime="torch", precision="fp32", device=device)
    load = partial(load_encoder, runtime="torch", precision="fp32", device=device)
    guide, teacher = (load(name) if name else None for name in (config.guide, config.teacher))
    reference = None
    if config.reference_model or config.consistency:
        reference = load(config.reference_model or config.model_name_or_path)
    if config.eval_tasks:
        training = mixture
        evaluate: Evaluate = dev_evaluation.EvaluationSets(config.eval_tasks, config.eval_data)
    else:
        count = min(config.eval_examples, max(10, 1500 // len(mixture.tasks)))
        training, held_out = dev_evaluation.split(mixture, count)
        evaluate = partial(dev_evaluation.accuracy, held_out=held_out)
    trainer = Trainer(
        config, encoder, training, accelerator, evaluate=evaluate, guide=guide, teacher=teacher, reference=reference
    )
    if accelerator.is_main_process:
        if config.overwrite_output_dir:
            _empty(folder)
        trainer.batches.sampler.warn()
        sys.stderr.write(
            f"{training.num_examples:,} examples of {len(trainer.batches.sampler.sizes)} tasks; output: {folder}\n"
        )
    accelerator.wait_for_everyone()
    try:
        return trainer.run()
    except KeyboardInterrupt:
        sys.stderr.write(f"\nstopped at step {trainer.step_number}; {_how_to_go_on(config, folder)}\n")
        raise


def _how_to_go_on(config: TrainConfig, folder: Path) -> str:
    from train import checkpoints

    last = checkpoints.newest(folder)
    if config.overwrite_output_dir and last:
        return f"without --overwrite_output_dir the same command goes on from {last}"
    if config.resume_from_checkpoint:
        return f"the same command goes on from {config.resume_from_checkpoint}" + (
            f", with --resume_from_checkpoint {last} from there" if last else ""
        )
    if last:
        return f"the same command goes on from {last}"
    return "the same command starts anew: there is no checkpoint yet (--save_steps)"


def _mixture(config: TrainConfig, args: argparse.Namespace) -> Mixture:
    from train.examples import Mixture, read_mixture

    if args.from_collection and config.mixture:
        raise ValueError("give --mixture or --from_collection, not both")
    if args.from_collection and config.tasks:
        raise ValueError("--tasks chooses among a mixture's tasks; --from_collection makes one")
    if args.from_collection:
        from train.from_collection import from_collection

        return from_collection(args.from_collection, args.store)
    if config.mixture:
        return read_mixture(Path(config.mixture).expanduser(), only=config.tasks or None)
    from train.stdlib_mixture import stdlib_mixture

    mixture = stdlib_mixture()
    unknown = [name for name in config.tasks if name not in mixture.tasks]
    if unknown:
        raise ValueError(f"no task {', '.join(unknown)}; there is: {', '.join(mixture.tasks)}")
    return Mixture({k: v for k, v in mixture.tasks.items() if k in (config.tasks or mixture.tasks)}, mixture.facts)


@contextmanager
def _output_folder(config: TrainConfig, accelerator: Accelerator) -> Iterator[Path]:
    """Make the output folder and hold it, one run at a time; what an earlier run left stays for now.

    Raises:
        ValueError: it holds something else, or what the run is made from and is to overwrite.
        LockedError: another run writes to it.
    """
    folder = Path(config.output_dir)
    with ExitStack() as held:
        if accelerator.is_main_process:
            known = (folder / "train_config.json").is_file()
            if folder.exists() and any(not p.name.startswith(".writer.") for p in folder.iterdir()) and not known:
                raise ValueError(f"{folder} exists and is no training run's; choose another --output_dir")
            if config.overwrite_output_dir:
                _check_not_inside(config, folder)
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(writer_lock(folder, "training run"))
        accelerator.wait_for_everyone()
        yield folder


def _check_not_inside(config: TrainConfig, folder: Path) -> None:
    for name in ("model_name_or_path", "mixture", "guide", "teacher", "reference_model", "resume_from_checkpoint"):
        given = getattr(config, name)
        if given and Path(given).exists() and Path(given).resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"--{name} {given} lies in {folder}, which --overwrite_output_dir empties; choose another "
                "--output_dir, or leave --overwrite_output_dir out"
            )


def _empty(folder: Path) -> None:
    """Delete what an earlier run left in a folder that is held."""
    for path in folder.iterdir():
        if not path.name.startswith(".writer."):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _on_cpus() -> bool:
    """Return whether this is one of several processes without a GPU: accelerate takes each for a run of its own."""
    import torch

    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available()


def _in_bf16(config: TrainConfig) -> bool:
    """Return whether to compute in bfloat16: as asked, else where the device does and that is faster."""
    import torch

    from instructor_search.encoder.runtimes.cpu import cpu_flags

    if config.bf16 is not None:
        return config.bf16
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})


def _use_all_cores() -> None:
    """Give this process its share of the cores; `accelerate launch` and torchrun leave it one thread."""
    import torch

    from instructor_search.encoder.runtimes.cpu import num_cores

    if os.environ.get("OMP_NUM_THREADS", "1") == "1":
        torch.set_num_threads(max(1, num_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _as_text(report: dict[str, Any], config: TrainConfig) -> str:
    scores = report["scores"]
    lines = [f"model: {report['model']}", f"{report['steps']} steps, {report['pairs_per_second']:.0f} pairs/s"]
    if scores.get("before") and scores.get("after"):  # empty: nothing was held out
        what = "evaluation sets" if config.eval_tasks else "held-out queries that find their own positive first"
        lines.append(f"{what}, before and after:")
        names = sorted(scores["after"], key=lambda n: (n == "average", n))
        lines += [
            f"  {n}: {100 * scores['before'].get(n, math.nan):.1f} -> {100 * scores['after'][n]:.1f}" for n in names
        ]
    lines.append(f"use it: python -m ingest FOLDER --instruction --model {os.path.relpath(report['model'])}")
    return "\n".join(lines)
