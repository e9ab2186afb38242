"""Instructions as values, the template both ways, and the library."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor_search.instruction_library import LIBRARY, find_instruction, query_instruction_for
from instructor_search.instruction_rule import resolve
from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION, DEFAULT_QUERY_INSTRUCTION, Instruction


@pytest.mark.parametrize(
    ("sentence", "domain", "text_type", "objective"),
    [
        ("Represent the Science title: ", "Science", "title", None),
        (
            "Represent the Wikipedia question for retrieving supporting documents: ",
            "Wikipedia",
            "question",
            "retrieving supporting documents",
        ),
        ("Represent the document for retrieval: ", None, "document", "retrieval"),
        (
            "Represent the Medicine sentence for retrieving a duplicate sentence;",
            "Medicine",
            "sentence",
            "retrieving a duplicate sentence",
        ),
        ("represent a bug report for retrieving duplicates", None, "bug report", "retrieving duplicates"),
        ("Represent the online shop product review: ", "online shop", "product review", None),
        ("Represent the claim and the argument for judging", None, "claim and the argument", "judging"),
        ("Represent the question of a user: ", None, "question of a user", None),
        ("query: ", None, None, None),
        ("Find me something: now", None, None, None),
        ("", None, None, None),
    ],
)
def test_a_sentence_is_read_back_to_its_slots(sentence, domain, text_type, objective):
    found = Instruction.parse(sentence)
    assert (found.text, found.domain, found.text_type, found.task_objective) == (sentence, domain, text_type, objective)
    assert found.is_template == (text_type is not None)


words = st.text("abcdefghij", min_size=1, max_size=8).filter(lambda w: w not in ("for", "a", "an", "the"))
phrase = st.lists(words, min_size=1, max_size=3).map(" ".join)


@given(domain=st.none() | phrase, text_type=words, objective=st.none() | phrase)
def test_slots_survive_the_sentence(domain, text_type, objective):
    made = Instruction.from_slots(text_type, domain=domain, task_objective=objective)
    assert Instruction.parse(str(made)) == made


@pytest.mark.parametrize("bad", ["", "  ", "title: now", "a;b"])
def test_slots_that_would_break_the_template_are_refused(bad):
    with pytest.raises(ValueError, match="slot text_type"):
        Instruction.from_slots(bad)


def test_the_library_has_forty_uses_that_follow_the_template():
    assert len(LIBRARY) >= 40 and len({p.name for p in LIBRARY}) == len(LIBRARY)
    for pair in LIBRARY:
        for side in (pair.query, pair.document):
            parsed = Instruction.parse(side)
            assert parsed.is_template and side.endswith(": "), side
            if "question" not in pair.name:
                rebuilt = Instruction.from_slots(
                    parsed.text_type, domain=parsed.domain, task_objective=parsed.task_objective
                )
                assert rebuilt.text == side
    wanted = {
        "questions",
        "duplicate-questions",
        "papers",
        "code",
        "legal",
        "medical",
        "reviews-by-sentiment",
        "reviews-by-product",
        "support-tickets",
    }
    assert wanted <= {p.name for p in LIBRARY}


def test_library_lookups():
    assert find_instruction("default") == DEFAULT_QUERY_INSTRUCTION
    assert find_instruction("legal/document") == "Represent the legal document for retrieval: "
    assert resolve("@legal") == find_instruction("legal/query") and resolve("any sentence") == "any sentence"
    assert query_instruction_for(find_instruction("medical/document")) == find_instruction("medical/query")
    assert query_instruction_for("something else: ") == DEFAULT_QUERY_INSTRUCTION
    assert query_instruction_for("") == ""
    assert query_instruction_for(DEFAULT_DOCUMENT_INSTRUCTION) == DEFAULT_QUERY_INSTRUCTION
    with pytest.raises(ValueError, match="did you mean"):
        find_instruction("reviews-by-sentimen")
    with pytest.raises(ValueError, match="expected 'query' or 'document'"):
        find_instruction("legal/both")


def test_the_command_lists_and_parses(capsys):
    from instructor_search.commands.main import main

    assert main(["instructions", "review"]) == 0
    out = capsys.readouterr().out
    assert "reviews-by-sentiment" in out and "legal" not in out
    assert main(["instructions", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(LIBRARY)
    assert main(["instructions", "--parse", "Represent the Science title: ", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["domain"] == "Science"
