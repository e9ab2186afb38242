"""A prompt's tokens: counted by a tokenizer's file, by a chat's format, or guessed; a budget is kept exactly."""

import base64
import itertools
import json

import pytest

from instructor_search.errors import ModelError
from instructor_search.in_context.prompt import build_prompt
from instructor_search.in_context.template import ChatTemplate
from instructor_search.in_context.tokens import load_counter
from tests.conftest import PARITY
from tests.in_context.conftest import EXAMPLES


@pytest.fixture
def tokenizer_file():
    return PARITY / "instructor-tiny" / "tokenizer.json"


def test_the_budget_is_exact_by_a_tokenizer_file(tokenizer_file):
    from tokenizers import Tokenizer

    tokenizer, counter = Tokenizer.from_file(str(tokenizer_file)), load_counter(tokenizer_file)
    sizes = []
    for count in range(len(EXAMPLES) + 1):
        prompt = build_prompt(EXAMPLES[:count], "the value", count_tokens=counter)
        sizes.append(prompt.num_tokens)
        assert prompt.num_tokens == len(tokenizer.encode(prompt.text).ids) and prompt.notes == ()
    assert all(a < b for a, b in itertools.pairwise(sizes))
    for budget in range(sizes[0], sizes[-1] + 1):
        prompt = build_prompt(EXAMPLES, "the value", budget=budget, count_tokens=counter)
        best = max(n for n, size in enumerate(sizes) if size <= budget)
        assert len(prompt.demonstrations) == best and prompt.num_tokens == sizes[best]
        assert prompt.num_left_out == 5 - best
        assert {left.reason for left in prompt.left_out} <= {"over the budget"}
    assert load_counter(tokenizer_file.parent).name == str(tokenizer_file)
    assert "</s>" in counter.control_tokens


def test_a_chat_is_counted_by_the_model_s_own_format(tmp_path, tokenizer_file):
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_file.read_bytes())
    form = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": form, "bos_token": {"content": "<s>"}})
    )
    from tokenizers import Tokenizer

    prompt = build_prompt(EXAMPLES[:1], "q", template=ChatTemplate("T"), count_tokens=load_counter(tmp_path))
    text = "<s><system>T\n<user>input 0\n<assistant>output 0\n<user>q\n<assistant>"
    expected = len(Tokenizer.from_file(str(tokenizer_file)).encode(text, add_special_tokens=False).ids)
    assert prompt.num_tokens == expected and prompt.notes == ()
    guessed = build_prompt(EXAMPLES[:1], "q", template=ChatTemplate("T"), count_tokens=load_counter(tokenizer_file))
    assert guessed.notes == ("what the chat format adds is guessed as 4 tokens a message",)
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('no system message') }}")
    with pytest.raises(ModelError, match="chat template refuses this chat .no system message"):
        build_prompt(EXAMPLES[:1], "q", template=ChatTemplate("T"), count_tokens=load_counter(tmp_path))


def test_a_tiktoken_file_counts_by_its_ranks(tmp_path):
    pytest.importorskip("tiktoken", reason="tiktoken is not installed: pip install '.[prompts]'")
    pieces = [bytes([b]) for b in range(256)] + [b"ab", b" ab", b"abab"]
    lines = [base64.b64encode(piece) + b" " + str(rank).encode() for rank, piece in enumerate(pieces)]
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(b"\n".join(lines))
    counter = load_counter(path)
    assert [counter(t) for t in ("", "abab", "abab ab", "xyz", "<|endoftext|>")] == [0, 1, 2, 3, 13]
    assert "<|endoftext|>" in counter.control_tokens
    assert build_prompt([], "q", count_tokens=counter).notes == (
        "cl100k_base.tiktoken is not the published file of that name",
    )
    path.write_text("no tiktoken\n")
    with pytest.raises(ModelError, match="is no tiktoken file"):
        load_counter(path)
    with pytest.raises(ModelError, match="other.tiktoken: the name says how text is split; expected r50k_base"):
        load_counter(path.rename(tmp_path / "other.tiktoken"))


def test_a_missing_or_broken_tokenizer_is_one_line(tmp_path):
    with pytest.raises(ModelError, match="no tokenizer file .*expected a tokenizer.json, a model folder"):
        load_counter(tmp_path / "nothing.json")
    with pytest.raises(ModelError, match="no tokenizer file .*tokenizer.json"):
        load_counter(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="is no tokenizer of the tokenizers library"):
        load_counter(tmp_path)


def test_a_guess_says_that_it_is_one():
    prompt = build_prompt(EXAMPLES, "q", count_tokens=load_counter(None))
    assert prompt.num_tokens == -(-len(prompt.text) // 4) and "guessed as characters / 4" in prompt.notes[0]
    assert build_prompt(EXAMPLES, "q").notes == prompt.notes
