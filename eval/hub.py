"""The hub: whether it answers, and the paper's sets that it has."""

from __future__ import annotations

import http.client
import os
import threading
import urllib.error
import urllib.request
from functools import partial
from typing import Any

from eval.instructions import SPECIALISED_DOMAINS, derived_variants
from eval.records import Category, TaskInfo
from eval.tasks.base import EvalTask
from instructor_search.instructions import InstructionPair

RESPONSE_SECONDS = 2.0
_SPECIALISED_MTEB = {"Academic", "Medical", "Legal", "Financial", "Programming", "Chemistry", "Engineering"}


def hub_problem() -> str | None:
    """Return why the hub cannot be used, or None; never takes longer than RESPONSE_SECONDS."""
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").upper() in ("1", "TRUE", "YES", "ON"):
            return f"the hub is switched off by {variable}"
    answer: list[str | None] = ["did not answer"]

    def ask() -> None:  # in a thread: a name server that hangs cannot be given a timeout
        try:
            request = urllib.request.Request(f"{_endpoint()}/api/datasets/mteb/sts12-sts", method="HEAD")
            with urllib.request.urlopen(request, timeout=RESPONSE_SECONDS):
                answer[0] = None
        except urllib.error.HTTPError as error:
            answer[0] = None if error.code < 500 else f"answers HTTP {error.code}"
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            answer[0] = f"cannot be reached ({getattr(error, 'reason', error)})"

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(RESPONSE_SECONDS)
    return f"the hub ({_endpoint()}) {answer[0]}" if answer[0] else None


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hub_tasks() -> list[EvalTask]:
    """Return the paper's 56 MTEB tasks, eleven prompt-retrieval sets and three Billboard sets."""
    import mteb

    from eval.tasks.billboard import PEARSON, BillboardTask
    from eval.tasks.mteb_tasks import MtebTask
    from eval.tasks.official_files import COMMIT
    from eval.tasks.paper_sets import BILLBOARD_SETS, PROMPT_SETS, read_billboard
    from eval.tasks.prompt_retrieval import RETRIEVAL_MEASURES, PromptRetrievalTask

    tasks: list[EvalTask] = [
        MtebTask(_hub_info(task), partial(_with_seed, task)) for task in mteb.get_benchmark("MTEB(eng, v1)").tasks
    ]
    for name, paper_set in PROMPT_SETS.items():
        info = _own_info(
            name,
            Category.PROMPT_RETRIEVAL,
            RETRIEVAL_MEASURES[paper_set.output],
            paper_set.instruction,
            paper_set.domain,
            paper_set.revision,
        )
        tasks.append(PromptRetrievalTask(info, paper_set.read, paper_set.output))
    for name, (stem, instruction, domain) in BILLBOARD_SETS.items():
        info = _own_info(name, Category.BILLBOARD, PEARSON, instruction, domain, COMMIT)
        tasks.append(BillboardTask(info, partial(read_billboard, stem)))
    return tasks


def _with_seed(task: Any, seed: int) -> Any:
    """Return the task with a seed; it is loaded and unloaded by who evaluates it."""
    task.seed = seed
    return task


def _own_info(name: str, category: Category, metric: str, instruction: str, domain: str, revision: str) -> TaskInfo:
    both = InstructionPair(instruction, instruction)
    return TaskInfo(
        name=name,
        category=category,
        metric=metric,
        instruction=both,
        variants=derived_variants(name, both),
        domain=domain,
        is_specialised=domain in SPECIALISED_DOMAINS or domain == "civil comments",
        revision=revision,
        source="hub",
        num_bytes=0,
    )


def _hub_info(task: Any) -> TaskInfo:
    from instructor_search.integrations.mteb_instructions import MTEB_INSTRUCTIONS, sides

    meta = task.metadata
    categories = {
        "Retrieval": Category.RETRIEVAL,
        "Reranking": Category.RERANKING,
        "Clustering": Category.CLUSTERING,
        "PairClassification": Category.PAIR_CLASSIFICATION,
        "Classification": Category.CLASSIFICATION,
        "STS": Category.STS,
        "Summarization": Category.SUMMARIZATION,
    }
    if meta.name in MTEB_INSTRUCTIONS:
        instruction = InstructionPair(*sides(meta.name))
    else:  # CQADupstack: the mean of twelve, each under its own
        instruction = InstructionPair(
            "Represent the forum question for retrieving duplicate questions: ",
            "Represent the forum question for retrieval: ",
        )
    domains = [d for d in meta.domains or [] if d != "Written"]
    return TaskInfo(
        name=meta.name,
        category=categories[meta.type],
        metric=meta.main_score,
        instruction=instruction,
        variants=derived_variants(meta.name, instruction),
        domain=", ".join(domains).lower() or "general",
        is_specialised=bool(_SPECIALISED_MTEB & set(domains)) or meta.name == "Banking77Classification",
        revision=str(meta.dataset.get("revision", "")),
        source="hub",
        num_bytes=_num_characters(meta),
        published_name=meta.name,
    )


def _num_characters(meta: Any) -> int:
    """Return the size of a hub task's texts, by the statistics that come with mteb; of an aggregate, of its parts."""
    parts = getattr(meta, "tasks", None)
    if parts:
        return sum(_num_characters(part.metadata) for part in parts)
    total = 0
    for split in (meta.descriptive_stats or {}).values():
        statistics = split or {}
        total += (
            statistics.get("number_of_characters")
            or (statistics.get("text_statistics") or {}).get("total_text_length")
            or 0
        )
    return int(total)
