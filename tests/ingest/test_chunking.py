"""Chunks fit to the token, are the document's own text, lose nothing and repeat whole sentences."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructor_search import load_encoder
from instructor_search.chunking import Chunker, default_chunk_tokens, sentence_spans
from instructor_search.encoder.tokenization import InstructedTokenizer
from instructor_search.instructions import InstructedText
from instructor_search.records import Block, Document
from tests.conftest import PARITY, ROOT

INSTRUCTION = "Represent the document for retrieval: "


def document(blocks):
    return Document("d", "d", "d", "text/plain", blocks)


def bert():
    return load_encoder().tokenizer


def t5():
    return InstructedTokenizer.from_folder(PARITY / "instructor-tiny", 512)


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
paragraph = st.lists(
    st.sampled_from(["The", "value", "of", "e.g.", "3.14", "end.", "So!", "东京。", "\n", "- a"]) | words,
    min_size=1,
    max_size=60,
).map(" ".join)
texts = st.lists(paragraph, min_size=1, max_size=8)


@pytest.mark.parametrize("make", [bert, t5], ids=["bert", "t5"])
@settings(max_examples=30, deadline=None)
@given(parts=texts, max_tokens=st.integers(1, 60), headings=st.booleans())
def test_chunks_of_any_text(make, parts, max_tokens, headings):
    tokenizer = make()
    blocks = [Block(p + "\n\n", (f"h{i // 2}",) if headings else ()) for i, p in enumerate(parts)]
    whole = "".join(b.text for b in blocks)
    chunks = list(Chunker(tokenizer, max_tokens, max_tokens // 4).chunks(document(blocks)))
    covered = set()
    for chunk in chunks:
        assert whole[chunk.start : chunk.end] == chunk.text == chunk.text.strip() != ""
        assert chunk.num_tokens == tokenizer.count_tokens(chunk.text)
        assert chunk.num_tokens <= max_tokens or len(chunk.text) == 1  # one character may be several byte tokens
        covered.update(range(chunk.start, chunk.end))
    assert [c.start for c in chunks] == sorted(c.start for c in chunks)
    assert all(i in covered for i, character in enumerate(whole) if not character.isspace())  # nothing is lost


@pytest.mark.parametrize("make", [bert, t5], ids=["bert", "t5"])
def test_no_chunk_is_cut_by_the_window(make):
    tokenizer = make()
    text = (ROOT / "corpus/history/gettysburg.txt").read_text() * 6
    budget = tokenizer.text_budget(INSTRUCTION)
    chunks = list(Chunker(tokenizer, budget, budget // 8).chunks(document([Block(text)])))
    tokenized = tokenizer.encode_batch([InstructedText(INSTRUCTION, c.text) for c in chunks])
    assert all(t.num_cut == 0 for t in tokenized) and len(chunks) > 3
    fill = [len(t.ids) / tokenizer.max_tokens for t in tokenized[:-1]]
    assert sum(fill) / len(fill) > 0.8  # and the window is used


def test_default_budget_keeps_room_for_longer_instructions_of_later_views():
    tokenizer = bert()
    assert default_chunk_tokens(tokenizer, INSTRUCTION) == 256 - 2 - 32
    long = "Represent the " + "very " * 60 + "document: "
    assert default_chunk_tokens(tokenizer, long) == tokenizer.text_budget(long) < 256 - 2 - 60


def test_overlap_repeats_whole_sentences():
    sentences = [f"Sentence number {i} is here to be found." for i in range(30)]
    chunks = list(Chunker(bert(), 40, 12).chunks(document([Block(" ".join(sentences))])))
    for before, after in zip(chunks, chunks[1:], strict=False):
        shared = before.end - after.start
        assert 0 < shared and before.text[-shared:].strip() in sentences
    plain = list(Chunker(bert(), 40, 0).chunks(document([Block(" ".join(sentences))])))
    assert all(a.end <= b.start for a, b in zip(plain, plain[1:], strict=False))


def test_sections_and_pages_are_not_mixed_but_a_bare_heading_joins_its_section():
    blocks = [
        Block("# Manual\n\n", ("Manual",)),
        Block("## Setup\n\n", ("Manual", "Setup")),
        Block("Plug it in and wait until the lamp is green. " * 4, ("Manual", "Setup")),
        Block("## Cleaning\n\nPull the plug first. " + "Wipe it with a dry cloth. " * 5, ("Manual", "Cleaning"), 2),
    ]
    first, second = Chunker(bert(), 200, 0).chunks(document(blocks))
    assert first.text.startswith("# Manual") and first.heading == ("Manual", "Setup") and "Cleaning" not in first.text
    assert second.heading == ("Manual", "Cleaning") and second.page == 2


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three? Four", 4),
        ("Dr. A. Smith met Mr. Brown, e.g. at St. Paul. Then he left.", 2),
        ("It cost 3.50 euros. it was cheap.", 1),  # a small letter goes on
        ("- one\n- two\n- three", 3),
        ("東京は日本の首都です。人口は多い。", 2),
        ("first\n\nsecond", 2),
        ("no end", 1),
        ("", 0),
    ],
)
def test_sentences(text, count):
    spans = sentence_spans(text)
    assert len(spans) == count
    assert "".join(text[a:b] for a, b in spans) == text


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="chunk of 10 tokens with an overlap of 8"):
        Chunker(bert(), 10, 8)
    with pytest.raises(ValueError, match="chunk of 0 tokens"):
        Chunker(bert(), 0, 0)


def test_a_huge_line_streams_through():
    """One block of 400,000 characters without a sentence end, and one without a space at all."""
    chunker = Chunker(bert(), 100, 10)
    words = list(chunker.chunks(document([Block("word " * 80_000)])))
    assert sum(c.num_tokens for c in words) >= 80_000 and max(c.num_tokens for c in words) <= 100
    glued = list(chunker.chunks(document([Block("x1y2" * 5_000)])))
    assert "".join(c.text for c in glued) == "x1y2" * 5_000
