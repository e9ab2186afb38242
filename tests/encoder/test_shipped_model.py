"""The model that is shipped: whole, small, with its int8 graph, and readable by sentence-transformers."""

import numpy as np
import pytest

from instructor_search import load_encoder
from instructor_search.encoder.checkpoint import BASE_MODEL, resolve_folder
from instructor_search.encoder.runtimes.cpu import has_int8_products
from instructor_search.errors import MissingExtraError

FOLDER = resolve_folder(None)[0]
INSTRUCTION = "Represent the astronomy question for retrieving supporting documents: "


def test_it_has_a_short_name():
    assert resolve_folder("default") == resolve_folder("instructor-minilm") == (FOLDER, "instructor-minilm")


def test_it_fits_in_75_megabytes_with_a_card():
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) <= 75_000_000
    card = (FOLDER / "README.md").read_text()
    assert "license: apache-2.0" in card and "base_model: sentence-transformers/all-MiniLM-L6-v2" in card


def test_its_int8_graph_is_shipped(tmp_path, monkeypatch, minilm):
    monkeypatch.setenv("INSTRUCTOR_SEARCH_CACHE", str(tmp_path))
    encoder = load_encoder(runtime="openvino", precision="int8")
    if not has_int8_products():
        pytest.skip("this CPU has no int8 dot products: precision int8 is float32 here")
    asked = [(INSTRUCTION, "mercury"), ("", "Bees make honey.")]
    cosines = (encoder.encode(asked) * minilm.encode(asked)).sum(axis=1)
    assert cosines.min() > 0.995 and not list(tmp_path.iterdir())  # nothing was calibrated


def test_sentence_transformers_loads_it(minilm):
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(FOLDER), device="cpu").encode(["mercury"], prompt=INSTRUCTION)
    assert theirs == pytest.approx(minilm.encode([(INSTRUCTION, "mercury")]), abs=1e-4)


def test_its_base_is_another_model(minilm, base):
    asked = [(INSTRUCTION, "mercury")]
    assert base.name == BASE_MODEL and base.fingerprint != minilm.fingerprint
    assert np.abs(base.encode(asked) - minilm.encode(asked)).max() > 0.01


def test_the_base_asks_for_its_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"base-model"):
        resolve_folder(BASE_MODEL)
