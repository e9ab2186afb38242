"""Loading: pickles only when asked for, clear refusals, fingerprints that name the space."""

import json
import shutil

import numpy as np
import pytest

from instructor_search import load_encoder
from instructor_search.errors import ModelError


@pytest.fixture
def copy(tiny_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    return folder


def to_pickle(folder):
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def test_pickles_load_only_when_asked_for(copy, tiny):
    to_pickle(copy)
    to_pickle(copy / "2_Dense")
    with pytest.raises(ModelError, match="--allow-pickle"):
        load_encoder(str(copy))
    encoder = load_encoder(str(copy), allow_pickle=True, device="cpu")
    pair = [["Represent the Science title: ", "Parton energy loss"]]
    np.testing.assert_allclose(encoder.encode(pair), tiny.encode(pair), atol=1e-6)


def test_a_pickle_that_would_run_code_is_not_run(copy, tmp_path):
    import torch

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"shared.weight": Evil()}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError):
        load_encoder(str(copy), allow_pickle=True, device="cpu").encode("x")
    assert not (tmp_path / "owned").exists()


def break_json(name, change):
    def apply(folder):
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(change(values)))

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "config.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors.*--allow-pickle"),
        (break_json("config.json", lambda c: c | {"model_type": "gpt2"}), "is a 'gpt2' model"),
        (break_json("1_Pooling/config.json", lambda c: {"pooling_mode_cls_token": True}), "pooling_mode_cls_token"),
        (break_json("modules.json", lambda m: [m[0], {"type": "x.WeightedPool", "path": ""}]), "WeightedPool"),
        (break_json("2_Dense/config.json", lambda c: c | {"activation_function": "torch.nn.ReLU"}), "ReLU"),
        (break_json("modules.json", lambda m: [*m[:2], m[3], m[2]]), "expected Transformer, Pooling, optional Dense"),
        (break_json("modules.json", lambda m: m[:1]), "expected Transformer, Pooling, optional Dense"),
        (break_json("modules.json", lambda m: [{"path": ""}]), "expected objects with type and path"),
        (break_json("modules.json", lambda m: {"a": 1}), "expected a list"),
        (break_json("config.json", lambda c: []), "expected an object"),
        (break_json("2_Dense/config.json", lambda c: c | {"in_features": 40}), "reads 40 numbers; expected the "),
        (break_json("2_Dense/config.json", lambda c: {"out_features": 8}), "in_features and out_features"),
        (lambda f: (f / "sentence_bert_config.json").write_text('{"max_seq_length": "128"}'), "the window is '128'"),
        (lambda f: (f / "tokenizer.json").write_text('{"version": "1.0"'), "is no tokenizer"),
        (lambda f: (f / "config_sentence_transformers.json").write_text('{"prompts": ["a"]}'), "expected an object"),
    ],
    ids=[
        "no config",
        "bad json",
        "no tokenizer",
        "no weights",
        "decoder",
        "cls pooling",
        "unknown module",
        "relu dense",
        "dense after normalize",
        "no pooling",
        "no type",
        "modules no list",
        "config no object",
        "dense of another width",
        "dense without a width",
        "window no number",
        "tokenizer cut off",
        "prompts no object",
    ],
)
def test_damaged_folders_are_refused_in_one_line(copy, damage, message):
    damage(copy)
    with pytest.raises(ModelError, match=message) as caught:
        load_encoder(str(copy))
    assert "\n" not in str(caught.value)


def test_missing_weights_are_refused_when_they_load(copy):
    from safetensors.numpy import load_file, save_file

    state = load_file(copy / "model.safetensors")
    state.pop(next(k for k in state if "layer.1" in k and "wo" in k))
    save_file(state, copy / "model.safetensors")
    with pytest.raises(ModelError, match="lacks 1 weights"):
        load_encoder(str(copy), device="cpu").encode("x")


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c", "nowhere"])
def test_a_folder_that_is_not_there(name):
    with pytest.raises(ModelError, match="no model folder"):
        load_encoder(name)


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="cannot get 'hkunlp/instructor-base' from the hub") as caught:
        load_encoder("hkunlp/instructor-base", cache_folder=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_model_in_the_hub_cache_loads_offline(tiny_folder, tiny, tmp_path, monkeypatch):
    """The real hub code path, on a cache laid out as the hub client lays it out."""
    import huggingface_hub.constants

    repo = tmp_path / "models--hkunlp--instructor-tiny"
    shutil.copytree(tiny_folder, repo / "snapshots" / ("a" * 40))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    encoder = load_encoder("hkunlp/instructor-tiny", cache_folder=str(tmp_path), device="cpu")
    assert encoder.name == "hkunlp/instructor-tiny" and encoder.fingerprint == tiny.fingerprint


def test_fingerprint_changes_with_weights_and_with_dialect(copy, tiny):
    from safetensors.numpy import load_file, save_file

    assert load_encoder(str(copy)).fingerprint == tiny.fingerprint
    assert load_encoder(str(copy), dialect="head").fingerprint != tiny.fingerprint
    state = load_file(copy / "model.safetensors")
    save_file(state, copy / "model.safetensors", metadata={"written": "again"})
    assert load_encoder(str(copy)).fingerprint == tiny.fingerprint  # the same numbers in another file
    name = sorted(state)[0]
    state[name] = state[name].copy()
    state[name].flat[0] += 1e-3
    save_file(state, copy / "model.safetensors")
    assert load_encoder(str(copy)).fingerprint != tiny.fingerprint


def test_fingerprint_changes_with_settings_that_no_weight_shows(copy, tiny):
    """As the vectors do; a setting that is left out, or that changes no vector, changes no name either."""
    config = json.loads((copy / "config.json").read_text())
    asked = [["Represent: ", "Nitrogen fixation takes place in the nodules of a plant."]]

    def made(**changed):
        (copy / "config.json").write_text(json.dumps(config | changed))
        encoder = load_encoder(str(copy), device="cpu")
        return encoder.fingerprint, encoder.encode(asked)

    assert made(dropout_rate=0.5)[0] == made(d_kv=config["d_kv"])[0] == tiny.fingerprint
    first = made()[1]
    changes = [
        {"num_layers": config["num_layers"] - 1},
        {"layer_norm_epsilon": 0.1},
        {"feed_forward_proj": "gelu", "dense_act_fn": "gelu"},
    ]
    for change in changes:
        name, vectors = made(**change)
        assert name != tiny.fingerprint and abs(vectors - first).max() > 1e-4, change


def test_opening_an_encoder_loads_no_torch(tiny_folder):
    import subprocess
    import sys

    code = (
        "import sys; from instructor_search import load_encoder; "
        f"e = load_encoder({str(tiny_folder)!r}); e.tokenizer.text_budget('x'); "
        "assert e.dim == 48; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=str(tiny_folder.parents[3])).returncode == 0
