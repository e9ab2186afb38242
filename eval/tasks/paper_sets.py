"""The paper's eleven prompt-retrieval sets and three Billboard sets, from the hub or from its published files.

Pools and test inputs are sampled as the paper does: 3,000 and 256, seed 0 (RTE and GeoQuery: the whole pool; Amazon:
50 inputs each of 20 reviewers; CivilComments: the hard subgroup; MultiWOZ: 1,000 dialogues).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from eval.local_data import Row
from eval.records import EvalDataError
from eval.tasks.billboard import read_thumb
from eval.tasks.official_files import COMMIT, prompt_file, text_file
from eval.tasks.prompt_retrieval import Examples, Output
from instructor_search.records import Demonstration

POOL_SIZE, TEST_SIZE, SEED = 3000, 256, 0
_RATINGS = ("terrible", "bad", "okay", "good", "great")


class PaperSet(NamedTuple):
    """A prompt-retrieval set: how it is read and embedded."""

    read: Callable[[], Examples]
    output: Output
    instruction: str
    domain: str
    revision: str


def hub_rows(path: str, name: str | None, split: str) -> list[Row]:
    """Return the rows of a hub data set's split.

    Raises:
        EvalDataError: the hub or the data set cannot be reached.
    """
    import datasets

    try:
        rows = datasets.load_dataset(path, name, split=split)
        assert isinstance(rows, datasets.Dataset)  # a split was named
        return list(rows)
    except Exception as error:  # the client raises a dozen kinds: network, missing, gated, changed
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise EvalDataError(f"cannot read {path!r} ({split}) from the hub: {reason}") from error


def hub_commit(path: str) -> str:
    """Return the commit that a hub data set is at, or "an unknown commit" where the hub does not say."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(path).sha)
    except Exception:  # offline with cached data: any of the client's errors
        return "an unknown commit"


def _sampled(pool: list[Demonstration], test: list[Demonstration], task: str, *, whole_pool: bool = False) -> Examples:
    chooser = random.Random(SEED)
    kept = pool if whole_pool or len(pool) <= POOL_SIZE else chooser.sample(pool, POOL_SIZE)
    return Examples(kept, test if len(test) <= TEST_SIZE else chooser.sample(test, TEST_SIZE), task)


def _from_hub(
    path: str,
    name: str | None,
    splits: tuple[str, str],
    show: Callable[[Row], tuple[str, str]],
    task: str,
    **options: Any,
) -> Callable[[], Examples]:
    def read() -> Examples:
        pool, test = ([Demonstration(*show(row)) for row in hub_rows(path, name, split)] for split in splits)
        return _sampled(pool, test, task, **options)._replace(origin=f"data: {path} at {hub_commit(path)}")

    return read


def _sentence_pair(labels: tuple[str, str], join: str) -> Callable[[Row], tuple[str, str]]:
    return lambda row: (f"{row['sentence1']}{join}{row['sentence2']}", labels[row["label"]])


def _hellaswag(row: Row) -> tuple[str, str]:
    endings = " | ".join(row["endings"])
    text = f"The topic is {row['activity_label']}. {row['ctx_a']} {row['ctx_b']} | {endings}"
    return text, row["endings"][int(row["label"])]


def _dbpedia(row: Row) -> tuple[str, str]:
    kinds = (
        "company", "educational institution", "artist", "athlete", "office holder", "mean of transportation", "building",
        "natural place", "village", "animal", "plant", "album", "film", "written work",
    )  # fmt: skip
    return f"title: {row['title']} ; content: {row['content']}", kinds[row["label"]]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EvalDataError(f"{path} is not valid JSON: {error}") from error


def natural_instructions(path: Path) -> Examples:
    """Return the sampled examples of a Natural-Instructions task file; test and pool do not overlap."""
    task = _read_json(path)
    instances = [Demonstration(i["input"].strip(), i["output"][0].strip().rstrip(".")) for i in task["Instances"]]
    chooser = random.Random(SEED)
    chooser.shuffle(instances)
    test, pool = instances[:TEST_SIZE], instances[TEST_SIZE : TEST_SIZE + POOL_SIZE]
    return Examples(pool, test, str(task["Definition"][0]))


def amazon(train: Path, test: Path) -> Examples:
    """Return reviews with ratings; test inputs are 50 of each of 20 reviewers."""
    shown = [(row, Demonstration(row["text"].replace("\n", ""), _RATINGS[row["label"]])) for row in _read_json(test)]
    by_reviewer: dict[Any, list[Demonstration]] = {}
    for row, example in shown:
        by_reviewer.setdefault(row["meta"][0], []).append(example)
    chooser = random.Random(SEED)
    enough = sorted(r for r, reviews in by_reviewer.items() if len(reviews) >= 50)
    chosen = chooser.sample(enough, min(20, len(enough)))
    asked = [e for reviewer in chosen for e in chooser.sample(by_reviewer[reviewer], 50)]
    pool = [Demonstration(r["text"].replace("\n", ""), _RATINGS[r["label"]]) for r in _read_json(train)]
    kept = pool if len(pool) <= POOL_SIZE else chooser.sample(pool, POOL_SIZE)
    return Examples(kept, asked, "Say how its writer feels about the product of the review.")


def civil(train: Path, test: Path) -> Examples:
    """Return comments labelled toxic or not; test inputs are the toxic ones that name a group (the hard subgroup)."""
    labels = ("not toxic", "toxic")
    hard = [r for r in _read_json(test) if r["meta"][3] == 1 and r["label"] == 1]
    pool = [Demonstration(r["text"], labels[r["label"]]) for r in _read_json(train)]
    return _sampled(
        pool, [Demonstration(r["text"], labels[r["label"]]) for r in hard], "Say whether the comment is toxic."
    )


def geoquery(train: Path, test: Path) -> Examples:
    """Return questions about US geography with their SQL; the whole pool."""
    pool, asked = ([Demonstration(r["question"], r["query"]) for r in _read_json(p)] for p in (train, test))
    return _sampled(pool, asked, "Translate a question about US geography into a SQL query.", whole_pool=True)


def multiwoz(train: Path, test: Path) -> Examples:
    """Return dialogue turns with the slots that they set, of 1,000 dialogues of the five domains."""
    chooser = random.Random(SEED)
    turns = [_turns(path) for path in (train, test)]
    chosen = set(chooser.sample(sorted(turns[0]), min(1000, len(turns[0]))))
    pool = [e for dialogue, examples in turns[0].items() if dialogue in chosen for e in examples]
    asked = [e for examples in turns[1].values() for e in examples]
    kept = asked if len(asked) <= TEST_SIZE else chooser.sample(asked, TEST_SIZE)
    return Examples(pool, kept, "Write the slots and values that the last turn of the dialogue sets.")


def _turns(path: Path) -> dict[str, list[Demonstration]]:
    domains = {"hotel", "restaurant", "attraction", "taxi", "train"}
    by_dialogue: dict[str, list[Demonstration]] = {}
    for turn in _read_json(path):
        if set(turn["domains"]) <= domains:
            system, user = (
                "" if turn["dialog"][side][-1] == "none" else turn["dialog"][side][-1] for side in ("sys", "usr")
            )
            slots = "; ".join(
                f"{slot} = {value.split('|')[0]}" for slot, value in sorted(turn["turn_slot_values"].items())
            )
            example = Demonstration(f"[system] {system} [user] {user}", slots or "none")
            by_dialogue.setdefault(turn["ID"], []).append(example)
    return by_dialogue


def _from_files(read: Callable[..., Examples], *names: str) -> Callable[[], Examples]:
    return lambda: read(*(prompt_file(name) for name in names))


PROMPT_SETS = {
    "RTE": PaperSet(
        _from_hub("nyu-mll/glue", "rte", ("train", "validation"), _sentence_pair(("True", "False"), ".\nquestion: "),
                  "Say whether the question follows from the text.", whole_pool=True),
        Output.LABEL, "Represent the Wikipedia entailment example for retrieving similar examples: ", "Wikipedia", "main",
    ),
    "SST-5": PaperSet(
        _from_hub("SetFit/sst5", None, ("train", "test"), lambda r: (r["text"], r["label_text"]),
                  "Say how positive the sentence is."),
        Output.LABEL, "Represent the movie review sentence for retrieving examples of like sentiment: ", "movie", "main",
    ),
    "MRPC": PaperSet(
        _from_hub("nyu-mll/glue", "mrpc", ("train", "validation"), _sentence_pair(("not equivalent", "equivalent"), ".\n"),
                  "Say whether the two sentences are equivalent."),
        Output.LABEL, "Represent the news sentence pair for retrieving similar examples: ", "news", "main",
    ),
    "DBpedia-14": PaperSet(
        _from_hub("fancyzhx/dbpedia_14", None, ("train", "test"), _dbpedia, "Name the kind of thing that is described."),
        Output.LABEL, "Represent the Wikipedia article for retrieving examples of the same kind: ", "Wikipedia", "main",
    ),
    "HellaSwag": PaperSet(
        _from_hub("Rowan/hellaswag", None, ("train", "validation"), _hellaswag, "Write how the scene goes on."),
        Output.TEXT, "Represent the commonsense example for retrieving similar examples: ", "everyday", "main",
    ),
    "Amazon": PaperSet(
        _from_files(amazon, "amazon_train.json", "amazon_test.json"),
        Output.LABEL, "Represent the Amazon review for retrieving reviews of like rating: ", "Amazon", COMMIT,
    ),
    "CivilComments": PaperSet(
        _from_files(civil, "civil_train.json", "civil_test.json"),
        Output.LABEL, "Represent the news comment for retrieving comments of like toxicity: ", "civil comments", COMMIT,
    ),
    "MultiRC-answerability": PaperSet(
        _from_files(natural_instructions, "multric_answerability.json"),
        Output.LABEL, "Represent the sentence and question for retrieving similar examples: ", "general", COMMIT,
    ),
    "CODA-19-title": PaperSet(
        _from_files(natural_instructions, "coda_title_gen.json"),
        Output.TEXT, "Represent the biomedical abstract for retrieving similar abstracts: ", "biomedical", COMMIT,
    ),
    "GeoQuery": PaperSet(
        _from_files(geoquery, "geoquery_train.json", "geoquery_eval.json"),
        Output.PROGRAM, "Represent the geography question for retrieving similar examples for SQL generation: ",
        "geography", COMMIT,
    ),
    "MultiWOZ-2.4": PaperSet(
        _from_files(multiwoz, "mw24_100p_train.json", "mw24_100p_test.json"),
        Output.PROGRAM, "Represent the travel dialogue turn for retrieving turns that set like slots: ", "travel", COMMIT,
    ),
}  # fmt: skip

BILLBOARD_SETS = {
    "MSCOCO-captions": ("mscoco/mscoco", "Represent the image caption for comparing it with reference captions: ", "image"),
    "CNNDM-summaries": ("cnndm/cnndm", "Represent the news summary for comparing it with reference summaries: ", "news"),
    "WMT20-zh-en": (
        "wmt20-zh-en/wmt20-zh-en",
        "Represent the news translation for comparing it with the reference translation: ",
        "news",
    ),
}  # fmt: skip


def read_billboard(stem: str) -> list[Row]:
    """Return the rows of one of the paper's Billboard sets."""
    return read_thumb(text_file(f"{stem}_references.jsonl"), text_file(f"{stem}_THumB-1.0.jsonl"))
