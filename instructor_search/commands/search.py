"""The commands search and like: the hits of a query, and the chunks near one. Heavy packages load inside."""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from instructor_search.commands.flags import DEVICE_HELP, collection_flags, open_collection
from instructor_search.commands.parser import RUNTIMES, counted, positive
from instructor_search.instruction_rule import resolve

if TYPE_CHECKING:
    from instructor_search.encoder.encoder import InstructorEncoder
    from instructor_search.records import Hit
    from instructor_search.search.reranking import Reranker
    from instructor_search.search.searcher import Searcher

_SEARCH_EXAMPLES = """examples:
  python -m instructor_search search "bad headphones" --instruction "Represent the question for retrieving reviews: "
  python -m instructor_search search "battery" --mode hybrid --where 'stars <= 2 and source contains "reviews"'
  python -m instructor_search search "battery" --instruction @reviews-by-product --view reviews --json

filters: FIELD = != < <= > >= VALUE, FIELD in (A, B), FIELD contains TEXT, FIELD exists; and, or, not, ( )
"""


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's."""
    _add_search(commands)
    _add_like(commands)


def _add_search(commands: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    search = commands.add_parser("search", help="search a collection", epilog=_SEARCH_EXAMPLES, formatter_class=raw)
    search.add_argument("query", help="what to look for")
    search.add_argument(
        "--instruction",
        metavar="TEXT",
        help="query instruction, or @NAME of the library (default: the partner of the view's document instruction)",
    )
    _hit_flags(search)
    search.add_argument(
        "--mode",
        choices=("dense", "text", "hybrid"),
        default="dense",
        help="by vector (cosine), by words (BM25), or both (reciprocal rank fusion, k = 60; default: dense)",
    )
    search.add_argument(
        "--offset", type=int, default=0, metavar="N", help="hits to leave out at the top: the next page"
    )
    search.add_argument(
        "--dense-weight",
        type=float,
        metavar="W",
        help="hybrid: a weighted sum of scaled scores, 0 (words) to 1 (vectors), instead of ranks",
    )
    search.add_argument(
        "--rerank",
        metavar="HOW",
        help="score the best 100 candidates anew: 'instruction:SENTENCE' "
        "compares them under another instruction; else the folder or hub id of a cross-encoder "
        "(sentence-transformers)",
    )
    search.add_argument(
        "--snippets",
        choices=("words", "meaning", "none"),
        default="words",
        help="what the sentence shown of a hit has in common with the query: its words, or its meaning "
        "(which embeds the hits' sentences); none: no sentence is looked for (default: words)",
    )
    search.add_argument("--model", metavar="MODEL", help="encoder to use; refused unless it made the view")
    search.add_argument("--device", metavar="NAME", help=DEVICE_HELP)
    search.add_argument("--runtime", choices=RUNTIMES, help="what computes (default: torch on a GPU, else openvino)")
    search.add_argument("--allow-pickle", action="store_true", help="let --model load pytorch_model.bin")
    search.add_argument("--explain", action="store_true", help="show where each score comes from, and the time taken")
    search.set_defaults(run=_search)


def _add_like(commands: Any) -> None:
    like = commands.add_parser("like", help="find the chunks most like one that was found")
    like.add_argument("chunk", help="its id, as search --json and search --explain show it")
    _hit_flags(like)
    like.set_defaults(run=_like)


def _hit_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the commands that print hits."""
    add = parser.add_argument
    collection_flags(parser)
    add("--view", metavar="NAME", help="which vectors to compare with (default: default)")
    add("--top-k", type=positive, default=10, metavar="N", help="number of hits (default: 10)")
    add("--where", metavar="FILTER", help="only chunks that match, e.g. 'year >= 2020'")
    add("--drop-copies", type=float, metavar="COSINE", help="leave out hits this near to a better one, e.g. 0.98")
    add(
        "--diversity",
        type=float,
        default=0.0,
        metavar="D",
        help="0 to 1: prefer hits unlike each other (maximal marginal relevance)",
    )
    add("--json", action="store_true", help="print the hits as JSON, with text, span, metadata and signals")


def _search(args: argparse.Namespace) -> int:
    with ThreadPoolExecutor(1) as pool:  # the model loads while the store's packages are imported
        encoder = pool.submit(_load_encoder, args) if args.mode != "text" else None
        from instructor_search.search.searcher import Searcher

        collection = open_collection(args)
        view = collection.view(args.view)
        model, loading = encoder.result() if encoder else (None, 0.0)
        searcher = Searcher(collection, model, args.view)
    instruction = resolve(args.instruction, documents_under=view.document_instruction)
    hits = searcher.search(
        args.query,
        instruction=instruction,
        where=args.where,
        top_k=args.top_k,
        offset=args.offset,
        mode=args.mode,
        dense_weight=args.dense_weight,
        reranker=_reranker(args, searcher),
        drop_copies=args.drop_copies,
        diversity=args.diversity,
        snippets=args.snippets,
    )
    if "load" in searcher.seconds:
        searcher.seconds["load"] = loading
    if searcher.num_query_tokens_cut:
        cut = searcher.num_query_tokens_cut
        print(
            f"note: {counted(cut, 'token')} of the query beyond the window of {view.max_tokens}: cut", file=sys.stderr
        )
    if args.json:
        head = {"query": args.query, "instruction": instruction, "mode": args.mode, "collection": collection.name}
        summary = {
            "view": view.name,
            "document_instruction": view.document_instruction,
            "model": view.model,
            "fingerprint": view.fingerprint,
            "seconds": searcher.seconds,
            "query_tokens_cut": searcher.num_query_tokens_cut,
        }
        print(json.dumps(head | summary | {"hits": [asdict(hit) for hit in hits]}, ensure_ascii=False))
    else:
        print(_format_search(args, searcher, instruction, hits))
    return 0


def _reranker(args: argparse.Namespace, searcher: Searcher) -> Reranker | None:
    if args.rerank is None:
        return None
    from instructor_search.search.reranking import make_reranker

    encoder = searcher.encoder if args.rerank.startswith("instruction:") else None
    return make_reranker(args.rerank, encoder, device=args.device)


def _like(args: argparse.Namespace) -> int:
    from instructor_search.search.searcher import Searcher

    searcher = Searcher(open_collection(args), view=args.view)
    hits = searcher.more_like(
        args.chunk, where=args.where, top_k=args.top_k, drop_copies=args.drop_copies, diversity=args.diversity
    )
    if args.json:
        summary = {"chunk": args.chunk, "view": searcher.view.name}
        print(json.dumps(summary | {"hits": [asdict(hit) for hit in hits]}, ensure_ascii=False))
    else:
        print("\n".join(_format_hits(hits, explain=False) or ["no hits"]))
    return 0


def _load_encoder(args: argparse.Namespace) -> tuple[InstructorEncoder, float]:
    """Return the encoder of the view, loaded, and the seconds that it took."""
    started = time.perf_counter()
    from instructor_search.store.folders import find_collection
    from instructor_search.store.manifest import read_manifest
    from instructor_search.store.view_encoder import load_view_encoder

    view = read_manifest(find_collection(args.collection, args.store)).view(args.view)
    encoder = load_view_encoder(
        view, device=args.device, runtime=args.runtime, model=args.model, allow_pickle=args.allow_pickle
    )
    encoder.load()
    return encoder, time.perf_counter() - started


def _format_search(args: argparse.Namespace, searcher: Searcher, instruction: str, hits: list[Hit]) -> str:
    asked = f"under: {instruction!r}" if instruction else "without an instruction"
    lines = [asked if args.mode != "text" else "by words (no instruction applies)"]
    if not hits:
        lines.append("no hits" + (f" (filter: {args.where})" if args.where else ""))
    lines += _format_hits(hits, explain=args.explain)
    if args.explain:
        view = searcher.view
        times = ", ".join(f"{k} {1000 * v:.1f} ms" for k, v in searcher.seconds.items())
        lines += [
            f"view {view.name}: documents under {view.document_instruction!r}, {view.dim} numbers, {view.metric}",
            f"encoder {view.model} (fingerprint {view.fingerprint}, {view.runtime}, {view.precision})",
            f"time: {times}",
        ]
    return "\n".join(lines)


def _format_hits(hits: list[Hit], *, explain: bool) -> list[str]:
    lines = []
    for hit in hits:
        place = f", page {hit.page}" if hit.page else ""
        lines.append(f"{hit.rank:>3}. {hit.score:.4f}  {hit.title}  [{hit.document_id}{place}]")
        if len(hit.heading) > 1 or (hit.heading and hit.heading[0] != hit.title):
            lines.append(f"     {' > '.join(hit.heading)}")
        lines.append(f"     {hit.snippet}")
        if explain:
            signals = ", ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in hit.signals.items())
            metadata = ", ".join(f"{k}={v}" for k, v in hit.metadata.items())
            place = f"chunk {hit.chunk_id}, characters {hit.start}-{hit.end}"
            lines += [f"     score from: {signals}", f"     {place}; {metadata}"]
    return lines
