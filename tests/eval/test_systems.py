"""Specifications of systems, and the instructions that each runs a task under."""

import json

import numpy as np
import pytest

from eval.baselines import PREFIXES, Bm25, RandomEncoder, SentenceTransformersEncoder
from eval.sources import choose_source
from eval.systems import SystemOptions, make_system
from eval.tasks.base import Sides
from instructor_search.instructions import InstructedText
from instructor_search.integrations.mteb import INSTRUCTOR_METAS, MtebEncoder, default_instruction, register_models

TASKS = {task.info.name: task.info for task in choose_source("bundled").tasks}
OPTIONS = SystemOptions(device="cpu")


def test_variants_of_a_model():
    info = TASKS["GardenAnswers"]
    assert make_system("default", "bundled", OPTIONS).sides(info) == info.instruction
    assert make_system("default@none", "bundled", OPTIONS).sides(info) == ("", "")
    assert make_system("default@paraphrase-3", "bundled", OPTIONS).sides(info) == info.variants["paraphrase-3"]
    both = SystemOptions(device="cpu", instructions="tag")
    assert make_system("default", "bundled", both).sides(info) == ("GardenAnswers: ", "GardenAnswers: ")
    assert make_system("default@short", "bundled", both).label == "all-MiniLM-L6-v2@short"


def test_instructions_of_a_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"GardenAnswers": {"query": "q: ", "doc": "d: "}}))
    system = make_system(f"default@{path}", "bundled", OPTIONS)
    assert system.label == "all-MiniLM-L6-v2@mine" and system.sides(TASKS["GardenAnswers"]) == ("q: ", "d: ")
    assert system.meta.experiment_kwargs == {"data": "bundled", "instructions": "mine"}
    with pytest.raises(KeyError):
        system.sides(TASKS["TownNews"])


def test_runs_do_not_share_a_folder(tmp_path):
    from eval.results import result_folder

    specifications = [
        "default",
        "default@none",
        "st:default",
        "bm25",
        "random",
        "collection:dense",
        "collection:hybrid",
    ]
    folders = {
        result_folder(tmp_path, make_system(s, source, OPTIONS).meta)
        for s in specifications
        for source in ("hub", "local")
    }
    assert len(folders) == 2 * len(specifications)


@pytest.fixture(scope="module")
def prompted(tmp_path_factory):
    """The default model as a folder of sentence-transformers that names prompts."""
    from sentence_transformers import SentenceTransformer

    from instructor_search.encoder.checkpoint import resolve_folder

    model = SentenceTransformer(str(resolve_folder(None)[0]), device="cpu")
    model.prompts = {"query": "search: ", "document": "entry: "}
    folder = tmp_path_factory.mktemp("models") / "prompted"
    model.save(str(folder))
    return folder


def test_sentence_transformers_with_and_without_prompts(prompted, minilm):
    with_, without = (make_system(f"st:{prompted}{v}", "bundled", OPTIONS) for v in ("", "@none"))
    asymmetric, symmetric = TASKS["GardenAnswers"], TASKS["EverydaySentences"]
    assert with_.sides(asymmetric) == ("search: ", "entry: ") and with_.sides(symmetric) == ("search: ", "search: ")
    assert without.sides(asymmetric) == ("", "") and with_.label != without.label
    vectors = with_.encoder.encode([InstructedText("search: ", "bees in winter")])
    assert vectors[0] == pytest.approx(minilm.encode("search: bees in winter"), abs=1e-5)  # the prefix is pooled too


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("intfloat/e5-small-v2", ("query: ", "passage: ")),
        ("BAAI/bge-small-en-v1.5", ("Represent this sentence for searching relevant passages: ", "")),
        ("sentence-transformers/gtr-t5-base", None),
        ("intfloat/e5-mistral-7b-instruct", None),
    ],
)
def test_prefixes_of_known_models(name, expected):
    found = next(((query, document) for pattern, query, document in PREFIXES if pattern.search(name)), None)
    assert found == expected


def test_known_prefixes_reach_a_local_folder(prompted, tmp_path):
    import shutil

    folder = tmp_path / "e5-small-v2"
    shutil.copytree(prompted, folder)
    config = folder / "config_sentence_transformers.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"prompts": {}}))
    assert SentenceTransformersEncoder(str(folder), device="cpu").prompts == Sides("query: ", "passage: ")


def test_random_vectors_are_the_same_for_the_same_text():
    vectors = RandomEncoder().encode([InstructedText("", t) for t in ("a", "b", "a")])
    assert np.array_equal(vectors[0], vectors[2]) and abs(vectors[0] @ vectors[1]) < 0.3
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1])


def test_bm25_scores_every_candidate():
    from datasets import Dataset

    corpus = Dataset.from_list([{"id": f"d{i}", "title": "", "text": t} for i, t in
                                enumerate(["bees make honey", "rocks are hard", "honey cake", "rivers"])])  # fmt: skip
    queries = Dataset.from_list([{"id": "q", "text": "honey bees"}])
    task = type("Task", (), {"eval_langs": ["eng-Latn"]})
    search = Bm25()
    search.index(corpus, task_metadata=task, hf_split="test", hf_subset="default")
    options = {"task_metadata": task, "hf_split": "test", "hf_subset": "default", "encode_kwargs": {}}
    found = search.search(queries, top_k=2, top_ranked={"q": ["d1", "d2", "d0"]}, **options)["q"]
    assert set(found) == {"d0", "d1", "d2"} and found["d0"] > found["d2"] > found["d1"] == 0


def test_the_models_of_the_paper_are_known_to_mteb():
    import mteb

    assert register_models() == [*(f"hkunlp/instructor-{s}" for s in ("base", "large", "xl")),
                                 "instructor-search/all-MiniLM-L6-v2"]  # fmt: skip
    meta = mteb.get_model_meta("hkunlp/instructor-large")
    assert (meta.n_parameters, meta.embed_dim, meta.max_tokens) == (335_726_080, 768, 512)
    assert meta.use_instructions and meta.training_datasets == {"NQ", "MSMARCO", "FEVER", "HotpotQA"}
    assert set(INSTRUCTOR_METAS) <= set(register_models())


def test_a_model_that_mteb_loads_by_name_uses_our_instructions(minilm):
    import mteb
    from torch.utils.data import DataLoader

    register_models()
    model = mteb.get_model("instructor-search/all-MiniLM-L6-v2", device="cpu")
    assert isinstance(model, MtebEncoder)
    task = mteb.get_task("SciFact").metadata
    for side, instruction in zip(
        ("query", "document"), (default_instruction("SciFact", s) for s in ("query", "document")), strict=True
    ):
        vectors = model.encode(DataLoader([{"text": "Cells divide."}]), task_metadata=task, prompt_type=side)
        assert vectors[0] == pytest.approx(minilm.encode([(instruction, "Cells divide.")])[0], abs=1e-6)
    assert default_instruction("SomethingElse", None) == ""
