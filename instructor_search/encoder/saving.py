"""Writes a model folder in the published layout."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from safetensors import safe_open
from safetensors.torch import save_file

from instructor_search.encoder.checkpoint import Checkpoint, weight_file
from instructor_search.errors import ModelError
from instructor_search.files import atomic_folder, remove_parts

_OTHER_WEIGHTS = ("pytorch_model.bin", "model.safetensors.index.json")

if TYPE_CHECKING:
    from instructor_search.encoder.modeling import InstructorModel


class SavedParts(Protocol):
    """What is saved: an encoder has these parts, and so has the copy that training over several processes keeps."""

    @property
    def model(self) -> InstructorModel:
        """The torch module with ``backbone`` and ``dense``."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The folder that the model was read from."""

    @property
    def max_tokens(self) -> int:
        """Tokens of the window, special tokens included."""


def save_checkpoint(parts: SavedParts, folder: Path, *, backbone_state: Mapping[str, Any] | None = None) -> None:
    """Write a model to ``folder``, whole or not at all; nobody reads a half of one, or of two.

    ``backbone_state``: weights to write instead of the backbone's own (tensors by name). Other files of a model folder
    that is there already (its README, say) stay.

    Raises:
        FileExistsError: ``folder`` exists and is no model folder, so it is not replaced.
    """
    if folder.exists() and not (folder.is_dir() and ((folder / "modules.json").is_file() or not any(folder.iterdir()))):
        raise FileExistsError(f"{folder} exists and is no model folder; choose another path")
    folder = folder.resolve()
    remove_parts(folder)
    with atomic_folder(folder, overwrite=True) as part:
        _write(parts, part, parts.model.backbone.state_dict() if backbone_state is None else backbone_state)
        if folder.exists():
            _keep_others(folder, part)


def _keep_others(folder: Path, part: Path) -> None:
    """Take over what only the old folder has, but for weights in other files than the new model's."""
    for path in sorted(folder.rglob("*")):
        target = part / path.relative_to(folder)
        if path.is_dir() and not path.is_symlink():
            target.mkdir(exist_ok=True)
        elif not os.path.lexists(target) and path.relative_to(folder).as_posix() not in _OTHER_WEIGHTS:
            shutil.copy2(path, target, follow_symlinks=False)


def _write(parts: SavedParts, folder: Path, backbone_state: Mapping[str, Any]) -> None:
    checkpoint, model = parts.checkpoint, parts.model
    state = {k: v.detach().cpu().contiguous().clone() for k, v in backbone_state.items()}
    if model.backbone.config.model_type == "t5":  # one matrix under two names; safetensors wants one
        state.pop("encoder.embed_tokens.weight", None)
    save_file(_as_stored(state, checkpoint.transformer_folder), folder / "model.safetensors", metadata={"format": "pt"})
    _json(folder / "config.json", checkpoint.config)
    for name in ("tokenizer.json", "special_tokens_map.json", "spiece.model", "vocab.txt"):
        if (checkpoint.transformer_folder / name).is_file():
            shutil.copyfile(checkpoint.transformer_folder / name, folder / name)
    _write_tokenizer_config(parts, folder)
    _json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": parts.max_tokens, "do_lower_case": checkpoint.lower_case},
    )
    chain = [("", "Transformer"), ("1_Pooling", "Pooling")]
    # include_prompt: sentence-transformers then leaves a prompt out of the pooling, as an instruction is here
    pooling = {"word_embedding_dimension": checkpoint.hidden_size, "pooling_mode_mean_tokens": True}
    _json(folder / "1_Pooling" / "config.json", pooling | {"include_prompt": False})
    for layer, spec in zip(model.dense, checkpoint.dense, strict=True):
        path = f"{len(chain)}_Dense"
        activation = f"torch.nn.modules.{'linear' if spec.activation == 'Identity' else 'activation'}.{spec.activation}"
        config = {"in_features": spec.in_features, "out_features": spec.out_features, "bias": spec.bias}
        _json(folder / path / "config.json", config | {"activation_function": activation})
        weights = {
            f"linear.{k}": v.detach().cpu().contiguous() for k, v in layer.get_submodule("0").state_dict().items()
        }
        save_file(_as_stored(weights, spec.folder), folder / path / "model.safetensors")
        chain.append((path, "Dense"))
    if checkpoint.normalize:
        (folder / f"{len(chain)}_Normalize").mkdir()
        chain.append((f"{len(chain)}_Normalize", "Normalize"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(chain)
    ]
    prompts = {"prompts": checkpoint.prompts, "similarity_fn_name": "cosine"}
    _json(folder / "config_sentence_transformers.json", prompts)
    _json(folder / "modules.json", modules)


def _as_stored(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return weights in float16 where they came from float16, in ``folder``, and have not changed: the same again."""
    try:
        path = weight_file(folder)
    except ModelError:  # a pickle, that somebody allowed
        return state
    if path.suffix != ".safetensors":
        return state
    with safe_open(path, "pt") as stored:
        types = {stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    same = "F16" in types and all((half[k].to(v.dtype) == v).all() for k, v in state.items())
    return half if same else state


def _write_tokenizer_config(parts: SavedParts, folder: Path) -> None:
    """Keep the tokenizer's own class: transformers' T5 class trims a prompt's last space, as counting it needs."""
    path = parts.checkpoint.transformer_folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    _json(folder / "tokenizer_config.json", config | {"model_max_length": parts.max_tokens})


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
