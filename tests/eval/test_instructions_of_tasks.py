"""Instructions of tasks: variants, files, and a sentence for each side of the paper's 56 sets."""

import json

import pytest

from eval.instructions import LADDER, PARAPHRASES, VARIANTS, derived_variants, read_instruction_file
from eval.records import Category, EvalDataError
from eval.sources import choose_source
from instructor_search.instructions import Instruction, InstructionPair
from instructor_search.integrations.mteb_instructions import MTEB_INSTRUCTIONS, sides
from tests.conftest import ROOT

OFFICIAL = ROOT.parent / "shared/reference/eval_instructions.json"


def test_variants_are_made_from_the_slots():
    both = InstructionPair(
        "Represent the medical question for retrieving articles: ", "Represent the medical article for retrieval: "
    )
    variants = derived_variants("Health", both)
    assert [*variants] == [*LADDER, *PARAPHRASES] == [*VARIANTS[1:]]
    assert variants["none"] == ("", "") and variants["tag"] == ("Health: ", "Health: ")
    assert variants["short"] == ("medical question: ", "medical article: ") and variants["detailed"] == both
    assert variants["paraphrase-1"] == (
        "Encode the medical question for retrieving articles: ",
        "Encode the medical article for retrieval: ",
    )
    assert len({variants[name] for name in PARAPHRASES}) == 5


def test_every_bundled_set_has_five_paraphrases_and_a_ladder_of_its_own():
    for task in choose_source("bundled").tasks:
        info = task.info
        made = derived_variants(info.name, info.instruction)
        assert len({info.variants[name] for name in PARAPHRASES}) == 5
        assert all(info.variants[name] != made[name] for name in PARAPHRASES)  # written for the set, not derived
        assert info.variants["detailed"] == info.instruction and info.variants["none"] == ("", "")


def test_the_papers_seventy_sets_are_listed_with_an_instruction_for_each_side():
    tasks = choose_source("hub").tasks
    counts = {c: sum(t.info.category is c for t in tasks) for c in Category}
    assert list(counts.values()) == [15, 4, 11, 3, 12, 10, 1, 11, 3] and len(tasks) == 70
    for task in tasks:
        for text in task.info.instruction:
            assert Instruction.parse(text).is_template and text.endswith(": "), task.info.name
    asymmetric = [t for t in tasks if not t.info.is_symmetric]
    assert {t.info.category for t in asymmetric} == {Category.RETRIEVAL, Category.RERANKING} and len(asymmetric) == 19


def test_the_twelve_parts_of_cqadupstack_have_instructions_of_their_own():
    import mteb

    parts = [t.metadata.name for t in mteb.get_task("CQADupstackRetrieval").metadata.tasks]
    assert len(parts) == 12 and len({sides(name) for name in parts}) == 12
    named = {t.info.name for t in choose_source("hub").tasks if t.info.category in tuple(Category)[:7]}
    assert named - {"CQADupstackRetrieval"} | set(parts) == set(MTEB_INSTRUCTIONS)


def test_instructions_from_a_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"STS12": {"text": "Say it: "}, "SciFact": {"query": "q: ", "doc": "d: "}}))
    assert read_instruction_file(path) == {"STS12": ("Say it: ", "Say it: "), "SciFact": ("q: ", "d: ")}
    nested = {"mteb": {"STS": {"datasets": {"STS12": {"instructions": {"base": {"text": "b"}, "xl": {"text": "x"}}}}}}}
    path.write_text(json.dumps(nested))
    assert read_instruction_file(path, "xl") == {"STS12": ("x", "x")}
    with pytest.raises(EvalDataError, match="names no task with an instruction"):
        read_instruction_file(path, "large")
    path.write_text("{")
    with pytest.raises(EvalDataError, match="cannot be read as instructions"):
        read_instruction_file(path)


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="the recorded instructions of the paper's code are not here")
def test_the_recorded_instructions_of_the_papers_code_are_read():
    found = read_instruction_file(OFFICIAL, "large")
    mteb_names = set(MTEB_INSTRUCTIONS) - {n for n in MTEB_INSTRUCTIONS if n not in found}
    assert len(mteb_names) >= 56 + 11  # CQADupstack counts twelve times
    assert found["SciFact"].query != found["SciFact"].document
