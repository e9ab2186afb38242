"""Low-rank adapters (LoRA, arXiv 2106.09685) on a backbone's linear layers, through peft.

The first weights stay as they are; a checkpoint holds the adapters, to go on from, and a plain model with both added.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from instructor_search.errors import MissingExtraError

ADAPTER = "adapter.safetensors"
_PREFIX = "base_model.model."


def add_adapters(backbone: Any, rank: int, alpha: int | None) -> Any:
    """Return the backbone with adapters on all linear layers; only they are trained. ``alpha`` None: twice the rank."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingExtraError("peft", "train", "--lora_rank") from error
    names = sorted(
        {name.rsplit(".", 1)[-1] for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
    )
    config = LoraConfig(r=rank, lora_alpha=alpha or 2 * rank, target_modules=names, lora_dropout=0.0, bias="none")
    return get_peft_model(backbone, config)


def has_adapters(backbone: Any) -> bool:
    """Whether the backbone came from ``add_adapters``."""
    return hasattr(backbone, "peft_config")


def plain_state(backbone: Any) -> dict[str, Tensor]:
    """Return the backbone's weights without adapters: theirs are added in. Nothing is changed in place."""
    if not has_adapters(backbone):
        return dict(backbone.state_dict())
    deltas = {
        f"{name}.weight": module.get_delta_weight("default")
        for name, module in backbone.named_modules()
        if hasattr(module, "get_delta_weight") and hasattr(module, "base_layer")
    }
    state = {}
    for name, value in backbone.state_dict().items():
        if "lora_" in name:
            continue
        plain = name.replace(".base_layer", "")
        delta = deltas.get(plain)
        state[plain.removeprefix(_PREFIX)] = value if delta is None else value + delta.to(value.dtype)
    return state


def adapter_state(backbone: Any) -> dict[str, Tensor]:
    """Return the adapters' own weights."""
    return {k: v.detach().cpu().contiguous() for k, v in backbone.state_dict().items() if "lora_" in k}
