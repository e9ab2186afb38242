"""Makes, fills, checks and deletes collections. What takes long runs as a job; what is uploaded is kept beside them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from instructor_search.command_line import counted
from instructor_search.instruction_library import resolve_instruction
from instructor_search.instructions import InstructedText
from instructor_search.store.folders import COLLECTION_NAME, NAME_RULE, store_folder
from instructor_search.store.schema import SourceRecord
from ui.jobs import Job
from ui.session import AppError, Session

UPLOADS = ".uploads"  # in the store; hidden, so that no ingest of a folder above it reads it twice
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
    from instructor_search.store.judgments import read_judgments

    collection = session.library.collection(name)
    views = tuple(
        ViewFacts(v.name, v.document_instruction, v.model, v.dim, v.precision, collection.index_kind(v),
                  collection.missing_vectors(v))
        for v in session.views(name)
    )  # fmt: skip
    sources = tuple(sorted(collection.sources().values(), key=lambda record: record.source))
    size = sum(path.stat().st_size for path in collection.folder.rglob("*") if path.is_file())
    return CollectionFacts(name, collection.manifest.created, collection.num_chunks(), size, views, sources,
                           len(read_judgments(collection)))  # fmt: skip


def uploads_of(session: Session, name: str) -> Path:
    """Return the folder in which the files uploaded to a collection are kept."""
    return store_folder(session.config.store) / UPLOADS / name


def create(session: Session, name: str, instruction: str, files: Sequence[str]) -> Job:
    """Start making a collection of uploaded files under a document instruction, and return the job."""
    session.check_writable()
    name = name.strip()
    if not COLLECTION_NAME.fullmatch(name):
        raise AppError(f"the name is {name!r}; expected {NAME_RULE}")
    if name in session.collections():
        raise AppError(f"there is a collection {name!r} already; choose another name, or add files to that one")
    shutil.rmtree(uploads_of(session, name), ignore_errors=True)  # of a try that came to nothing
    folder = keep_uploads(session, name, files)
    return start_ingest(session, f"{name}: {counted(len(files), 'file')}", name, [folder], instruction)


def add_files(session: Session, name: str, files: Sequence[str]) -> Job:
    """Start adding uploaded files to a collection, in all its views, and return the job."""
    session.check_writable()
    session.library.manifest(name)
    folder = keep_uploads(session, name, files)
    return start_ingest(session, f"{name}: {counted(len(files), 'more file')}", name, [folder], None)


def add_folder(session: Session, name: str, allowed: str, below: str, instruction: str) -> Job:
    """Start ingesting a folder of this machine: one that was allowed at the start, or a folder below it."""
    session.check_writable()
    folder = allowed_folder(session, allowed, below)
    name = name.strip()
    is_new = name not in session.collections()
    if is_new and not COLLECTION_NAME.fullmatch(name):
        raise AppError(f"the name is {name!r}; expected {NAME_RULE}")
    return start_ingest(session, f"{name}: folder {folder.name}", name, [folder], instruction if is_new else None)


def allowed_folder(session: Session, allowed: str, below: str) -> Path:
    """Return a folder inside an allowed one; links and ".." are followed before it is checked.

    Raises:
        AppError: it is not inside, or there is no such folder.
    """
    known = {str(folder): folder.resolve() for folder in session.config.allow_folders}
    if allowed not in known:
        raise AppError("this folder was not allowed at the start; see --allow-folder")
    root = known[allowed]
    folder = (root / below.strip().lstrip("/")).resolve()
    if folder != root and root not in folder.parents:
        raise AppError(f"{below.strip()!r} leads out of the allowed folder")
    if not folder.is_dir():
        raise AppError(f"there is no folder {below.strip()!r} in the allowed one")
    return folder


def view_cost(session: Session, name: str, instruction: str) -> ViewCost:
    """Return what a view of a collection under ``instruction`` takes: a few of its chunks are embedded to know."""
    instruction = resolve_instruction(instruction, "document")
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
    view = view.strip()
    if not view:
        raise AppError("the view has no name; give it one, e.g. by-topic")
    if view in manifest.views:
        raise AppError(f"there is a view {view!r} already; choose another name")
    folders = [Path(folder) for folder in manifest.roots.values() if Path(folder).is_dir()]
    if not folders:
        raise AppError("the files of this collection are no longer where they were; upload them again first")
    job = start_ingest(session, f"{name}: view {view}", name, folders, instruction, view=view)
    job.num_chunks = session.library.collection(name).num_chunks()
    return job


def verify(session: Session, name: str) -> Job:
    """Start comparing all that is stored with its checksums, and return the job."""
    session.library.manifest(name)
    arguments = ["verify", "--collection", name, "--json", *_store(session)]
    return session.jobs.start(f"{name}: verify", name, "instructor_search", arguments)


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
    shutil.rmtree(uploads_of(session, name), ignore_errors=True)


def keep_uploads(session: Session, name: str, files: Sequence[str]) -> Path:
    """Move uploaded files to where they stay, and return that folder."""
    if not files:
        raise AppError("no file was chosen; upload at least one")
    if len(files) > session.limits.upload_files:
        raise AppError(f"{len(files)} files at once; expected at most {session.limits.upload_files}")
    paths = [Path(file) for file in files]
    for path in paths:
        if path.stat().st_size > session.limits.upload_bytes:
            raise AppError(f"{path.name} has more than {session.limits.upload_bytes >> 20} MiB; expected less")
    folder = uploads_of(session, name)
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copyfile(path, folder / path.name.lstrip("."))
    return folder


def start_ingest(session: Session, title: str, name: str, folders: Sequence[Path], instruction: str | None,
                 *, view: str | None = None, more: Sequence[str] = ()) -> Job:  # fmt: skip
    """Start an ingest of folders or files and return its job; ``more``: flags of it."""
    is_new = name not in session.collections()
    arguments = [*map(str, folders), "--collection", name, "--json", "--progress-json", *more, *_store(session)]
    if instruction is not None:
        resolved = resolve_instruction(instruction, "document")
        arguments += ["--instruction", resolved] if resolved.strip() or not is_new else []
    if view is not None:
        arguments += ["--view", view]
    if session.config.model and is_new:
        arguments += ["--model", session.config.model]
    return session.jobs.start(title, name, "ingest", arguments)


def _store(session: Session) -> list[str]:
    return ["--store", session.config.store] if session.config.store else []
