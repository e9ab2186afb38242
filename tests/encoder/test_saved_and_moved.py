"""An encoder that is moved to another device, saved over another one, or given another window."""

import numpy as np
import pytest

from instructor_search import load_encoder
from instructor_search.errors import ModelError

PAIRS = [("Represent the title: ", "A parrot in the rain"), ("", "who?")]


@pytest.mark.parametrize("used", ["untouched", "embedded", "torch loaded"])
def test_a_device_that_is_not_there_leaves_the_encoder_as_it_was(tiny_folder, used):
    encoder = load_encoder(str(tiny_folder), runtime="openvino", precision="bf16")
    expected = load_encoder(str(tiny_folder), runtime="openvino", precision="bf16").encode(PAIRS)
    if used == "embedded":
        encoder.encode(PAIRS)
    if used == "torch loaded":
        assert encoder.model is not None
    with pytest.raises(ModelError, match="cuda:77"):
        encoder.to("cuda:77")
    assert (encoder.runtime, encoder.precision) == ("openvino", "bf16")
    np.testing.assert_array_equal(encoder.encode(PAIRS), expected)


def test_the_cpu_is_where_openvino_is_already(tiny_folder):
    encoder = load_encoder(str(tiny_folder), runtime="openvino", precision="fp32")
    assert encoder.to("cpu") is encoder and encoder.runtime == "openvino"


def test_a_device_of_torch_takes_over(tiny_folder):
    encoder = load_encoder(str(tiny_folder), runtime="openvino", precision="bf16")
    expected = load_encoder(str(tiny_folder), runtime="torch", device="cpu", precision="fp32").encode(PAIRS)
    assert encoder.to("cpu:0") is encoder
    assert (encoder.runtime, encoder.precision, str(encoder.device)) == ("torch", "fp32", "cpu:0")
    np.testing.assert_allclose(encoder.encode(PAIRS), expected, atol=1e-6)


def test_a_failed_move_leaves_the_encoder_as_it_was(tiny_folder):
    from instructor_search import load_encoder
    from instructor_search.errors import ModelError

    encoder = load_encoder(str(tiny_folder), device="cpu")
    before = encoder.encode("x")
    with pytest.raises(ModelError):
        encoder.to("cuda:77")
    np.testing.assert_allclose(encoder.encode("x"), before)


def test_saving_over_a_model_keeps_other_files(tiny_folder, tmp_path):
    import shutil

    from instructor_search import load_encoder

    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model/README.md").write_text("mine")
    encoder = load_encoder(str(tmp_path / "model"), device="cpu")
    before = encoder.encode("x")
    encoder.save(tmp_path / "model")
    assert (tmp_path / "model/README.md").read_text() == "mine"
    np.testing.assert_allclose(load_encoder(str(tmp_path / "model"), device="cpu").encode("x"), before, atol=1e-6)


@pytest.mark.parametrize("window", [0, 3, 1024])
def test_a_window_the_model_does_not_have(minilm, window):
    from instructor_search import load_encoder

    with pytest.raises(ValueError, match="expected 4 to 512 tokens"):
        load_encoder(max_seq_length=window)
    with pytest.raises(ValueError, match="expected 4 to 512 tokens"):
        minilm.max_seq_length = window
    assert minilm.max_tokens == 256
