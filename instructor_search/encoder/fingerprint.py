"""The name of a vector space: a hash over all that decides where a text's embedding lies."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container
from pathlib import Path

from instructor_search.encoder.checkpoint import Checkpoint, weight_file
from instructor_search.errors import ModelError
from instructor_search.files import file_hash

_SETTINGS = {  # what a transformer's config.json says that no weight shows, and what it says of most
    "num_attention_heads": 12,
    "n_heads": 12,
    "d_kv": 64,
    "hidden_act": "gelu",
    "activation": "gelu",
    "feed_forward_proj": "relu",
    "layer_norm_eps": 1e-12,
    "layer_norm_epsilon": 1e-6,
    "relative_attention_max_distance": 128,
}


def fingerprint(checkpoint: Checkpoint, *, dialect: str, max_tokens: int, allow_pickle: bool = False) -> str:
    """Return what names the vector space: a hash over weights, settings, tokenizer, pooling chain, window and dialect.

    Settings of the usual value are left out of it, and layers that the configuration does not count.
    """
    folders = [checkpoint.transformer_folder, *(d.folder for d in checkpoint.dense)]
    config = checkpoint.config
    counts = (config.get(name) for name in ("num_hidden_layers", "num_layers", "n_layers"))
    num_layers = next((count for count in counts if isinstance(count, int)), 0)
    settings = {
        "weights": [_file_digest(weight_file(f, allow_pickle=allow_pickle), num_layers) for f in folders],
        "tokenizer": _file_digest(checkpoint.transformer_folder / "tokenizer.json"),
        "dense": [(d.in_features, d.out_features, d.bias, d.activation) for d in checkpoint.dense],
        "normalize": checkpoint.normalize,
        "lower_case": checkpoint.lower_case,
        "max_tokens": max_tokens,
        "dialect": str(dialect),
        **{name: config[name] for name, usual in _SETTINGS.items() if config.get(name, usual) != usual},
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _file_digest(path: Path, num_layers: int = 0) -> str:
    if path.name.endswith(".index.json"):
        shards = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        return hashlib.sha256("".join(_file_digest(path.parent / s, num_layers) for s in shards).encode()).hexdigest()
    if path.suffix == ".safetensors":
        return _safetensors_digest(path, num_layers)
    return file_hash(path)


def _safetensors_digest(path: Path, num_layers: int) -> str:
    """Hash names, types, shapes and values, in name order: the same weights saved again have the same digest."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        try:
            header = json.loads(stream.read(size))
        except (ValueError, MemoryError, OverflowError) as error:
            raise ModelError(f"{path} is not a safetensors file") from error
        for name in sorted(n for n in header if _is_used(n, header, num_layers)):
            entry = header[name]
            digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
            stream.seek(8 + size + entry["data_offsets"][0])
            left = entry["data_offsets"][1] - entry["data_offsets"][0]
            while left > 0 and (part := stream.read(min(left, 1 << 20))):
                digest.update(part)
                left -= len(part)
    return digest.hexdigest()


def _is_used(name: str, names: Container[str], num_layers: int) -> bool:
    """Whether a tensor takes part in an embedding: poolers, position counters, decoders and second names do not.

    ``num_layers``: those after them take none either; 0: all do.
    """
    if name == "encoder.embed_tokens.weight":
        return "shared.weight" not in names
    layer = re.search(r"\.(?:layer|block)\.(\d+)\.", name)
    if layer and num_layers and int(layer[1]) >= num_layers:
        return False
    return not name.startswith(("__metadata__", "pooler.", "decoder.", "lm_head.")) and not name.endswith(
        "position_ids"
    )
