"""What training does to a model before it begins and at its end: dropout, decay, averaging."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from train.config import TrainConfig


def mixed(state: dict[str, Tensor], base: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return (1 - share) * state + share * base."""
    return {
        k: torch.lerp(v.cpu(), base[k].to(v.dtype), share) if v.is_floating_point() else v for k, v in state.items()
    }


def prepare_backbone(backbone: Any, config: TrainConfig) -> None:
    """Set gradient checkpointing and dropout as the configuration says."""
    if config.gradient_checkpointing:
        backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in backbone.modules():
        kind = type(module).__name__
        is_attention = kind == "T5Attention" or (kind.endswith("SelfAttention") and "Layer" not in kind)
        probability = config.attention_dropout if is_attention else config.dropout
        if probability is None:
            continue
        for child in module.children():
            if isinstance(child, nn.Dropout):
                child.p = probability
        for name in ("dropout", "dropout_prob", "attention_dropout"):  # where it is a number
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, probability)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters; norms and biases (all vectors) do not decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
