"""Makes, fills, checks and deletes collections. What takes long runs as a job; what is uploaded is kept beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructor_search.commands.parser import counted
from instructor_search.instruction_rule import resolve
from instructor_search.instructions import InstructedText
from instructor_search.store.folders import COLLECTION_NAME, NAME_RULE
from instructor_search.store.schema import SourceRecord
from ui.asking import AppError, check_length, check_text
from ui.job import Job, State
from ui.session import Session
from ui.uploads import Kept

_SAMPLE = 16  # chunks that are embedded to know how fast it goes


@dataclass(frozen=True)
class ViewFacts:
    """A view as a table shows it. ``missing``: chunks without a vector yet."""

    name: str
    instruction: str
    model: str
    dim: int
    precision: str
    index: str
    missing: int


@dataclass(frozen=True)
class CollectionFacts:
    """A collection as a page shows it."""

    name: str
    created: str
    chunks: int
    size: int
    views: tuple[ViewFacts, ...]
    sources: tuple[SourceRecord, ...]
    judgments: int


@dataclass(frozen=True)
class ViewCost:
    """What a new view takes: seconds of embedding and bytes on disk, from a sample of the chunks."""

    chunks: int
    seconds: float
    size: int


def facts(session: Session, name: str) -> CollectionFacts:
    """Return what there is to say of a collection."""
    from instructor_search.store.indexes import policy
    from instructor_search.store.judgments import read_judgments

    collection = session.library.collection(name)
    views = tuple(
        ViewFacts(
            v.name,
            v.document_instruction,
            v.model,
            v.dim,
            v.precision,
            policy.index_kind(collection, v),
            collection.missing_vectors(v),
        )
        for v in session.views(name)
    )
    sources = tuple(sorted(collection.sources().values(), key=lambda record: record.source))
    size = sum(path.stat().st_size for path in collection.folder.rglob("*") if path.is_file())
    return CollectionFacts(
        name,
        collection.manifest.created,
        collection.num_chunks(),
        size,
        views,
        sources,
        len(read_judgments(collection)),
    )


def create(session: Session, name: str, instruction: str, batch: str) -> Job:
    """Start making a collection of the files of an upload under a document instruction, and return the job.

    Raises:
        InstructorSearchError: the name is not allowed or taken, or there are no files; nothing of the try is left.
    """
    session.check_writable()
    name = new_name(session, name)
    session.jobs.check_room()
    kept = keep_anew(session, name, batch)
    title = f"{name}: {counted(len(kept.added) + len(kept.renamed), 'file')}"
    return start_new(session, title, name, kept.folder, instruction, notes=kept.notes())


def new_name(session: Session, name: str) -> str:
    """Return the name of a collection that is to be made.

    Raises:
        AppError: there is none, it is not allowed, or it is taken.
    """
    check_text("name", name)
    name = name.strip()
    if not name:
        raise AppError(f"the collection has no name yet; give it one of {NAME_RULE}")
    if not COLLECTION_NAME.fullmatch(name):
        raise AppError(f"the name is {name!r:.80}; expected {NAME_RULE}")
    if name in session.collections():
        raise AppError(f"there is a collection {name!r} already; choose another name, or add files to that one")
    return name


def keep_anew(session: Session, name: str, batch: str) -> Kept:
    """Keep the files of an upload for a new collection; what a try before this one left is removed."""
    session.uploads.staged_files(batch)  # refused here, where there are none: before anything is removed
    for old in session.jobs.of(name):
        session.jobs.forget(old)
    session.uploads.drop(name)
    return session.uploads.keep(batch, name)


def start_new(
    session: Session,
    title: str,
    name: str,
    path: Path,
    instruction: str,
    *,
    notes: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> Job:
    """Start making a collection of what was uploaded; where it comes to nothing, nothing of it is left."""

    def ended(job: Job, state: State) -> None:
        if state is State.FAILED and name not in session.collections():
            session.uploads.drop(name)
            session.jobs.kept.drop(job)

    try:
        return start_ingest(session, title, name, [path], instruction, notes=notes, more=more, ended=ended)
    except BaseException:
        session.uploads.drop(name)
        raise


def add_files(session: Session, name: str, batch: str, replace: bool = False) -> Job:
    """Start adding the files of an upload to a collection, in all its views, and return the job.

    ``replace``: files of the same names give way; else both are kept. The job's notes list either.
    """
    session.check_writable()
    session.library.manifest(name)
    session.jobs.check_room()
    kept = session.uploads.keep(batch, name, replace=bool(replace))
    count = len(kept.added) + len(kept.replaced) + len(kept.renamed)
    return start_ingest(
        session, f"{name}: {counted(count, 'more file')}", name, [kept.folder], None, notes=kept.notes()
    )


def add_folder(session: Session, name: str, allowed: str, below: str, instruction: str) -> Job:
    """Start ingesting a folder of this machine: one that was allowed at the start, or a folder below it."""
    session.check_writable()
    folder = allowed_folder(session, allowed, below)
    is_new = name.strip() not in session.collections()
    name = new_name(session, name) if is_new else name.strip()
    return start_ingest(session, f"{name}: folder {folder.name}", name, [folder], instruction if is_new else None)


def allowed_folders(session: Session) -> dict[str, Path]:
    """Return the folders that may be ingested, by the names that the page shows: no path of this machine."""
    folders: dict[str, Path] = {}
    for folder in session.config.allow_folders:
        root = folder.resolve()
        name = root.name or "/"
        folders[f"{name} ({len(folders) + 1})" if name in folders else name] = root
    return folders


def allowed_folder(session: Session, allowed: str, below: str) -> Path:
    """Return a folder inside an allowed one; links and ".." are followed before it is checked.

    Raises:
        AppError: it is not inside, or there is no such folder.
    """
    if not allowed:
        raise AppError("no folder is chosen; choose one that was allowed at the start")
    root = allowed_folders(session).get(allowed)
    if root is None:
        raise AppError("this folder was not allowed at the start; see --allow-folder")
    try:
        folder = (root / below.strip().lstrip("/")).resolve()
    except (OSError, ValueError):  # a NUL byte, a loop of links
        raise AppError(f"{below.strip()!r:.80} is no folder") from None
    if folder != root and root not in folder.parents:
        raise AppError(f"{below.strip()!r:.80} leads out of the allowed folder")
    if not folder.is_dir():
        raise AppError(f"there is no folder {below.strip()!r:.80} in the allowed one")
    return folder


def view_cost(session: Session, name: str, instruction: str) -> ViewCost:
    """Return what a view of a collection under ``instruction`` takes: a few of its chunks are embedded to know."""
    check_length("instruction", instruction, session.limits.instruction_characters)
    instruction = resolve(instruction, "document")
    collection = session.library.collection(name)
    view = collection.view(None)
    encoder = session.library.encoder(view)
    encoder.tokenizer.text_budget(instruction)
    rows = collection.fetch(collection.chunks.search().select(["text"]).limit(_SAMPLE))
    if not rows:
        raise AppError("this collection has no chunks yet; upload files first")
    texts = [InstructedText(instruction, row["text"]) for row in rows]
    encoder.encode(texts[:2])
    started = time.perf_counter()
    encoder.encode(texts)
    each = (time.perf_counter() - started) / len(texts)
    count = collection.num_chunks()
    return ViewCost(count, each * count, count * 4 * view.dim)


def add_view(session: Session, name: str, view: str, instruction: str) -> Job:
    """Start embedding a collection's chunks under another document instruction, and return the job."""
    session.check_writable()
    manifest = session.library.manifest(name)
    check_length("view", view, session.limits.name_characters)
    view = view.strip()
    if not view.isprintable():
        raise AppError("the name of the view has characters that cannot be shown; choose another")
    if not view:
        raise AppError("the view has no name; give it one, e.g. by-topic")
    if view in manifest.views:
        raise AppError(f"there is a view {view!r} already; choose another name")
    folders = [Path(folder) for folder in manifest.source_names.values() if Path(folder).is_dir()]
    if not folders:
        raise AppError("the files of this collection are no longer where they were; upload them again first")
    job = start_ingest(session, f"{name}: view {view}", name, folders, instruction, view=view)
    job.num_chunks = session.library.collection(name).num_chunks()
    return job


def verify(session: Session, name: str) -> Job:
    """Start comparing all that is stored with its checksums, and return the job."""
    session.library.manifest(name)
    settings = {"collection": name, "json": True, "store": session.config.store}
    return session.jobs.start(f"{name}: verify", name, "instructor_search verify", settings)


def delete(session: Session, name: str, typed: str) -> None:
    """Delete a collection and the files uploaded to it, if its name was typed again."""
    session.check_writable()
    if typed.strip() != name:
        raise AppError(f"type the collection's name ({name}) to delete it; nothing was deleted")
    busy = [job for job in session.jobs.running() if job.collection == name]
    if busy:
        raise AppError(f"a job of it is under way ({busy[0].title}); cancel it first")
    collection = session.library.collection(name)
    session.library.forget(name)
    collection.drop()
    for job in session.jobs.of(name):
        session.jobs.forget(job)
    session.uploads.drop(name)


def start_ingest(
    session: Session,
    title: str,
    name: str,
    folders: Sequence[Path],
    instruction: str | None,
    *,
    view: str | None = None,
    more: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    ended: Callable[[Job, State], None] | None = None,
) -> Job:
    """Start an ingest of folders or files and return its job; ``more``: settings of it, by the names of its flags."""
    is_new = name not in session.collections()
    if instruction is not None:
        check_length("instruction", instruction, session.limits.instruction_characters)
    resolved = resolve(instruction, "document") if instruction is not None else None
    settings = {
        "paths": [str(folder) for folder in folders],
        "collection": name,
        "json": True,
        "progress_json": True,
        "store": session.config.store,
        "view": view,
        "model": session.config.model if is_new else None,
        "instruction": None if is_new and not (resolved or "").strip() else resolved,
        **(more or {}),
    }
    return session.jobs.start(title, name, "ingest", settings, goes_on=True, notes=notes, ended=ended)
