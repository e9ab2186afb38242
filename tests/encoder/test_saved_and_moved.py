"""An encoder that is moved to another device, saved over another one, or given another window."""

import numpy as np
import pytest


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
