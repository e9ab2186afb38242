"""The flags of ``python -m train``: one for each field of ``TrainConfig``, and what they say of themselves."""

from __future__ import annotations

import argparse
import types
import typing
from dataclasses import MISSING, fields
from typing import Any

from instructor_search.commands.parser import Parser
from train.config import RENAMED, TrainConfig

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
    "consistency": "weight of how far embeddings go from the reference model's under the instruction as it was",
    "similarity_weight": "weight of the loss of tasks of similarity and of wordings (train.medi build)",
    "reference_model": "model of the same tokenizer that consistency, similarity and wordings keep to (default: the "
    "first weights, and the model as it is)",
    "paraphrase_per_example": "each text of such a batch has words of its own, instead of the same for all",
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
        renamed={f"--{no}{old}": f"--{no}{new}" for old, new in RENAMED.items() for no in ("", "no-")},
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
