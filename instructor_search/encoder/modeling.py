"""The model: transformer -> mean over the pooled positions -> dense layers -> unit length (torch)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel, T5EncoderModel
from transformers.utils import logging as transformers_logging

from instructor_search.encoder.checkpoint import Checkpoint, DenseLayer, weight_file
from instructor_search.errors import ModelError


class InstructorModel(nn.Module):
    """INSTRUCTOR's module chain. The backbone reads instruction and text; the mean leaves the instruction out."""

    def __init__(self, backbone: PreTrainedModel, dense: list[nn.Sequential], *, normalize: bool) -> None:
        """Chain finished parts."""
        super().__init__()
        self.backbone = backbone
        self.dense = nn.ModuleList(dense)
        self.normalize = normalize

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, *, allow_pickle: bool = False) -> InstructorModel:
        """Read the weights, float32, evaluation mode. Never runs code from the folder.

        Raises:
            ModelError: weights are missing, or a pickle that was not asked for.
        """
        backbone = _load_backbone(checkpoint, allow_pickle=allow_pickle)
        dense = [_load_dense(layer, allow_pickle=allow_pickle) for layer in checkpoint.dense]
        return cls(backbone, dense, normalize=checkpoint.normalize).eval()

    def token_embeddings(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the backbone's last hidden states, (batch, length, hidden)."""
        states: torch.Tensor = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states

    def mean(self, hidden: Tensor, pooling_mask: Tensor) -> Tensor:
        """Return the mean of hidden states, (batch, hidden), over ``pooling_mask`` (batch, length)."""
        mask = pooling_mask.unsqueeze(-1).to(hidden.dtype)  # (batch, length, 1)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)

    def pool(self, hidden: Tensor, pooling_mask: Tensor) -> Tensor:
        """Return embeddings, (batch, dim): mean over ``pooling_mask`` (batch, length), dense, unit length."""
        mean = self.mean(hidden, pooling_mask)
        for layer in self.dense:
            mean = layer(mean)
        return nn.functional.normalize(mean, dim=-1) if self.normalize else mean

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pooling_mask: Tensor) -> Tensor:
        """Return embeddings, (batch, dim)."""
        return self.pool(self.token_embeddings(input_ids, attention_mask), pooling_mask)


def _load_backbone(checkpoint: Checkpoint, *, allow_pickle: bool) -> PreTrainedModel:
    folder = checkpoint.transformer_folder
    safe = weight_file(folder, allow_pickle=allow_pickle).suffix != ".bin"
    kind: Any = T5EncoderModel if checkpoint.config["model_type"] == "t5" else AutoModel
    options: dict[str, Any] = {"use_safetensors": safe, "dtype": torch.float32, "local_files_only": True}
    if kind is AutoModel:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        options |= {"config": config, "trust_remote_code": False}
        if checkpoint.config["model_type"] in ("bert", "roberta", "xlm-roberta", "mpnet"):
            options["add_pooling_layer"] = False
    was_shown = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()  # "unexpected key pooler.*" is expected here
    model: PreTrainedModel
    try:
        model, report = kind.from_pretrained(folder, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise ModelError(f"cannot load the weights of {folder}: {str(error).strip().splitlines()[0][:200]}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if was_shown:
            transformers_logging.enable_progress_bar()
    missing = [k for k in report["missing_keys"] if not k.endswith(("position_ids", "embed_tokens.weight"))]
    if missing:
        raise ModelError(f"{folder} lacks {len(missing)} weights of its model, the first is {sorted(missing)[0]!r}")
    return model


def _load_dense(layer: DenseLayer, *, allow_pickle: bool) -> nn.Sequential:
    linear = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias)
    state = _read_weights(weight_file(layer.folder, allow_pickle=allow_pickle))
    try:
        linear.load_state_dict({k.removeprefix("linear."): v.float() for k, v in state.items()})
    except RuntimeError as error:
        raise ModelError(f"{layer.folder}: its weights do not fit its config.json ({error})") from error
    return nn.Sequential(linear, nn.Tanh() if layer.activation == "Tanh" else nn.Identity())


def _read_weights(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".bin":
        try:
            state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        except (RuntimeError, pickle.UnpicklingError) as error:
            raise ModelError(f"{path} holds more than weights, or is damaged: not loaded") from error
    from safetensors.torch import load_file

    return load_file(path)
