"""python -m train.experiments.average: the mean of weights, checked with NumPy on the files."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from instructor_search import load_encoder
from train.experiments.average import main


@pytest.fixture
def two_models(tiny_folder, tmp_path):
    import torch

    encoder = load_encoder(str(tiny_folder), runtime="torch", device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    encoder.save(str(tmp_path / "other"))
    return tiny_folder, tmp_path / "other"


def arrays(folder):
    return {f"{p.parent.name}/{k}": v for p in folder.rglob("*.safetensors") for k, v in load_file(p).items()}


def test_a_weighted_mean_that_loads(two_models, tmp_path, capsys):
    first, second = two_models
    assert main([f"{first}=3", f"{second}=1", "--output", str(tmp_path / "mean")]) == 0
    encoder = load_encoder(str(tmp_path / "mean"), runtime="torch", device="cpu")
    one, two = (load_encoder(str(f), runtime="torch", device="cpu").model.state_dict() for f in two_models)
    for name, value in encoder.model.state_dict().items():
        expected = 0.75 * one[name].double().numpy() + 0.25 * two[name].double().numpy()
        np.testing.assert_allclose(value.numpy(), expected, atol=1e-7, err_msg=name)
    assert str(tmp_path / "mean") in capsys.readouterr().out


def test_half_precision_is_half_the_size_and_near(two_models, tmp_path):
    for name, flags in (("full", []), ("half", ["--half"])):
        assert main([*map(str, two_models), "--output", str(tmp_path / name), *flags]) == 0
    size = {name: sum(p.stat().st_size for p in (tmp_path / name).rglob("*.safetensors")) for name in ("full", "half")}
    assert size["half"] < 0.6 * size["full"]
    assert {v.dtype for v in arrays(tmp_path / "half").values()} == {np.dtype(np.float16)}
    vectors = [load_encoder(str(tmp_path / n), device="cpu").encode(["a cat", "two dogs"]) for n in size]
    assert (np.asarray(vectors[0]) * np.asarray(vectors[1])).sum(1) == pytest.approx(1, abs=1e-5)
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(tmp_path / "half"), device="cpu").encode(["a cat", "two dogs"])
    assert theirs.dtype == np.float32
    np.testing.assert_allclose(theirs, vectors[1], atol=1e-5)
    half = load_encoder(str(tmp_path / "half"), runtime="torch", precision="fp32", device="cpu")
    half.save(tmp_path / "again")  # float16 again, as nothing was lost: the same files, the same space
    assert load_encoder(str(tmp_path / "again"), device="cpu").fingerprint == half.fingerprint
    next(iter(half.model.parameters())).data += 1e-6
    half.save(tmp_path / "changed")
    assert np.dtype(np.float32) in {v.dtype for v in arrays(tmp_path / "changed").values()}
    assert main([str(two_models[0]), "--output", str(tmp_path / "rounded"), "--half"]) == 0
    rounded, whole = (
        load_encoder(str(f), runtime="torch", device="cpu").model.state_dict()
        for f in (tmp_path / "rounded", two_models[0])
    )
    assert all((rounded[name] == value.half().float()).all() for name, value in whole.items())


def test_what_cannot_be_averaged_is_one_line(two_models, minilm, tmp_path, capsys):
    first = str(two_models[0])
    for models, words in (
        ([first], "one model has no average"),
        ([f"{first}=0", first], "expected a share above 0"),
        ([f"{first}=half", first], "is no number"),
        ([first, str(minilm.checkpoint.folder)], "is of another shape"),
        ([first, str(tmp_path / "none")], "no model folder"),
    ):
        assert main([*models, "--output", str(tmp_path / "out")]) == 1
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1 and not (tmp_path / "out").exists()
