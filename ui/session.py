"""What the handlers of all tabs call: searches, comparisons, explanations, judgments. Plain values in and out.

One session serves all users; what belongs to one of them (the query on the screen) comes in with each call.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from threading import Semaphore
from typing import TYPE_CHECKING, Any

from instructor_search.errors import InstructorSearchError, StoreError
from instructor_search.instruction_library import query_instruction_for
from instructor_search.instruction_rule import resolve
from instructor_search.records import Hit
from instructor_search.store.folders import store_folder
from ui.asking import MODES, Answer, AppError, Asked, check_length, check_number, check_text
from ui.config import MEBIBYTE, AppConfig
from ui.job import Job
from ui.jobs import Jobs
from ui.library import Library
from ui.uploads import Uploads

if TYPE_CHECKING:
    from instructor_search.in_context.llm import LanguageModel
    from instructor_search.search.compare import Comparison
    from instructor_search.search.documents import StoredDocument
    from instructor_search.search.explain import Explanation
    from instructor_search.store.judgments import Judgment
    from instructor_search.store.manifest import View


class Session:
    """The application's work; every method may be called from several threads at once."""

    def __init__(self, config: AppConfig) -> None:
        """Nothing is opened yet."""
        self.config = config
        self.limits = config.limits
        self.library = Library(config.store, config.model, config.gpus)
        limits, store = config.limits, store_folder(config.store).absolute()
        self.jobs = Jobs(
            at_once=limits.jobs,
            megabytes=limits.job_megabytes,
            hours=limits.job_hours,
            kept=store / ".jobs",
            read_only=config.read_only,
        )
        self.uploads = Uploads(
            store,
            file_bytes=limits.upload_bytes,
            batch_files=limits.upload_files,
            total_bytes=config.upload_quota * MEBIBYTE,
        )
        self.language_model: LanguageModel | None = None  # opened with the first prompt that is sent
        self._marking = Semaphore()  # one search at a time embeds sentences: many would take the cores from one another
        self.first_job: Job | None = None  # makes the demo collection, on the first start

    # -- what there is -----------------------------------------------------------------------------------------------

    def collections(self) -> list[str]:
        """Return the names of the collections."""
        return self.library.names()

    def whole_collections(self) -> list[str]:
        """Return the names that the page offers: without the collection that the first start is still making."""
        job = self.first_job
        making = job.collection if job is not None and job.is_running else None
        return [name for name in self.collections() if name != making]

    def default_collection(self) -> str | None:
        """Return the collection to show first: the one asked for at the start, else the first."""
        names = self.whole_collections()
        wanted = self.config.collection
        return wanted if wanted in names else next(iter(names), None)

    def meant_collection(self, name: str) -> str:
        """Return the collection that a program means: the one it names, else that of the start, else the only one.

        Raises:
            AppError: there is none, or there are several to choose from.
        """
        check_text("collection", name)
        named = name or self.config.collection
        if named:
            return named
        names = self.collections()
        if len(names) > 1:
            raise AppError(f"which collection? name it; there is: {', '.join(names)}")
        return self._named(next(iter(names), ""))

    def views(self, collection: str) -> list[View]:
        """Return the views of a collection, the default one first."""
        views = self.library.manifest(self._named(collection)).views
        return sorted(views.values(), key=lambda view: (view.name != "default", view.created))

    def default_instruction(self, collection: str | None, view: str = "") -> str:
        """Return the query instruction that goes with a view's document instruction; an unknown view is the first."""
        views = self.views(collection) if collection else []
        chosen = next((known for known in views if known.name == view), next(iter(views), None))
        return query_instruction_for(chosen.document_instruction) if chosen else ""

    # -- searching ---------------------------------------------------------------------------------------------------

    def search(self, asked: Asked, *, for_page: bool = True) -> Answer:
        """Return the best hits.

        ``for_page``: their sentences are found by meaning, where the model is fast and no other search does so just
        now, and it is said whether they stand out from what random words score.

        Raises:
            InstructorSearchError, ValueError: it cannot be searched so; the message says why.
        """
        asked = self._checked(asked)
        searcher = self.library.searcher(asked.collection, asked.view or None)
        started = time.perf_counter()
        by_meaning = for_page and self._marking.acquire(blocking=False)
        try:
            hits = searcher.search(
                asked.query,
                instruction=asked.instruction,
                where=asked.where.strip() or None,
                top_k=asked.top_k,
                mode=asked.mode,
                snippets="auto" if by_meaning else "words",
            )
        finally:
            if by_meaning:
                self._marking.release()
        weak = for_page and self._is_weak(asked, hits)
        took = 1000 * (time.perf_counter() - started)
        judged = self.judgments_of(asked, searcher.view.name)
        cut = searcher.num_query_tokens_cut if asked.mode != "text" else 0
        return Answer(asked, searcher.view, tuple(hits), took, cut, judged, searcher.collection.num_chunks(), weak)

    def _is_weak(self, asked: Asked, hits: Sequence[Hit]) -> bool:
        """Return whether no hit stands out; where that cannot be found out, nothing is said."""
        try:
            background = self.library.background(asked.collection, asked.view or None)
            return background.is_weak(hits, asked.sentence, asked.where.strip() or None)
        except InstructorSearchError:
            return False

    def compare(self, asked: Asked, instructions: Sequence[str | None], views: Sequence[str] = ()) -> Comparison:
        """Return the hits of a query under several instructions, and what differs; ``views``: one a side, or none."""
        from instructor_search.search.compare import Side, compare

        self._checked(asked)
        names = list(views) or [asked.view] * len(instructions)
        sides = []
        for instruction, view in zip(instructions, names, strict=True):
            one = self._checked(replace(asked, instruction=instruction, view=view))
            sides.append(Side(self.library.searcher(one.collection, view or None), one.instruction))
        where = asked.where.strip() or None
        return compare(asked.query, sides, top_k=asked.top_k, where=where, mode=asked.mode, snippets="auto")

    def explain(self, asked: Asked, chunk_id: str, instructions: Sequence[str | None]) -> list[Explanation]:
        """Return why a chunk has its score, once under each of the query instructions."""
        from instructor_search.search.explain import explain_hit

        check_text("chunk_id", chunk_id)
        asked = self._checked(asked)
        resolved = [self._checked(replace(asked, instruction=i)).instruction for i in instructions]
        searcher = self.library.searcher(asked.collection, asked.view or None)
        explainer = self.library.explainer(asked.collection, asked.view or None)
        return explain_hit(searcher, chunk_id, asked.query, resolved, explainer=explainer)

    def document(self, collection: str, chunk_id: str) -> StoredDocument:
        """Return the whole document that a chunk is a part of."""
        from instructor_search.search.documents import read_document

        return read_document(self.library.collection(self._named(collection)), chunk_id)

    # -- judging -----------------------------------------------------------------------------------------------------

    def judge(self, asked: Asked, chunk_id: str, relevant: bool | None) -> Judgment:
        """Store whether a hit is relevant; None takes it back."""
        from instructor_search.store.judgments import judge

        self.check_writable()
        if not isinstance(relevant, bool | None):
            raise AppError(f"relevant is {relevant!r}; expected true or false")
        check_text("chunk_id", chunk_id)
        asked = self._checked(asked)
        collection = self.library.collection(asked.collection)
        view = collection.view(asked.view or None)
        return judge(collection, view, chunk_id, query=asked.query, instruction=asked.instruction, relevant=relevant)

    def judgments_of(self, asked: Asked, view: str) -> dict[str, bool]:
        """Return what was judged of this query, instruction and view, by chunk."""
        from instructor_search.store.judgments import read_judgments

        wanted = (asked.query, asked.sentence, view)
        try:
            judgments = read_judgments(self.library.collection(asked.collection))
        except StoreError:  # a damaged line must not keep anybody from searching; the command judgments names it
            return {}
        return {j.chunk_id: bool(j.relevant) for j in judgments if (j.query, j.instruction, j.view) == wanted}

    # -- checks ------------------------------------------------------------------------------------------------------

    def check_writable(self) -> None:
        """Refuse what changes anything, where the application was started for reading only.

        Raises:
            AppError: it was.
        """
        if self.config.read_only:
            raise AppError("this application was started with --read-only: nothing can be changed here")

    def _named(self, collection: str) -> str:
        check_text("collection", collection)
        if not collection:
            raise AppError("there is no collection yet; make one in the tab Collections")
        return collection

    def _checked(self, asked: Asked) -> Asked:
        """Return what was asked within the limits, with a name of the library resolved."""
        limits = self.limits
        self._named(asked.collection)
        for name in ("query", "instruction", "view", "mode", "where"):
            if name != "instruction" or asked.instruction is not None:
                check_text(name, getattr(asked, name))
        top_k = check_number("top_k", asked.top_k)
        if not asked.query.strip():
            raise AppError("the query is empty: type what you look for")
        default = asked.instruction is None
        instruction = self.default_instruction(asked.collection, asked.view) if default else resolve(asked.instruction)
        for name, text, most in (
            ("query", asked.query, limits.query_characters),
            ("instruction", instruction, limits.instruction_characters),
            ("filter", asked.where, limits.query_characters),
        ):
            check_length(name, text, most)
        if not 1 <= top_k <= limits.top_k:
            raise AppError(f"{top_k} hits were asked for; expected 1 to {limits.top_k}")
        if asked.mode not in MODES:
            raise AppError(f"mode is {asked.mode!r}; expected one of {', '.join(MODES)}")
        return replace(asked, instruction=instruction, top_k=top_k)

    # -- life --------------------------------------------------------------------------------------------------------

    def warm(self) -> None:
        """Load the model of the first collection, so that the first search need not."""
        name = self.default_collection()
        if name:
            asked: Any = Asked(name, "warm up", None, top_k=1)
            self.search(asked)

    def close(self) -> None:
        """End the jobs."""
        self.jobs.close()
