"""Where evaluation data comes from: the hub, a folder, or the small sets that come with the project.

``auto`` takes the folder that the environment names, else the bundled sets. The hub is asked only where it was named,
and then whether it answers (at most RESPONSE_SECONDS). The bundled sets check the machinery; their scores say nothing
of a model.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.instructions import SPECIALISED_DOMAINS, derived_variants, from_meta
from eval.local_data import num_bytes, read_meta, revision_of
from eval.records import Category, Context, EvalDataError, Outcome, Sides, TaskInfo
from eval.tasks.base import EvalTask
from instructor_search.result_files import MODEL_FILE

if TYPE_CHECKING:
    from eval.systems import System

DATA_VARIABLE = "INSTRUCTOR_SEARCH_EVAL_DATA"
RESPONSE_SECONDS = 2.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+()-]{0,99}")  # it becomes a file name
BUNDLED = Path(__file__).parent / "bundled"
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
_SPECIALISED_MTEB = {"Academic", "Medical", "Legal", "Financial", "Programming", "Chemistry", "Engineering"}


@dataclass(frozen=True)
class Source:
    """A place that has tasks. ``reason``: why it was chosen, for the person who runs the evaluation."""

    name: str  # "hub", "local" or "bundled"
    reason: str
    folder: Path | None = None
    is_offline: bool = False  # the hub's client has its cache alone

    @cached_property
    def tasks(self) -> list[EvalTask]:
        """All tasks, in the order of the categories and then of their names; no data is read yet."""
        found = _hub_tasks() if self.folder is None else _folder_tasks(self.folder, self.name)
        _check_names(found)
        order = list(Category)
        return sorted(found, key=lambda task: (order.index(task.info.category), task.info.name.lower()))


def choose_source(data: str) -> Source:
    """Return the source that ``--data`` names: "auto", "hub", "bundled" or a folder.

    Raises:
        EvalDataError: the folder is missing or holds no evaluation set.
    """
    if data == "bundled":
        return _bundled("asked for")
    if data == "hub":
        problem = hub_problem()
        if problem is None:
            return Source("hub", "asked for")
        return Source("hub", f"asked for; {problem}: only sets kept from before can run", is_offline=True)
    if data != "auto":
        return _folder(Path(data).expanduser(), "asked for")
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return _folder(Path(named).expanduser(), f"{DATA_VARIABLE} names it")
    return _bundled(f"neither --data DIR nor {DATA_VARIABLE} names a folder; --data hub takes the paper's sets")


def _bundled(reason: str) -> Source:
    return Source("bundled", reason, BUNDLED)


def _folder(folder: Path, reason: str) -> Source:
    if not folder.is_dir():
        raise EvalDataError(
            f"no data folder {str(folder)!r}; expected a folder with {', '.join(list(FOLDERS)[:3])}, ..."
        )
    if not any(_set_folders(folder)):
        inner = next((p.name for p in sorted(folder.iterdir()) if p.is_dir() and any(_set_folders(p))), None)
        hint = (
            f"; did you mean {str(folder / inner)!r}?" if inner else f"; expected one of {', '.join(list(FOLDERS)[:9])}"
        )
        raise EvalDataError(f"{str(folder)!r} has no folder of a task category with a set in it{hint}")
    return Source("local", reason, folder)


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


def _set_folders(folder: Path) -> list[tuple[Category, Path]]:
    return [
        (category, path)
        for name, category in FOLDERS.items()
        for path in (sorted((folder / name).iterdir()) if (folder / name).is_dir() else ())
        if path.is_dir() and not path.name.startswith(".")
    ]


def _folder_tasks(folder: Path, source: str) -> list[EvalTask]:
    return [_local_task(category, path, source) for category, path in _set_folders(folder)]


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

    return MtebTask(info, local_task(info, folder), notes=lambda task: task.notes)


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


def _check_names(tasks: list[EvalTask]) -> None:
    """Refuse two tasks of one name: their results would be one file."""
    seen: dict[str, EvalTask] = {}
    for task in tasks:
        other = seen.setdefault(task.info.name.lower(), task)
        if other is not task:
            raise EvalDataError(
                f"two sets are called {task.info.name!r} (in {other.info.category} and {task.info.category}); give one "
                "of them another name in its meta.json"
            )


class BrokenTask(EvalTask):
    """A set whose description cannot be understood; running it says why."""

    def __init__(self, info: TaskInfo, error: EvalDataError) -> None:
        """Keep the ``error`` until the task is run."""
        self.info = info
        self.error = error

    def evaluate(self, system: System, sides: Sides, context: Context) -> Outcome:
        """Raise the error."""
        raise self.error


def whole(task: EvalTask) -> EvalTask:
    """Return the task.

    Raises:
        EvalDataError: it is a set whose description cannot be understood.
    """
    if isinstance(task, BrokenTask):
        raise task.error
    return task


def _hub_tasks() -> list[EvalTask]:
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
    both = Sides(instruction, instruction)
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
        instruction = Sides(*sides(meta.name))
    else:  # CQADupstack: the mean of twelve, each under its own
        instruction = Sides(
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
    found = 0
    for split in (meta.descriptive_stats or {}).values():
        own = split or {}
        found += own.get("number_of_characters") or (own.get("text_statistics") or {}).get("total_text_length") or 0
    return int(found)
