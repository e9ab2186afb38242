"""The same functions for programs: endpoints of Gradio's API, and tools of the MCP server (``--mcp``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr

from ui.asking import AppError, Asked
from ui.collections import facts
from ui.handling import as_toast
from ui.prompting import AskedPrompt, prompt_for
from ui.session import Session


def add_endpoints(session: Session) -> None:
    """Add the endpoints to the Blocks that are being built."""
    for function in endpoints(session):
        gr.api(as_toast(function), api_name=function.__name__, concurrency_limit=session.limits.concurrency)


def endpoints(session: Session) -> list[Callable[..., Any]]:
    """Return the functions that programs may call; their docstrings are what a language model reads."""
    functions = [*_rankings(session), *_single_hits(session), *_stores(session)]
    return [function for function in functions if not (session.config.read_only and function.__name__ == "judge")]


def _given(instruction: str) -> str | None:
    """Return an instruction as the rest of the application takes it, where None is the default."""
    return None if instruction == "default" else instruction


def _rankings(session: Session) -> list[Callable[..., Any]]:
    named = session.meant_collection

    def search(
        query: str,
        instruction: str = "default",
        collection: str = "",
        view: str = "",
        mode: str = "dense",
        where: str = "",
        top_k: int = 10,
    ) -> list[dict]:
        """Search documents under an instruction: a sentence that says what the search is for, e.g. "Represent the
        astronomy question for retrieving supporting documents: ". Another instruction ranks the documents differently.

        Args:
            query: What to look for.
            instruction: A sentence of your own, "@NAME" of the library, "" for none, or "default".
            collection: Name of the collection; empty for the one of the start, or the only one.
            view: Name of the view (what the documents were embedded for); empty for the default one.
            mode: "dense" (by meaning), "text" (by words) or "hybrid".
            where: Filter such as 'stars <= 2 and source contains "reviews"'; empty for none.
            top_k: Number of hits.
        """  # noqa: D205, D415 - one sentence for a language model
        asked = Asked(named(collection), query, _given(instruction), view, mode, where, top_k)
        return [asdict(hit) for hit in session.search(asked, for_page=False).hits]

    def compare(
        query: str,
        first_instruction: str,
        second_instruction: str,
        collection: str = "",
        view: str = "",
        where: str = "",
        top_k: int = 10,
    ) -> dict:
        """Ask one query under two instructions; say which hits enter, leave and move, and how alike the rankings are.

        Args:
            query: What to look for.
            first_instruction: A sentence, "@NAME" of the library, "" for none, or "default".
            second_instruction: The one to compare with.
            collection: Name of the collection; empty for the one of the start, or the only one.
            view: Name of the view; empty for the default one.
            where: Filter; empty for none.
            top_k: Number of hits on each side.
        """
        asked = Asked(named(collection), query, _given(first_instruction), view, "dense", where, top_k)
        return asdict(session.compare(asked, [_given(first_instruction), _given(second_instruction)]))

    return [search, compare]


def _single_hits(session: Session) -> list[Callable[..., Any]]:
    named = session.meant_collection

    def explain(query: str, chunk_id: str, instruction: str = "default", collection: str = "", view: str = "") -> dict:
        """Take a hit's score apart: what each token and sentence of its text adds to it under the instruction.

        Args:
            query: What was searched for.
            chunk_id: The hit's chunk_id, as search gives it.
            instruction: The query instruction, "@NAME" of the library, "" for none, or "default".
            collection: Name of the collection; empty for the one of the start, or the only one.
            view: Name of the view; empty for the default one.
        """
        asked = Asked(named(collection), query, _given(instruction), view)
        return asdict(session.explain(asked, chunk_id, [asked.instruction])[0])

    def judge(
        query: str, chunk_id: str, relevant: bool, instruction: str = "default", collection: str = "", view: str = ""
    ) -> dict:
        """Store whether a hit is relevant to the query under the instruction.

        Args:
            query: What was searched for.
            chunk_id: The hit's chunk_id, as search gives it.
            relevant: Whether it is.
            instruction: The query instruction it was searched under, as for search.
            collection: Name of the collection; empty for the one of the start, or the only one.
            view: Name of the view; empty for the default one.
        """
        if not isinstance(relevant, bool):
            raise AppError(f"relevant is {relevant!r:.40}; expected true or false")
        asked = Asked(named(collection), query, _given(instruction), view)
        return asdict(session.judge(asked, chunk_id, relevant))

    return [explain, judge]


def _stores(session: Session) -> list[Callable[..., Any]]:
    def collections() -> list[dict]:
        """List the collections with their views (document instructions, models) and number of chunks."""
        described = [facts(session, name) for name in session.collections()]
        return [{"name": f.name, "chunks": f.chunks, "views": [asdict(view) for view in f.views]} for f in described]

    def prompt(
        text: str,
        pool: str,
        instruction: str = "default",
        task: str = "",
        num_examples: int = 8,
        selector: str = "nearest",
        budget: int = 0,
    ) -> dict:
        """Build a few-shot prompt: the examples of a pool that are nearest to an input under an instruction.

        Args:
            text: The input that the prompt asks about.
            pool: Name of a collection that is a pool of examples.
            instruction: A sentence that says in what sense examples should be near, "@NAME" of the library, "" for
                none, or "default" for the pool's own.
            task: What to do, in a sentence; stands first in the prompt.
            num_examples: How many examples, at most.
            selector: "nearest", "mmr", "label-balanced", "kmeans", "dpp", "hybrid", "text", "random" or "fixed".
            budget: Tokens of the prompt at most; 0 for no limit.
        """
        asked = AskedPrompt(pool, text, _given(instruction), task, num_examples, selector, budget=budget)
        built = prompt_for(session, asked)
        return {
            "prompt": built.text,
            "num_tokens": built.num_tokens,
            "notes": list(built.notes),
            "examples": [d._asdict() for d in built.demonstrations],
        }

    return [collections, prompt]
