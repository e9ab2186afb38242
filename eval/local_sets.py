"""Sets in folders, ``FOLDER/CATEGORY/SET``: which there are, what is known of each, and its task."""

from __future__ import annotations

import hashlib
import os
import re
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from eval.instructions import SPECIALISED_DOMAINS, from_meta
from eval.local_data import num_bytes, read_meta, revision_of
from eval.records import Category, EvalDataError, TaskInfo
from eval.tasks.base import BrokenTask, EvalTask
from instructor_search.result_files import MODEL_FILE

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+()-]{0,99}")  # it becomes a file name
FOLDERS = {
    "retrieval": Category.RETRIEVAL,
    "reranking": Category.RERANKING,
    "clustering": Category.CLUSTERING,
    "pairclassification": Category.PAIR_CLASSIFICATION,
    "classification": Category.CLASSIFICATION,
    "sts": Category.STS,
    "summarization": Category.SUMMARIZATION,
    "icl": Category.PROMPT_RETRIEVAL,
    "textgen": Category.BILLBOARD,
    **{str(c): c for c in Category},
}
_METRICS = {
    Category.RETRIEVAL: "ndcg_at_10",
    Category.RERANKING: "map_at_1000",
    Category.CLUSTERING: "v_measure",
    Category.PAIR_CLASSIFICATION: "cosine_ap",
    Category.CLASSIFICATION: "accuracy",
    Category.STS: "cosine_spearman",
    Category.SUMMARIZATION: "cosine_spearman",
}
# Local sets that are the test data of an MTEB task of another name.
MTEB_NAMES = {
    "AmazonCounterfactual-en": "AmazonCounterfactualClassification",
    "Banking77": "Banking77Classification",
    "TwentyNewsgroups": "TwentyNewsgroupsClustering",
    **{name: name for name in ("STS12", "STS13", "STS14", "STS15", "SciFact", "SummEval")},
}


def set_folders(folder: Path) -> list[tuple[Category, Path]]:
    """Return the category and the folder of each set."""
    return [
        (category, path)
        for name, category in FOLDERS.items()
        for path in (sorted((folder / name).iterdir()) if (folder / name).is_dir() else ())
        if path.is_dir() and not path.name.startswith(".")
    ]


def folder_tasks(folder: Path, source: str) -> list[EvalTask]:
    """Return the tasks of a folder's sets; no data is read yet."""
    return [_local_task(category, path, source) for category, path in set_folders(folder)]


def _local_task(category: Category, folder: Path, source: str) -> EvalTask:
    """Return the task of a set's folder; one whose meta.json is wrong fails when it is run, and the others go on."""
    try:
        meta = read_meta(folder)
        info = _local_info(category, folder, source, meta)
    except EvalDataError as error:
        return BrokenTask(_local_info(category, folder, source, {"name": _clean_name(folder.name)}), error)
    if category is Category.BILLBOARD:
        from eval.tasks import billboard

        return billboard.BillboardTask(info, partial(billboard.read_folder, folder))
    if category is Category.PROMPT_RETRIEVAL:
        from eval.tasks import prompt_retrieval

        read = partial(prompt_retrieval.read_folder, folder, info.task_description)
        return prompt_retrieval.PromptRetrievalTask(info, read, prompt_retrieval.kind_of_output(meta, str(folder)))
    from eval.tasks.local_mteb import local_task
    from eval.tasks.mteb_tasks import MtebTask

    return MtebTask(info, local_task(info, folder), notes=attrgetter("notes"))


def _local_info(category: Category, folder: Path, source: str, meta: dict[str, Any]) -> TaskInfo:
    where = str(folder / "meta.json")
    name = meta.get("name", folder.name)
    if not _is_name(name):
        whose = f"{where}: name is {name!r}" if "name" in meta else f"the folder {str(folder)!r} is no name of a set"
        raise EvalDataError(
            f"{whose}; expected at most 100 letters, digits, spaces, ._+()- from a letter or digit on; "
            'rename it, or give "name" in its meta.json'
        )
    instruction, variants = from_meta(name, category, meta, where)
    domain = str(meta.get("domain", "general"))
    is_specialised = meta.get("specialised", domain in SPECIALISED_DOMAINS)
    if not isinstance(is_specialised, bool):
        raise EvalDataError(f"{where}: specialised is {is_specialised!r}; expected true or false")
    return TaskInfo(
        name=name,
        category=category,
        metric=_local_metric(category, meta, where),
        instruction=instruction,
        variants=variants,
        domain=domain,
        is_specialised=is_specialised,
        revision=revision_of(folder),
        source=source,
        num_bytes=num_bytes(folder),
        published_name=MTEB_NAMES.get(name) if source == "local" else None,
        task_description=str(meta.get("task_description", "")),
    )


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and bool(_NAME.fullmatch(name)) and f"{name}.json" != MODEL_FILE


def _clean_name(folder: str) -> str:
    """Return a folder's name if it can name a set, else one made from it that no other folder has."""
    if _is_name(folder):
        return folder
    cleaned = re.sub(r"[^A-Za-z0-9 ._+()-]", "_", folder)[:80]
    return f"set {cleaned}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:6]}"


def _local_metric(category: Category, meta: dict[str, Any], where: str) -> str:
    if category is Category.BILLBOARD:
        from eval.tasks import billboard

        return billboard.DARR if "kendall-tau-like" in str(meta.get("metric", "")).lower() else billboard.PEARSON
    if category is Category.PROMPT_RETRIEVAL:
        from eval.tasks import prompt_retrieval

        return prompt_retrieval.RETRIEVAL_MEASURES[prompt_retrieval.kind_of_output(meta, where)]
    return _METRICS[category]
