"""Thin task classes over mteb's own for sets in local folders: only where the data comes from is new."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskClassification, AbsTaskPairClassification, AbsTaskRetrieval, AbsTaskSTS
from mteb.abstasks.abstask import AbsTask
from mteb.abstasks.clustering_legacy import AbsTaskClusteringLegacy
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.abstasks.text.summarization import AbsTaskSummarization

from eval.local_data import (
    NUMBER,
    NUMBERS,
    TEXT,
    TEXTS,
    Row,
    find,
    read_labelled,
    read_reranking,
    read_retrieval,
    read_rows,
)
from eval.records import Category, EvalDataError, TaskInfo

TEXTS_PER_CLUSTER_SET = 1000  # a set is cut into so many sets of about this size, at most ten; their mean is the score
_TYPES = {
    Category.RETRIEVAL: "Retrieval",
    Category.RERANKING: "Reranking",
    Category.CLUSTERING: "Clustering",
    Category.PAIR_CLASSIFICATION: "PairClassification",
    Category.CLASSIFICATION: "Classification",
    Category.STS: "STS",
    Category.SUMMARIZATION: "Summarization",
}
# Examples a label that the logistic regression learns from, where mteb's task of that name takes more than 8.
SAMPLES_PER_LABEL = {"AmazonCounterfactualClassification": 32}


class LocalTask(AbsTask):
    """What the classes below share: metadata of their own, and notes of what was left out."""

    folder: Path
    notes: list[str]

    def __init__(self, info: TaskInfo, folder: Path, seed: int) -> None:
        """Describe the task to mteb; nothing is read yet."""
        self.folder = folder
        self.notes = []
        self.metadata = TaskMetadata(
            name=info.name,
            description=f"{info.name}, {info.source} data",
            dataset={"path": f"{info.source}/{info.category}/{info.name}", "revision": info.revision},
            type=_TYPES[info.category],  # type: ignore[arg-type]
            category="t2t",
            eval_langs=["eng-Latn"],
            main_score=info.metric,
        )
        super().__init__(seed=seed)
        self.configure(info)

    def configure(self, info: TaskInfo) -> None:
        """Set what depends on the task."""

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Read and check the files."""
        if not self.data_loaded:
            self.dataset = {"default": self.read()}
            self.data_loaded = True

    def unload_data(self) -> None:
        """Forget the data; the metadata of this instance stays (mteb drops it, having a class's to go back to)."""
        self.dataset, self.data_loaded = None, False

    @abstractmethod
    def read(self) -> dict[str, Any]:
        """Return split -> data."""


class LocalRetrieval(LocalTask, AbsTaskRetrieval):
    """A BEIR folder."""

    def read(self) -> dict[str, RetrievalSplitData]:
        """Return the test split, or train and test."""
        corpus, queries, qrels, self.notes = read_retrieval(self.folder)
        return {
            "test": _split_data(
                [{"id": d["_id"], "title": d.get("title") or "", "text": d["text"]} for d in corpus],
                [{"id": q["_id"], "text": q["text"]} for q in queries],
                qrels,
                None,
            )
        }


class LocalReranking(LocalTask, AbsTaskRetrieval):
    """Queries with their own positives and negatives."""

    def read(self) -> dict[str, RetrievalSplitData]:
        """Return the test split, or train and test."""
        rows, self.notes = read_reranking(self.folder)
        documents: list[Row] = []
        queries, qrels, candidates = [], {}, {}
        for number, row in enumerate(rows):
            query = f"q{number}"
            queries.append({"id": query, "text": row["query"]})
            texts = [*((t, 1) for t in row["positive"]), *((t, 0) for t in row["negative"])]
            ids = _ids(query, [text for text, _ in texts])
            documents += [{"id": i, "title": "", "text": text} for i, (text, _) in zip(ids, texts, strict=True)]
            qrels[query] = {i: relevant for i, (_, relevant) in zip(ids, texts, strict=True)}
            candidates[query] = ids
        return {"test": _split_data(documents, queries, qrels, candidates)}


def _ids(query: str, texts: list[str]) -> list[str]:
    """Return ids that do not tell positives from negatives: equal scores are ranked by id."""
    hashes = [hashlib.blake2b(f"{query} {text}".encode(), digest_size=6).hexdigest() for text in texts]
    return [f"{query}-{name}-{hashes[:place].count(name)}" for place, name in enumerate(hashes)]


def _split_data(corpus: list[Row], queries: list[Row], qrels: Any, top_ranked: Any) -> RetrievalSplitData:
    return RetrievalSplitData(
        corpus=Dataset.from_list(corpus), queries=Dataset.from_list(queries), relevant_docs=qrels, top_ranked=top_ranked
    )


class LocalClustering(LocalTask, AbsTaskClusteringLegacy):
    """Texts with labels, shuffled and cut into sets as mteb's clustering tasks are."""

    def read(self) -> DatasetDict:
        """Return the test split, or train and test."""
        rows = read_labelled(self.folder, "test")
        order = np.random.default_rng(self.seed).permutation(len(rows))
        num_sets = min(max(len(rows) // TEXTS_PER_CLUSTER_SET, 1), 10)
        sets = [[rows[i] for i in part] for part in np.array_split(order, num_sets)]
        columns = {
            "sentences": [[row["text"] for row in part] for part in sets],
            "labels": [[str(row["label"]) for row in part] for part in sets],
        }
        return DatasetDict(test=Dataset.from_dict(columns))


class LocalPairClassification(LocalTask, AbsTaskPairClassification):
    """Pairs that mean the same (1) or not (0)."""

    def read(self) -> DatasetDict:
        """Return the test split, or train and test."""
        rows = read_labelled(self.folder, "test", ("sentence1", "sentence2"))
        if {row["label"] for row in rows} != {0, 1}:
            given = sorted({str(row["label"]) for row in rows})[:5]
            raise EvalDataError(f"{self.folder}/test.jsonl has the labels {', '.join(given)}; expected 0 and 1")
        columns = {"sentence1": "sentence1", "sentence2": "sentence2", "labels": "label"}
        return DatasetDict(
            test=Dataset.from_dict({to: [row[column] for row in rows] for to, column in columns.items()})
        )


class LocalClassification(LocalTask, AbsTaskClassification):
    """Texts with labels; ten logistic regressions on a few examples a label each."""

    def configure(self, info: TaskInfo) -> None:
        """Set what depends on the task."""
        self.samples_per_label = SAMPLES_PER_LABEL.get(info.published_name or "", 8)

    def read(self) -> DatasetDict:
        """Return the test split, or train and test."""
        splits = {split: read_labelled(self.folder, split) for split in ("train", "test")}
        codes = {label: i for i, label in enumerate(sorted({str(r["label"]) for r in splits["train"]}))}
        unknown = {str(r["label"]) for r in splits["test"]} - codes.keys()
        if unknown:
            raise EvalDataError(
                f"{self.folder}/test.jsonl has labels that train.jsonl lacks: {', '.join(sorted(unknown)[:5])}"
            )
        return DatasetDict(
            {
                split: Dataset.from_dict(
                    {"text": [r["text"] for r in rows], "label": [codes[str(r["label"])] for r in rows]}
                )
                for split, rows in splits.items()
            }
        )


class LocalSTS(LocalTask, AbsTaskSTS):
    """Pairs with a graded similarity."""

    def read(self) -> DatasetDict:
        """Return the test split, or train and test."""
        path = find(self.folder, "test.jsonl")
        rows = read_rows(path, {"sentence1": TEXT, "sentence2": TEXT, "score": NUMBER})
        scores = [float(row["score"]) for row in rows]
        if len(set(scores)) < 2:
            raise EvalDataError(f"{path}: all scores are {scores[0]:g}; expected at least two different ones")
        self.min_score, self.max_score = min(scores), max(scores)  # type: ignore[assignment]
        columns = {name: [row[name] for row in rows] for name in ("sentence1", "sentence2")}
        return DatasetDict(test=Dataset.from_dict({**columns, "score": scores}))


class LocalSummarization(LocalTask, AbsTaskSummarization):
    """Machine summaries with human judgments, compared with human summaries of the same text."""

    min_score, max_score = 0, 5

    def read(self) -> DatasetDict:
        """Return the test split, or train and test."""
        path = find(self.folder, "test.jsonl")
        fields = {"text": TEXT, "human_summaries": TEXTS, "machine_summaries": TEXTS, "relevance": NUMBERS}
        rows = read_rows(path, fields, _uneven)
        kept = [row for row in rows if len(set(row["relevance"])) > 1]  # mteb leaves the others out in silence
        if not kept:
            raise EvalDataError(
                f"{path}: all {len(rows)} texts have equal judgments; expected different ones of a text"
            )
        left = len(rows) - len(kept)
        self.notes = [f"{left} of {len(rows)} texts have equal judgments and are left out"] if left else []
        return DatasetDict(test=Dataset.from_dict({name: [row[name] for row in kept] for name in fields}))


def _uneven(row: Row) -> str | None:
    machine, judged, human = (len(row[name]) for name in ("machine_summaries", "relevance", "human_summaries"))
    if machine == judged and human:
        return None
    given = f"{machine} machine summaries, {judged} judgments, {human} human summaries"
    return f"{given}; expected one judgment a machine summary, and at least one human summary"


_CLASSES: dict[Category, type[LocalTask]] = {
    Category.RETRIEVAL: LocalRetrieval,
    Category.RERANKING: LocalReranking,
    Category.CLUSTERING: LocalClustering,
    Category.PAIR_CLASSIFICATION: LocalPairClassification,
    Category.CLASSIFICATION: LocalClassification,
    Category.STS: LocalSTS,
    Category.SUMMARIZATION: LocalSummarization,
}


def local_task(info: TaskInfo, folder: Path) -> Callable[[int], AbsTask]:
    """Return what builds the mteb task of a local set for a seed."""
    return partial(_CLASSES[info.category], info, folder)
