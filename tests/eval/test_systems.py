"""Specifications of systems, and the instructions that each runs a task under."""

import json
import re
import shutil

import numpy as np
import pytest
from scipy.stats import spearmanr

from eval.baselines import Bm25, RandomEncoder, SentenceTransformersEncoder
from eval.records import EvalDataError
from eval.sources import BUNDLED, choose_source
from eval.specifications import SystemOptions, make_system
from instructor_search.encoder.options import EncoderOptions
from instructor_search.errors import ModelError
from instructor_search.instructions import InstructedText, InstructionPair
from instructor_search.integrations.mteb import INSTRUCTOR_METAS, MtebEncoder, default_instruction, register_models
from tests.eval.conftest import rows_of

TASKS = {task.info.name: task.info for task in choose_source("bundled").tasks}
OPTIONS = SystemOptions(encoder=EncoderOptions(device="cpu", precision="fp32"))


def test_variants_of_a_model():
    info = TASKS["GardenAnswers"]
    assert make_system("default", "bundled", OPTIONS).sides(info) == info.instruction
    assert make_system("default@none", "bundled", OPTIONS).sides(info) == ("", "")
    assert make_system("default@paraphrase-3", "bundled", OPTIONS).sides(info) == info.variants["paraphrase-3"]
    both = SystemOptions(encoder=EncoderOptions(device="cpu", precision="fp32"), instructions="tag")
    assert make_system("default", "bundled", both).sides(info) == ("GardenAnswers: ", "GardenAnswers: ")
    assert make_system("default@short", "bundled", both).label == "instructor-minilm@short"


def test_instructions_of_a_file(tmp_path):
    path = tmp_path / "none.json"  # a variant's name, which it must not be taken for
    path.write_text(json.dumps({"GardenAnswers": {"query": "q: ", "doc": "d: "}}))
    system = make_system(f"default@{path}", "bundled", OPTIONS)
    assert re.fullmatch(r"instructor-minilm@none-[0-9a-f]{6}", system.label)
    assert system.sides(TASKS["GardenAnswers"]) == ("q: ", "d: ")
    with pytest.raises(EvalDataError, match="the instruction file 'none-......' does not name the task 'TownNews'"):
        system.sides(TASKS["TownNews"])
    path.write_text(json.dumps({"GardenAnswers": {"query": "other: ", "doc": "d: "}}))
    assert make_system(f"default@{path}", "bundled", OPTIONS).label != system.label


def test_each_side_of_a_pair_gets_its_own_instruction(tmp_path, context, minilm):
    path = tmp_path / "mine.json"
    two = {"query": "Represent the first sentence: ", "doc": "Represent a list of fruit: "}
    path.write_text(json.dumps({"EverydaySentences": two, "LibraryQuestions": two, "ShortNotices": two}))
    system = make_system(f"default@{path}", "bundled", OPTIONS)
    tasks = {task.info.name: task for task in choose_source("bundled").tasks}
    outcome = tasks["EverydaySentences"].evaluate(system, InstructionPair(two["query"], two["doc"]), context)
    rows = rows_of(BUNDLED / "sts/EverydaySentences/test.jsonl")
    first = minilm.encode([(two["query"], r["sentence1"]) for r in rows])
    second = minilm.encode([(two["doc"], r["sentence2"]) for r in rows])
    cosines = np.einsum("ij,ij->i", first.astype(float), second.astype(float))
    assert outcome.scores["main_score"] == pytest.approx(spearmanr(cosines, [r["score"] for r in rows])[0], abs=1e-9)
    with pytest.raises(EvalDataError, match="ShortNotices has texts of one kind and was given two instructions"):
        tasks["ShortNotices"].evaluate(system, InstructionPair(two["query"], two["doc"]), context)


def test_parts_of_an_aggregate_have_their_own_instructions_in_every_variant():
    (info,) = (t.info for t in choose_source("hub").tasks if t.info.name == "CQADupstackRetrieval")
    part = "CQADupstackTexRetrieval"
    default, detailed, short = (make_system(f"default{v}", "hub", OPTIONS) for v in ("", "@detailed", "@short"))
    assert default.sides_of_part(info, part) == detailed.sides_of_part(info, part)
    assert default.sides_of_part(info, part).query == "Represent the TeX question for retrieving duplicate questions: "
    assert short.sides_of_part(info, part).query == "TeX question: "


def test_runs_do_not_share_a_folder(tmp_path):
    from eval.runs import result_folder

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
    """The base model as a folder of sentence-transformers that names prompts, and pools them."""
    from sentence_transformers import SentenceTransformer

    from instructor_search.encoder.checkpoint import BASE_MODEL, resolve_folder

    model = SentenceTransformer(str(resolve_folder(BASE_MODEL)[0]), device="cpu")
    model.prompts = {"query": "search: ", "document": "entry: "}
    folder = tmp_path_factory.mktemp("models") / "prompted"
    model.save(str(folder))
    return folder


def test_sentence_transformers_with_and_without_prompts(prompted, base):
    with_, without = (make_system(f"st:{prompted}{v}", "bundled", OPTIONS) for v in ("", "@none"))
    asymmetric, symmetric = TASKS["GardenAnswers"], TASKS["EverydaySentences"]
    assert with_.sides(asymmetric) == ("search: ", "entry: ") and with_.sides(symmetric) == ("search: ", "search: ")
    assert without.sides(asymmetric) == ("", "") and with_.label != without.label
    vectors = with_.encoder.encode([InstructedText("search: ", "bees in winter")])
    assert vectors[0] == pytest.approx(base.encode("search: bees in winter"), abs=1e-5)  # the prefix is pooled too


def copied(prompted, folder, *, config=None):
    shutil.copytree(prompted, folder)
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | (config or {"prompts": {}})))
    return folder


RETRIEVAL, SYMMETRIC = TASKS["GardenAnswers"], TASKS["EverydaySentences"]
BGE = "Represent this sentence for searching relevant passages: "


@pytest.mark.parametrize(
    ("name", "retrieval", "symmetric"),
    [
        ("e5-small-v2", ("query: ", "passage: "), ("query: ", "query: ")),
        ("bge-small-en-v1.5", (BGE, ""), ("", "")),  # its authors ask for the prefix in retrieval alone
        ("gtr-t5-base", ("", ""), ("", "")),
        ("e5-mistral-7b-instruct", ("", ""), ("", "")),
    ],
)
def test_known_prefixes_of_well_known_models(name, retrieval, symmetric, prompted, tmp_path):
    baseline = SentenceTransformersEncoder(str(copied(prompted, tmp_path / name)), device="cpu")
    assert baseline.prompts_for(RETRIEVAL) == retrieval and baseline.prompts_for(SYMMETRIC) == symmetric
    assert baseline.has_prompts == any(retrieval)


def test_a_default_prompt_is_used_once_or_not_at_all(prompted, tmp_path, base):
    config = {"prompts": {"query": "Q: ", "STS": "S: "}, "default_prompt_name": "query"}
    folder = copied(prompted, tmp_path / "defaulted", config=config)
    baseline = SentenceTransformersEncoder(str(folder), device="cpu")
    for prefix in ("", "Q: "):
        vectors = baseline.encode([InstructedText(prefix, "bees in winter")])
        assert vectors[0] == pytest.approx(base.encode(f"{prefix}bees in winter"), abs=1e-5)
    assert baseline.prompts_for(SYMMETRIC).query == "S: " and baseline.prompts_for(RETRIEVAL).query == "Q: "


def test_what_makes_the_vectors_makes_the_fingerprint(prompted, tmp_path):
    plain = SentenceTransformersEncoder(str(prompted), device="cpu")
    folder = copied(prompted, tmp_path / "cls")
    pooling = folder / "1_Pooling/config.json"
    changed = {
        k: k == "pooling_mode_cls_token" if k.startswith("pooling_mode_") else v
        for k, v in json.loads(pooling.read_text()).items()
    }
    pooling.write_text(json.dumps({**changed, **({"pooling_mode": "cls"} if "pooling_mode" in changed else {})}))
    cls = SentenceTransformersEncoder(str(folder), device="cpu")
    text = [InstructedText("", "bees in winter")]
    assert np.abs(cls.encode(text) - plain.encode(text)).max() > 0.01 and cls.fingerprint != plain.fingerprint


def test_half_precision_weights_are_recorded_as_such(prompted, tmp_path):
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(prompted), device="cpu").half().save(str(tmp_path / "half"))
    assert make_system(f"st:{tmp_path / 'half'}", "bundled", OPTIONS).facts["precision"] == "fp16"


def test_vectors_that_mean_nothing_are_refused(context):
    system = make_system("random", "bundled", OPTIONS)
    system.encoder.encode = lambda sentences, *_, **__: np.full((len(sentences), 384), np.nan, dtype=np.float32)
    for name in ("GardenAnswers", "ToneOfMessage", "PictureCaptions", "EverydaySentences"):
        (task,) = (t for t in choose_source("bundled").tasks if t.info.name == name)
        with pytest.raises(ModelError, match="encoder random gave .* vectors that are zero or not finite"):
            task.evaluate(system, task.info.sides("none"), context)


def test_random_vectors_are_the_same_for_the_same_text():
    vectors = RandomEncoder().encode([InstructedText("", t) for t in ("a", "b", "a")])
    assert np.array_equal(vectors[0], vectors[2]) and abs(vectors[0] @ vectors[1]) < 0.3
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1])


def test_bm25_scores_every_candidate():
    from datasets import Dataset

    corpus = Dataset.from_list(
        [
            {"id": f"d{i}", "title": "", "text": t}
            for i, t in enumerate(["bees make honey", "rocks are hard", "honey cake", "rivers"])
        ]
    )
    queries = Dataset.from_list([{"id": "q", "text": "honey bees"}])
    task = type("Task", (), {"eval_langs": ["eng-Latn"]})
    search = Bm25()
    search.index(corpus, task_metadata=task, hf_split="test", hf_subset="default")
    options = {"task_metadata": task, "hf_split": "test", "hf_subset": "default", "encode_kwargs": {}}
    found = search.search(queries, top_k=2, top_ranked={"q": ["d1", "d2", "d0"]}, **options)["q"]
    assert set(found) == {"d0", "d1", "d2"} and found["d0"] > found["d2"] > found["d1"] == 0


def test_the_models_of_the_paper_are_known_to_mteb():
    import mteb

    assert register_models() == [
        *(f"hkunlp/instructor-{s}" for s in ("base", "large", "xl")),
        "instructor-search/instructor-minilm",
    ]
    meta = mteb.get_model_meta("hkunlp/instructor-large")
    assert (meta.n_parameters, meta.embed_dim, meta.max_tokens) == (335_726_080, 768, 512)
    assert meta.use_instructions and meta.training_datasets == {"NQ", "MSMARCO", "FEVER", "HotpotQA"}
    assert mteb.get_model_meta("hkunlp/instructor-xl") is INSTRUCTOR_METAS["hkunlp/instructor-xl"]


def test_a_model_that_mteb_loads_by_name_uses_our_instructions(minilm):
    import mteb
    from torch.utils.data import DataLoader

    register_models()
    model = mteb.get_model("instructor-search/instructor-minilm", device="cpu")
    assert isinstance(model, MtebEncoder)
    task = mteb.get_task("SciFact").metadata
    for side, instruction in zip(
        ("query", "document"), (default_instruction("SciFact", s) for s in ("query", "document")), strict=True
    ):
        vectors = model.encode(DataLoader([{"text": "Cells divide."}]), task_metadata=task, prompt_type=side)
        assert vectors[0] == pytest.approx(minilm.encode([(instruction, "Cells divide.")])[0], abs=1e-6)
    assert default_instruction("SomethingElse", None) == ""
