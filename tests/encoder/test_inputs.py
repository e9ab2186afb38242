"""What encode() accepts, in every form, and clear refusals. INSTRUCTOR's further arguments: tests/integrations."""

import numpy as np
import pytest

from instructor_search.instructions import InstructedText, Instruction

I1, I2 = "Represent the Science title: ", "Represent the review: "
T1, T2 = "Parton energy loss", "The value of the object"


@pytest.fixture(scope="module")
def expected(tiny):
    return tiny.encode([[I1, T1], [I2, T2]])


@pytest.mark.parametrize(
    "sentences",
    [
        [(I1, T1), (I2, T2)],
        [InstructedText(I1, T1), [I2, T2]],
        [{"instruction": I1, "text": T1}, {"text": T2, "instruction": I2}],
        np.array([[I1, T1], [I2, T2]]),
        [[I1, T1, 0], [I2, T2, 0]],  # the old evaluation code passes a third element
        ((I1, T1), (Instruction.parse(I2), T2)),
    ],
    ids=["tuples", "mixed", "mappings", "array", "triples", "instruction objects"],
)
def test_pairs_in_every_form(tiny, expected, sentences):
    np.testing.assert_allclose(tiny.encode(sentences), expected, atol=1e-6)


def test_instruction_argument(tiny, expected):
    np.testing.assert_allclose(tiny.encode([T1, T2], instruction=[I1, I2]), expected, atol=1e-6)
    np.testing.assert_allclose(tiny.encode(T1, instruction=I1), expected[0], atol=1e-6)
    np.testing.assert_allclose(tiny.encode(T1, instruction=Instruction.parse(I1)), expected[0], atol=1e-6)


def test_none_among_instructions_is_no_instruction(tiny):
    np.testing.assert_array_equal(tiny.encode([T1, T1], instruction=[None, I1]), tiny.encode([["", T1], [I1, T1]]))


def test_a_flat_list_of_strings_is_a_list_of_texts(tiny):
    assert tiny.encode([I1, T1]).shape == (2, 48)
    np.testing.assert_allclose(tiny.encode([I1, T1])[1], tiny.encode(T1), atol=1e-6)


def test_empty_list_and_order_and_batches(tiny):
    assert tiny.encode([]).shape == (0, 48)
    texts = [f"{'word ' * (i * 7 % 31)}end {i}" for i in range(50)]
    done = []
    vectors = tiny.encode(texts, batch_size=4, on_batch=done.append)
    assert sum(done) == 50 and max(done) == 4
    np.testing.assert_allclose(vectors, np.stack([tiny.encode(t) for t in texts]), atol=1e-6)


def test_normalize_embeddings_gives_unit_length(tiny_folder, tmp_path):
    """Visible only on a model that does not end in Normalize."""
    import json
    import shutil

    from instructor_search import load_encoder

    folder = tmp_path / "raw"
    shutil.copytree(tiny_folder, folder)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:3]))
    raw = load_encoder(str(folder), device="cpu")
    assert abs(np.linalg.norm(raw.encode(T1)) - 1) > 0.01
    assert np.linalg.norm(raw.encode(T1, normalize_embeddings=True)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("sentences", "options", "message"),
    [
        ([None], {}, "item 0 is None"),
        ([T1, 7], {}, "item 1 is 7"),
        ([[I1]], {}, "item 0"),
        ([{"instruction": I1}], {}, "item 0"),
        ([T1, T2], {"instruction": [I1]}, "1 instructions for 2 texts"),
        ([[I1, T1]], {"instruction": I2}, "brings its own instruction"),
        ([T1], {"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_wrong_inputs_say_what_was_expected(tiny, sentences, options, message):
    with pytest.raises(ValueError, match=message):
        tiny.encode(sentences, **options)


def test_the_bar_and_the_count_of_texts_done(tiny, capsys):
    done = []
    tiny.encode([T1, T2], show_progress_bar=True, on_batch=done.append)
    assert sum(done) == 2 and "2/2" in capsys.readouterr().err
    tiny.encode([T1, T2])
    assert capsys.readouterr().err == ""
