"""What a training run is made of. Flags mirror these fields one to one; names are those of TrainingArguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import wraps
from typing import Any

from instructor_search.renamed import current_keys

# Fields that may differ when a run is resumed: where and how often, not what.
FREE_ON_RESUME = frozenset(
    {
        "output_dir",
        "resume_from_checkpoint",
        "overwrite_output_dir",
        "save_steps",
        "save_total_limit",
        "logging_steps",
        "eval_steps",
        "eval_tasks",
        "eval_data",
        "report_to",
        "micro_batch_tokens",
        "batches_per_pass",
    }
)

# What numbers may be: in words, whether a finite one is so, and the fields that it holds of.
_RANGES: tuple[tuple[str, Callable[[float], bool], tuple[str, ...]], ...] = (
    (
        "at least 1",
        lambda value: value >= 1,
        (
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "batches_per_pass",
            "max_steps",
            "sampling_cap",
            "lora_alpha",
            "micro_batch_tokens",
            "matryoshka_dims",
            "save_steps",
            "save_total_limit",
            "logging_steps",
        ),
    ),
    (
        "at least 2",
        lambda value: value >= 2,  # a token of text and the one that ends it
        ("max_source_length",),
    ),
    (
        "0 or more",
        lambda value: value >= 0,
        ("max_negatives", "consistency", "lora_rank", "weight_decay", "seed", "eval_steps", "eval_examples"),
    ),
    (
        "a number above 0",
        lambda value: value > 0,
        (
            "cl_temperature",
            "distillation_weight",
            "similarity_weight",
            "learning_rate",
            "adam_epsilon",
            "max_grad_norm",
        ),
    ),
    (
        "0 to 1",
        lambda value: 0 <= value <= 1,
        ("drop_instruction", "vary_instruction", "warmup_ratio", "average_with_base"),
    ),
    (
        "at least 0 and below 1",
        lambda value: 0 <= value < 1,
        ("adam_beta1", "adam_beta2", "dropout", "attention_dropout"),
    ),
    ("a finite number", math.isfinite, ("guide_margin", "sampling_alpha")),
)


# Fields of earlier versions -> today's: as keywords, as flags, and in what checkpoints hold.
RENAMED = {"anchor": "reference_model", "vary_apart": "paraphrase_per_example", "likeness_weight": "similarity_weight"}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A run. Sizes are in examples, lengths in tokens."""

    model_name_or_path: str | None = None  # None: the default model
    mixture: str | None = None  # folder or file; None: the Python standard library
    tasks: tuple[str, ...] = ()  # of the mixture; empty: all
    output_dir: str = "runs/train"
    overwrite_output_dir: bool = False
    resume_from_checkpoint: str | None = None  # None: the newest whole one in output_dir

    loss: str = "info-nce"  # or "official"
    cl_temperature: float = 0.05
    bidirectional: bool = True
    max_negatives: int = 1
    guide: str | None = None  # model that filters false negatives
    guide_margin: float = 0.0
    teacher: str | None = None  # model whose similarities without instructions are kept to
    distillation_weight: float = 1.0
    matryoshka_dims: tuple[int, ...] = ()
    drop_instruction: float = 0.1
    vary_instruction: float = 0.2
    paraphrase_per_example: bool = False
    consistency: float = 0.0  # weight of the distance to the reference model's embeddings, before words changed
    similarity_weight: float = 20.0  # of tasks of similarity and of wordings
    reference_model: str | None = None  # None: the first weights for consistency, the model as it is for similarity

    per_device_train_batch_size: int = 32
    gradient_accumulation_steps: int = 1
    batches_per_pass: int = 1  # of those, how many go through the model together
    max_steps: int = 60
    sampling_alpha: float = 0.5
    sampling_cap: int | None = None
    max_source_length: int = 96
    grad_cache: bool = False
    lora_rank: int = 0  # of adapters; 0: all weights are trained
    lora_alpha: int | None = None  # None: twice the rank
    micro_batch_tokens: int | None = None  # None: 2048 on a CPU, 32,768 on a GPU
    gradient_checkpointing: bool = False
    fsdp: bool = False  # weights and optimiser state spread over the ranks
    quantization_aware: bool = False  # linear layers compute on the levels of the int8 graph

    learning_rate: float = 2e-5
    warmup_ratio: float = 0.1
    lr_scheduler_type: str = "linear"
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    dropout: float | None = None  # None: the model's
    attention_dropout: float | None = 0.0  # of attention weights: above 0 the fused kernels cannot run
    average_with_base: float = 0.0  # share of the first weights in the model that is saved at the end
    bf16: bool | None = None  # None: where the device computes in it
    seed: int = 42

    save_steps: int = 500
    save_total_limit: int = 2
    logging_steps: int = 10
    eval_steps: int = 0  # 0: before and after only
    eval_examples: int = 100  # of each task, held out; not used with eval_tasks
    eval_tasks: tuple[str, ...] = ()  # evaluation sets to score on instead
    eval_data: str = "auto"  # where they are: --data of python -m eval
    report_to: str = "none"  # or "tensorboard"

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant.

        Raises:
            ValueError: one is out of its range.
        """
        for words, is_so, names in _RANGES:
            for name in names:
                _check(name, getattr(self, name), words, is_so)
        if self.guide and self.loss == "official":
            raise ValueError("guide filters the negatives of --loss info-nce; the official loss takes none")
        if self.lora_alpha is not None and not self.lora_rank:
            raise ValueError(f"lora_alpha is {self.lora_alpha} and lora_rank 0; expected a rank of adapters to scale")
        if self.fsdp and self.lora_rank:
            raise ValueError("fsdp spreads all weights and lora_rank trains few of them; give one of the two")
        if self.quantization_aware and (self.fsdp or self.lora_rank):
            raise ValueError("quantization_aware rounds whole layers; train without fsdp and lora_rank")
        _one_of("loss", self.loss, ("info-nce", "official"))
        _one_of("lr_scheduler_type", self.lr_scheduler_type, ("linear", "cosine", "constant"))
        _one_of("report_to", self.report_to, ("none", "tensorboard"))
        if self.per_device_train_batch_size < 2 and self.loss == "info-nce" and not self.max_negatives:
            raise ValueError("a batch of 1 without negatives has nothing to tell apart; raise one of the two")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def differences(self, saved: dict[str, Any]) -> list[str]:
        """Return what a resumed run would do otherwise than the saved one, in words."""
        mine = self.as_dict()
        saved = current_keys(saved, RENAMED, "the saved configuration")
        names = [f.name for f in fields(self) if f.name not in FREE_ON_RESUME]
        return [f"{n} was {saved[n]!r}, now {mine[n]!r}" for n in names if n in saved and saved[n] != mine[n]]


def _take_old_names(config: type[TrainConfig]) -> None:
    """Let a configuration be made with the keywords of earlier versions too."""
    make = config.__init__

    @wraps(make)
    def with_current_keys(self: TrainConfig, **values: Any) -> None:
        make(self, **current_keys(values, RENAMED, "TrainConfig"))

    config.__init__ = with_current_keys  # type: ignore[method-assign]


_take_old_names(TrainConfig)


def _check(name: str, given: Any, words: str, is_so: Callable[[float], bool]) -> None:
    for value in given if isinstance(given, tuple) else (given,):
        if value is None:
            continue
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}; expected a finite number")
        if not is_so(value):
            raise ValueError(f"{name} is {value}; expected {words}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")


def examples_a_step(config: TrainConfig, num_ranks: int) -> int:
    """Return how many examples an optimiser step sees, over all ranks."""
    return config.per_device_train_batch_size * num_ranks * config.gradient_accumulation_steps


def batch_arithmetic(config: TrainConfig, num_ranks: int) -> str:
    """Return in a line how large a batch is: a batch is of one task, its positives are one another's negatives."""
    batch = config.per_device_train_batch_size * num_ranks
    return (
        f"batch: {config.per_device_train_batch_size} per device x {num_ranks} ranks = {batch} examples of one task; "
        f"x {config.gradient_accumulation_steps} accumulated = {examples_a_step(config, num_ranks)} examples a step"
    )


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of an optimiser step, from 0: warmup, then the scheduler's way down to 0."""
    warmup = max(1, round(config.warmup_ratio * config.max_steps))
    if config.warmup_ratio and step < warmup:
        return config.learning_rate * (step + 1) / warmup
    start = warmup if config.warmup_ratio else 0
    done = (step - start) / max(1, config.max_steps - start)
    if config.lr_scheduler_type == "linear":
        return config.learning_rate * (1 - done)
    return config.learning_rate * ((1 + math.cos(math.pi * done)) / 2 if config.lr_scheduler_type == "cosine" else 1)
