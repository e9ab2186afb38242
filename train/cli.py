"""The command line of training: parse, read, train, report. Nothing heavy is imported before the arguments are read."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructor_search.commands.parser import Parser, failing_with_one_line, let_threads_sleep
from instructor_search.errors import MissingExtraError
from instructor_search.store.lock import writer_lock
from train.config import TrainConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

    from train.examples import Mixture
    from train.trainer import Evaluate

_EXAMPLES = """examples:
  accelerate launch -m train
  python -m train.medi build --data DATA --output mixtures/medi
  accelerate launch -m train --mixture mixtures/medi --max_steps 5000 --output_dir runs/medi
  torchrun --nproc_per_node 4 -m train --mixture mixtures/medi --bf16 --grad_cache --per_device_train_batch_size 256
  accelerate launch -m train --from_collection notes --output_dir runs/notes

A run that was cut off goes on from its newest whole checkpoint when the same command is given again."""

_HELP = {
    "model_name_or_path": "folder or hub id to start from (default: instructor-minilm)",
    "mixture": "folder of python -m train.medi, or a file in MEDI's form (default: the Python standard library)",
    "output_dir": "folder of checkpoints, log, scores and the model",
    "overwrite_output_dir": "delete what an earlier run left there",
    "resume_from_checkpoint": "checkpoint to go on from (default: the newest whole one in output_dir)",
    "tasks": "tasks of the mixture to use (default: all)",
    "loss": "info-nce: all positives and negatives of the batch; official: INSTRUCTOR's",
    "cl_temperature": "temperature of the softmax over cosines",
    "max_negatives": "hard negatives of an example at most",
    "bidirectional": "also tell queries apart by their positives",
    "guide": "model of the same tokenizer that finds false negatives, as GISTEmbed does",
    "guide_margin": "how much less near than the positive is still too near",
    "teacher": "model of the same tokenizer whose similarities without instructions are kept where no label decides",
    "distillation_weight": "weight of the teacher's loss",
    "matryoshka_dims": "also train these leading parts of the embedding",
    "drop_instruction": "share of batches without instructions",
    "vary_instruction": "share of batches whose instructions are put in other words",
    "consistency": "weight of how far embeddings go from the anchor's under the instruction as it was",
    "likeness_weight": "weight of the loss of tasks of likeness and of wordings (train.medi build)",
    "anchor": "model of the same tokenizer that consistency, likeness and wordings keep to (default: the first "
    "weights, and the model as it is)",
    "vary_apart": "each text of such a batch has words of its own, instead of the same for all",
    "per_device_train_batch_size": "examples of a batch on each process",
    "gradient_accumulation_steps": "batches of an optimiser step, each of one task",
    "batches_per_pass": "of these batches, how many go through the model together: for a GPU that one does not fill",
    "max_steps": "optimiser steps",
    "sampling_alpha": "shares of the tasks in the batches: size to this power",
    "sampling_cap": "count a task as no larger than this",
    "max_source_length": "tokens of a text at most, instruction included",
    "grad_cache": "memory of one piece of the batch, at the price of a second forward pass",
    "micro_batch_tokens": "padded tokens that go through the model together (default: 2048 on a CPU, 32768 on a GPU)",
    "lora_rank": "train adapters of this rank instead of all weights (0: all weights)",
    "lora_alpha": "scale of the adapters (default: twice the rank)",
    "fsdp": "spread weights and optimiser state over the ranks, for models that one GPU cannot hold",
    "gradient_checkpointing": "compute activations again instead of keeping them",
    "quantization_aware": "let linear layers round as the model's int8 graph will: for a last phase",
    "learning_rate": "the highest, after the warmup",
    "warmup_ratio": "share of the steps in which it rises",
    "lr_scheduler_type": "how it falls: linear, cosine or constant",
    "weight_decay": "of matrices; norms and biases have none",
    "adam_beta1": "of AdamW",
    "adam_beta2": "of AdamW",
    "adam_epsilon": "of AdamW",
    "max_grad_norm": "gradients are cut to this norm",
    "dropout": "dropout probability outside attention (default: the model's)",
    "attention_dropout": "of attention weights; above 0 the fused kernels cannot run",
    "average_with_base": "share of the first weights in the model that is saved",
    "bf16": "compute in bfloat16 (default: where the device does so)",
    "seed": "of batches, dropout and what is drawn of instructions",
    "save_steps": "steps between checkpoints",
    "save_total_limit": "checkpoints that are kept",
    "logging_steps": "steps between lines of the log",
    "report_to": "none or tensorboard",
    "eval_steps": "score every so many steps and keep the best model (0: score before and after)",
    "eval_examples": "examples of each task that are held out for that, a tenth at most",
    "eval_tasks": "evaluation sets or suites of python -m eval to score on instead",
    "eval_data": "where they are, as --data of python -m eval",
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m train``: a flag for each field of ``TrainConfig``."""
    parser = Parser(
        prog="accelerate launch -m train",
        description="Train an instruction-aware encoder on (query, positive, negatives) under instructions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    types_of = typing.get_type_hints(TrainConfig)
    for field in fields(TrainConfig):
        default = None if field.default is MISSING else field.default
        text = _HELP.get(field.name, "")
        shown = "" if default in (None, ()) or "default" in text else f"(default: {default})"
        _add(parser, field.name, types_of[field.name], default, f"{text} {shown}".strip())
    parser.add_argument(
        "--num_train_epochs", type=float, metavar="N", help="passes over the mixture, instead of max_steps"
    )
    parser.add_argument(
        "--from_collection", metavar="NAME", help="train on judged hits, else on titles with their texts"
    )
    parser.add_argument("--store", metavar="DIR", help="folder of all collections, for --from_collection")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def _add(parser: argparse.ArgumentParser, name: str, kind: Any, default: Any, text: str) -> None:
    plain = [k for k in typing.get_args(kind) if k is not type(None)] if isinstance(kind, types.UnionType) else [kind]
    if plain == [bool]:
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=default, help=text)
    elif typing.get_origin(kind) is tuple:
        parser.add_argument(
            f"--{name}", nargs="+", type=typing.get_args(kind)[0], default=default, help=text, metavar="X"
        )
    else:
        parser.add_argument(f"--{name}", type=plain[0], default=default, help=text, metavar=plain[0].__name__.upper())


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
        batch = config.per_device_train_batch_size * accelerator.num_processes * config.gradient_accumulation_steps
        config = replace(config, max_steps=max(1, math.ceil(args.num_train_epochs * mixture.num_examples / batch)))
    with _output_folder(config, accelerator) as folder:
        return _run(config, mixture, folder, accelerator)


def _run(config: TrainConfig, mixture: Mixture, folder: Path, accelerator: Accelerator) -> dict[str, Any]:
    from instructor_search.encoder import load_encoder
    from train import development
    from train.trainer import Trainer

    device = str(accelerator.device)
    encoder = load_encoder(config.model_name_or_path, runtime="torch", precision="fp32", device=device)
    load = partial(load_encoder, runtime="torch", precision="fp32", device=device)
    guide, teacher = (load(name) if name else None for name in (config.guide, config.teacher))
    anchor = load(config.anchor or config.model_name_or_path) if config.anchor or config.consistency else None
    if config.eval_tasks:
        training = mixture
        evaluate: Evaluate = development.EvaluationSets(config.eval_tasks, config.eval_data)
    else:
        count = min(config.eval_examples, max(10, 1500 // len(mixture.tasks)))
        training, held_out = development.split(mixture, count)
        evaluate = partial(development.accuracy, held_out=held_out)
    trainer = Trainer(
        config, encoder, training, accelerator, evaluate=evaluate, guide=guide, teacher=teacher, anchor=anchor
    )
    if accelerator.is_main_process:
        if config.overwrite_output_dir:
            _empty(folder)
        trainer.sampler.warn()
        sys.stderr.write(
            f"{training.num_examples:,} examples of {len(trainer.sampler.sizes)} tasks; output: {folder}\n"
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
            f", with --resume_from_checkpoint {last} from there" if last else "")  # fmt: skip
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
    from train.standard_library import standard_library

    mixture = standard_library()
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
    for name in ("model_name_or_path", "mixture", "guide", "teacher", "anchor", "resume_from_checkpoint"):
        given = getattr(config, name)
        if given and Path(given).exists() and Path(given).resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"--{name} {given} lies in {folder}, which --overwrite_output_dir empties; choose another "
                             "--output_dir, or leave --overwrite_output_dir out")  # fmt: skip


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
