"""The embedding cache gives the encoder's own vectors, embeds a text once an instruction, and outlives a kill."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from instructor_search.encoder.cache import CachedEncoder, text_key
from instructor_search.instructions import InstructedText
from tests.conftest import ROOT
from tests.toy import HashEncoder, interrupt_at


class Counting(HashEncoder):
    """A hash encoder that remembers what it was asked."""

    def __init__(self, dim=16):
        super().__init__(dim)
        self.asked = []

    def encode(self, sentences, batch_size=32, *, on_batch=None):
        self.asked += [tuple(s) for s in sentences]
        return super().encode(sentences, batch_size, on_batch=on_batch)


def pairs(instruction, *texts):
    return [InstructedText(instruction, text) for text in texts]


def test_vectors_are_the_encoders_own_in_input_order(tmp_path):
    plain, cached = HashEncoder(), CachedEncoder(HashEncoder(), tmp_path)
    mixed = [InstructedText(f"i{n % 3}: ", f"text {n % 7}") for n in range(50)]
    for _ in range(2):
        assert np.array_equal(cached.encode(mixed), plain.encode(mixed))
    again = CachedEncoder(HashEncoder(), tmp_path)
    assert np.array_equal(again.encode(mixed), plain.encode(mixed)) and again.num_misses == 0


def test_only_what_changed_is_embedded(tmp_path):
    encoder = Counting()
    cached = CachedEncoder(encoder, tmp_path)
    cached.encode(pairs("one: ", "a", "b", "a"))
    assert sorted(encoder.asked) == [("one: ", "a"), ("one: ", "b")]
    cached.encode(pairs("one: ", "a", "b", "c"))
    assert encoder.asked[2:] == [("one: ", "c")]
    cached.encode(pairs("two: ", "a"))
    assert encoder.asked[3:] == [("two: ", "a")]


def test_another_encoder_runtime_or_precision_shares_nothing(tmp_path):
    CachedEncoder(HashEncoder(), tmp_path).encode(pairs("", "a"))
    other = HashEncoder()
    other.precision = "int8"
    cached = CachedEncoder(other, tmp_path)
    cached.encode(pairs("", "a"))
    assert cached.num_misses == 1
    third = CachedEncoder(HashEncoder(8), tmp_path)
    assert third.encode(pairs("", "a")).shape == (1, 8) and third.num_misses == 1


def test_a_run_that_was_interrupted_keeps_what_it_had(tmp_path):
    texts = pairs("", *(f"text {i}" for i in range(2500)))
    encoder = HashEncoder()
    interrupt_at(encoder, 3)
    with pytest.raises(KeyboardInterrupt):
        CachedEncoder(encoder, tmp_path).encode(texts)
    again = CachedEncoder(HashEncoder(), tmp_path)
    assert np.array_equal(again.encode(texts), HashEncoder().encode(texts))
    assert again.num_hits == 2048 and again.num_misses == 452


def test_half_written_files_are_cut_back(tmp_path):
    first = pairs("", "a", "b")
    CachedEncoder(HashEncoder(), tmp_path).encode(first)
    (vectors,) = tmp_path.rglob("vectors.f32")
    with vectors.open("ab") as stream:  # a vector and a half whose keys were never written
        stream.write(b"\x01" * (6 * 16))
    with vectors.with_name("keys.bin").open("ab") as stream:
        stream.write(b"\x02" * 5)
    cached = CachedEncoder(HashEncoder(), tmp_path)
    both = pairs("", "a", "b", "c", "d")
    assert np.array_equal(cached.encode(both), HashEncoder().encode(both)) and cached.num_misses == 2
    assert vectors.stat().st_size == 4 * 4 * 16
    assert np.array_equal(CachedEncoder(HashEncoder(), tmp_path).encode(both), HashEncoder().encode(both))


def test_a_damaged_vector_is_made_again(tmp_path):
    CachedEncoder(HashEncoder(), tmp_path).encode(pairs("", "a", "b"))
    (vectors,) = tmp_path.rglob("vectors.f32")
    content = bytearray(vectors.read_bytes())
    content[: 4 * 16] = bytes(4 * 16)
    vectors.write_bytes(content)
    cached = CachedEncoder(HashEncoder(), tmp_path)
    assert np.array_equal(cached.encode(pairs("", "a", "b")), HashEncoder().encode(pairs("", "a", "b")))
    assert cached.num_hits == 1 and cached.num_misses == 1


def test_progress_counts_every_text_once(tmp_path):
    cached = CachedEncoder(HashEncoder(), tmp_path)
    cached.encode(pairs("", "a", "b"))
    told = []
    cached.encode(pairs("", "a", "b", "c", "c", "a"), on_batch=told.append)
    assert sum(told) == 5


def test_another_dimension_under_the_same_fingerprint(tmp_path):
    wide, narrow = HashEncoder(8), HashEncoder(4)
    narrow.fingerprint = wide.fingerprint
    texts = pairs("", "a", "b")
    CachedEncoder(wide, tmp_path).encode(texts)
    assert np.array_equal(CachedEncoder(narrow, tmp_path).encode(texts), narrow.encode(texts))


WRITER = """
import sys
from pathlib import Path
from instructor_search.encoder.cache import CachedEncoder
from instructor_search.instructions import InstructedText
from tests.toy import HashEncoder
import random
chooser = random.Random(int(sys.argv[2]))
while True:
    texts = [InstructedText("i: ", f"text {chooser.randrange(4000)}") for _ in range(300)]
    CachedEncoder(HashEncoder(), Path(sys.argv[1])).encode(texts)
"""


@pytest.mark.slow
def test_writers_that_are_killed_leave_nothing_wrong(tmp_path):
    expected = HashEncoder()
    rng = random.Random(0)
    for number in range(6):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(10 * number + n)], cwd=ROOT)
            for n in range(2)
        ]
        time.sleep(1.0 + rng.random())
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        texts = pairs("i: ", *(f"text {i}" for i in range(0, 4000, 7)))
        cached = CachedEncoder(HashEncoder(), tmp_path)
        assert np.array_equal(cached.encode(texts), expected.encode(texts))
    assert cached.num_hits > 300  # the writers had written, and it was found


def test_keys_take_any_text():
    assert text_key("\ud800") != text_key("") and len(text_key("x")) == 16


def test_the_default_model_through_the_cache(minilm, tmp_path):
    texts = pairs("Represent the question: ", "why is the sky blue", "x " * 400)
    cached = CachedEncoder(minilm, tmp_path)
    fresh = cached.encode(texts)
    assert np.abs(fresh - minilm.encode(texts)).max() < 1e-6
    assert np.array_equal(cached.encode(texts), fresh)
