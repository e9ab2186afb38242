"""The default model against sentence-transformers, and what save() writes against both loaders."""

import numpy as np
import pytest

from instructor_search import load_encoder

TEXTS = [
    "The cell membrane lets water pass.",
    "a",
    "",
    "Größe, naïve café, 東京, 🚀",
    "One. Two! Three? " * 40,
    "A text that is longer than the window of 256 tokens. " * 60,
]


@pytest.fixture(scope="module")
def reference():
    from sentence_transformers import SentenceTransformer

    from instructor_search.encoder.checkpoint import resolve_folder

    return SentenceTransformer(str(resolve_folder(None)[0]), device="cpu")


def test_plain_texts_equal_sentence_transformers(minilm, reference):
    np.testing.assert_allclose(minilm.encode(TEXTS), reference.encode(TEXTS), atol=1e-5)
    assert minilm.max_tokens == 256 and minilm.dim == 384


def test_instructed_texts_equal_sentence_transformers_without_prompt_pooling(minilm, reference):
    instruction = "Represent the science question for retrieving papers: "
    texts = TEXTS[:2] + TEXTS[3:]
    reference.set_pooling_include_prompt(False)
    expected = reference.encode(texts, prompt=instruction)
    reference.set_pooling_include_prompt(True)
    np.testing.assert_allclose(minilm.encode(texts, instruction=instruction), expected, atol=1e-5)


@pytest.mark.parametrize("which", ["tiny", "minilm"])
def test_saved_folder_gives_the_same_vectors_in_both_loaders(which, request, tmp_path):
    from sentence_transformers import SentenceTransformer

    encoder = request.getfixturevalue(which)
    encoder.save(tmp_path / "model")
    instruction = "Represent the document for retrieval: "
    texts = [*TEXTS[:2], TEXTS[3], "first line\nsecond line"]  # literal special tokens: transformers 5 splits them anew
    expected = encoder.encode(texts, instruction=instruction)
    again = load_encoder(str(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(again.encode(texts, instruction=instruction), expected, atol=1e-6)
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(theirs.encode(texts, prompt=instruction), expected, atol=1e-5)
    assert again.fingerprint == encoder.fingerprint  # the same weights and settings are the same space


def test_save_does_not_replace_a_folder_of_something_else(tiny, tmp_path):
    (tmp_path / "precious.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="is no model folder"):
        tiny.save(tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "keep me"


def test_a_model_that_is_saved_again_keeps_what_is_not_its_own(tiny, tmp_path):
    folder = tmp_path / "model"
    tiny.save(folder)
    before = {p.name for p in folder.iterdir()}
    (folder / "README.md").write_text("mine")
    (folder / "more").mkdir()
    (folder / "more" / "notes.txt").write_text("mine")
    (folder / "pytorch_model.bin").write_text("of another model")
    (folder / "link").symlink_to("nowhere")
    (folder / "config.json").write_text("{}")
    tiny.save(folder)
    assert {p.name for p in folder.iterdir()} == before | {"README.md", "more", "link"}
    assert (folder / "more" / "notes.txt").read_text() == "mine" and (folder / "config.json").read_text() != "{}"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_save_that_fails_leaves_the_old_model(tiny, tmp_path, monkeypatch):
    from instructor_search.encoder import saving

    folder = tmp_path / "model"
    tiny.save(folder)
    kept = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    (tmp_path / ".model.99999999.1.part").mkdir()  # of a process that was killed
    monkeypatch.setattr(saving, "_write_tokenizer_config", lambda *_: (_ for _ in ()).throw(OSError("No space left")))
    with pytest.raises(OSError, match="No space left"):
        tiny.save(folder)
    assert {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == kept
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_folder_written_by_sentence_transformers_itself_loads(reference, minilm, tmp_path):
    reference.save(str(tmp_path / "st"))
    ours = load_encoder(str(tmp_path / "st"), device="cpu")
    assert ours.max_tokens == 256
    np.testing.assert_allclose(ours.encode(TEXTS), minilm.encode(TEXTS), atol=1e-6)
