"""The command line of the library: search, and a look at what is stored. Heavy packages load inside the commands."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from instructor_search.commands.inspect import add_inquiry
from instructor_search.commands.maintain import add_upkeep, common_flags, open_collection
from instructor_search.commands.parser import RUNTIMES, Parser, counted, failing_with_one_line, positive
from instructor_search.commands.prompts import add_prompting
from instructor_search.errors import CollectionNotFoundError, StoreError
from instructor_search.instruction_library import LIBRARY, query_instruction_for, resolve_instruction
from instructor_search.instructions import Instruction

if TYPE_CHECKING:
    from instructor_search.encoder.inference import InstructorEncoder
    from instructor_search.records import Hit
    from instructor_search.search.reranking import Reranker
    from instructor_search.search.searcher import Searcher

_SEARCH_EXAMPLES = """examples:
  python -m instructor_search search "bad headphones" --instruction "Represent the question for retrieving reviews: "
  python -m instructor_search search "battery" --mode hybrid --where 'stars <= 2 and source contains "reviews"'
  python -m instructor_search search "battery" --instruction @reviews-by-product --view reviews --json

filters: FIELD = != < <= > >= VALUE, FIELD in (A, B), FIELD contains TEXT, FIELD exists; and, or, not, ( )
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m instructor_search``."""
    parser = Parser(
        prog="python -m instructor_search",
        description="Search collections of documents under an instruction. Collections are made by: python -m ingest",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _add_search(commands)
    _add_like(commands)

    collections = commands.add_parser("collections", help="list the collections of a store")
    collections.add_argument("--store", metavar="DIR", help="folder of all collections")
    collections.add_argument("--json", action="store_true", help="print JSON")
    collections.set_defaults(run=_collections)

    views = commands.add_parser("views", help="list the views of a collection: its instructions and encoders")
    common_flags(views)
    views.add_argument("--json", action="store_true", help="print JSON")
    views.set_defaults(run=_views)

    library = commands.add_parser("instructions", help="list the named instructions, or take a sentence apart")
    library.add_argument("words", nargs="*", metavar="WORD", help="only those that have all these words")
    library.add_argument("--parse", metavar="TEXT", help="show the slots of an instruction")
    library.add_argument("--json", action="store_true", help="print JSON")
    library.set_defaults(run=_instructions)

    delete = commands.add_parser("delete", help="delete a collection, one of its views, or some of its chunks")
    common_flags(delete)
    what = delete.add_mutually_exclusive_group()
    what.add_argument("--view", metavar="NAME", help="delete only this view and its vectors")
    what.add_argument("--where", metavar="FILTER", help="delete only the chunks that match")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.set_defaults(run=_delete)

    add_inquiry(commands)
    add_prompting(commands)
    add_upkeep(commands)
    return parser


def _add_search(commands: Any) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    search = commands.add_parser("search", help="search a collection", epilog=_SEARCH_EXAMPLES, formatter_class=raw)
    search.add_argument("query", help="what to look for")
    search.add_argument("--instruction", metavar="TEXT", help="query instruction, or @NAME of the library")
    _hit_flags(search)
    search.add_argument("--mode", choices=("dense", "text", "hybrid"), default="dense", help="default: dense")
    search.add_argument(
        "--offset", type=int, default=0, metavar="N", help="hits to leave out at the top: the next page"
    )
    search.add_argument("--dense-weight", type=float, metavar="W", help="hybrid: weigh scores, 0 (words) to 1 "
                        "(vectors), instead of ranks")  # fmt: skip
    search.add_argument("--rerank", metavar="HOW", help="score anew: 'instruction:SENTENCE', or a cross-encoder")
    search.add_argument("--snippets", choices=("words", "meaning", "none"), default="words",
                        help="what the sentence shown has in common with the query (default: words)")  # fmt: skip
    search.add_argument("--model", metavar="MODEL", help="encoder to use; refused unless it made the view")
    search.add_argument("--device", metavar="NAME", help="torch's: cpu, cuda, mps (default: the best that is there)")
    search.add_argument("--runtime", choices=RUNTIMES, help="default: torch on a GPU, else openvino")
    search.add_argument("--allow-pickle", action="store_true", help="let --model load pytorch_model.bin")
    search.add_argument("--explain", action="store_true", help="show where each score comes from, and the time taken")
    search.set_defaults(run=_search)


def _add_like(commands: Any) -> None:
    like = commands.add_parser("like", help="find the chunks most like one that was found")
    like.add_argument("chunk", help="its id, as search --json and --explain show it")
    _hit_flags(like)
    like.set_defaults(run=_like)


def _hit_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the commands that print hits."""
    add = parser.add_argument
    common_flags(parser)
    add("--view", metavar="NAME", help="which vectors to compare with (default: default)")
    add("--top-k", type=positive, default=10, metavar="N", help="number of hits (default: 10)")
    add("--where", metavar="FILTER", help="only chunks that match, e.g. 'year >= 2020'")
    add("--drop-copies", type=float, metavar="COSINE", help="leave out hits this near to a better one")
    add("--diversity", type=float, default=0.0, metavar="D", help="0 to 1: prefer hits unlike each other")
    add("--json", action="store_true", help="print the hits as JSON")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = build_parser().parse_args(argv)
    with failing_with_one_line() as outcome:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    return outcome.code


def _search(args: argparse.Namespace) -> int:
    with ThreadPoolExecutor(1) as pool:  # the model loads while the store's packages are imported
        encoder = pool.submit(_load_encoder, args) if args.mode != "text" else None
        from instructor_search.search.searcher import Searcher

        collection = open_collection(args)
        view = collection.view(args.view)
        model, loading = encoder.result() if encoder else (None, 0.0)
        searcher = Searcher(collection, model, args.view)
    instruction = (
        resolve_instruction(args.instruction, "query")
        if args.instruction is not None
        else query_instruction_for(view.document_instruction)
    )
    hits = searcher.search(
        args.query, instruction=instruction, where=args.where, top_k=args.top_k, offset=args.offset, mode=args.mode,
        dense_weight=args.dense_weight, reranker=_reranker(args, searcher), drop_copies=args.drop_copies,
        diversity=args.diversity, snippets=args.snippets,
    )  # fmt: skip
    if "load" in searcher.seconds:
        searcher.seconds["load"] = loading
    if searcher.num_query_tokens_cut:
        cut = searcher.num_query_tokens_cut
        print(
            f"note: {counted(cut, 'token')} of the query beyond the window of {view.max_tokens}: cut", file=sys.stderr
        )
    if args.json:
        head = {"query": args.query, "instruction": instruction, "mode": args.mode, "collection": collection.name}
        facts = {"view": view.name, "document_instruction": view.document_instruction, "model": view.model,
                 "fingerprint": view.fingerprint, "seconds": searcher.seconds,
                 "query_tokens_cut": searcher.num_query_tokens_cut}  # fmt: skip
        print(json.dumps(head | facts | {"hits": [asdict(hit) for hit in hits]}, ensure_ascii=False))
    else:
        print(_format_search(args, searcher, instruction, hits))
    return 0


def _reranker(args: argparse.Namespace, searcher: Searcher) -> Reranker | None:
    if args.rerank is None:
        return None
    from instructor_search.search.reranking import make_reranker

    own = searcher.encoder if args.rerank.startswith("instruction:") else None
    return make_reranker(args.rerank, own, device=args.device)


def _like(args: argparse.Namespace) -> int:
    from instructor_search.search.searcher import Searcher

    searcher = Searcher(open_collection(args), view=args.view)
    hits = searcher.more_like(
        args.chunk, where=args.where, top_k=args.top_k, drop_copies=args.drop_copies, diversity=args.diversity
    )
    if args.json:
        facts = {"chunk": args.chunk, "view": searcher.view.name}
        print(json.dumps(facts | {"hits": [asdict(hit) for hit in hits]}, ensure_ascii=False))
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
            facts = ", ".join(f"{k}={v}" for k, v in hit.metadata.items())
            place = f"chunk {hit.chunk_id}, characters {hit.start}-{hit.end}"
            lines += [f"     score from: {signals}", f"     {place}; {facts}"]
    return lines


def _collections(args: argparse.Namespace) -> int:
    from instructor_search.store.collection import Collection
    from instructor_search.store.folders import list_collections, store_folder

    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    for name in list_collections(args.store):
        try:
            collection = Collection.open(name, args.store)
        except StoreError as error:
            broken.append(str(error))
            continue
        rows.append(
            {
                "name": name,
                "sources": collection.sources_table.count_rows(),
                "chunks": collection.num_chunks(),
                "views": list(collection.manifest.views),
                "created": collection.manifest.created,
            }
        )
    if args.json:
        print(json.dumps({"store": str(store_folder(args.store)), "collections": rows, "damaged": broken}))
    elif not rows and not broken:
        print(f"no collections in {store_folder(args.store)}; make one: python -m ingest FOLDER --instruction")
    else:
        for row in rows:
            print(
                f"{row['name']}: {counted(row['sources'], 'file')}, {counted(row['chunks'], 'chunk')}, "
                f"views: {', '.join(row['views'])}"
            )
    for line in broken:
        print(f"error: {line}", file=sys.stderr)
    return 1 if broken else 0


def _views(args: argparse.Namespace) -> int:
    collection = open_collection(args)
    rows = []
    for view in collection.manifest.views.values():
        missing = collection.missing_vectors(view)
        rows.append(asdict(view) | {"vectors": collection.num_chunks() - missing, "missing": missing})
    if args.json:
        print(json.dumps({"collection": collection.name, "fields": collection.manifest.fields, "views": rows}))
        return 0
    for row in rows:
        lacking = f", {row['missing']:,} missing" if row["missing"] else ""
        print(f"{row['name']}: {row['document_instruction']!r}")
        made_by = f"{row['model']} (fingerprint {row['fingerprint']})"
        print(f"    {counted(row['vectors'], 'vector')} of {row['dim']}{lacking}; {made_by}")
    fields = ", ".join(f"{name} ({kind})" for name, kind in collection.manifest.fields.items())
    print(f"metadata fields for --where: {fields or 'none'}")
    return 0


def _instructions(args: argparse.Namespace) -> int:
    if args.parse is not None:
        found = Instruction.parse(args.parse)
        slots = {"domain": found.domain, "text_type": found.text_type, "task_objective": found.task_objective}
        if args.json:
            print(json.dumps({"text": found.text, "is_template": found.is_template, **slots}))
        elif not found.is_template:
            print("free text: it does not follow 'Represent the (domain) (text type) for (task objective): '")
        else:
            print("\n".join(f"{name}: {value or '-'}" for name, value in slots.items()))
        return 0
    wanted = [word.lower() for word in args.words]
    pairs = [p for p in LIBRARY if all(w in " ".join(p).lower() for w in wanted)]
    if args.json:
        print(json.dumps([p._asdict() for p in pairs]))
        return 0
    for pair in pairs:
        print(f"{pair.name}: {pair.use}")
        if pair.symmetric:
            print(f"    both sides: {pair.query!r}")
        else:
            print(f"    query:      {pair.query!r}\n    document:   {pair.document!r}")
    print(
        counted(len(pairs), "instruction")
        + (f" with {' '.join(wanted)!r}" if wanted else "; use one by --instruction @NAME")
    )
    return 0


def _delete(args: argparse.Namespace) -> int:
    for flag, given in (("--view", args.view), ("--where", args.where)):
        if given is not None and not given.strip():
            raise ValueError(f"{flag} is {given!r}; expected what to delete; without {flag} the whole collection goes")
    is_whole = args.view is None and args.where is None
    try:
        collection = open_collection(args)
    except StoreError as error:
        if isinstance(error, CollectionNotFoundError) or not is_whole or not args.collection:
            raise
        return _delete_damaged(args, error)
    from instructor_search.search.filters import compile_filter

    where = compile_filter(args.where, collection.manifest.fields) if args.where is not None else None
    if args.view is not None:
        what = f"view {collection.view(args.view).name!r} of {collection.name!r}"
    elif where is not None:
        what = f"{counted(collection.num_chunks(where), 'chunk')} of {collection.name!r} where {args.where}"
    else:
        what = f"collection {collection.name!r} with {counted(collection.num_chunks(), 'chunk')}"
    _confirm(what, args.yes)
    if is_whole:
        collection.drop()
    else:
        with collection.writing():
            if args.view is not None:
                collection.drop_view(args.view)
            elif where is not None:
                collection.delete_where(where)
    print(f"deleted {what}")
    return 0


def _delete_damaged(args: argparse.Namespace, error: StoreError) -> int:
    import shutil

    from instructor_search.store.folders import store_folder

    folder = store_folder(args.store) / args.collection
    print(f"damaged: {error}", file=sys.stderr)
    _confirm(f"the damaged collection in {folder}", args.yes)
    shutil.rmtree(folder)
    print(f"deleted {folder}")
    return 0


def _confirm(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise StoreError(f"would delete {what}; pass --yes to do it")
    if input(f"delete {what}? [y/N] ").strip().lower() not in ("y", "yes"):
        raise StoreError("nothing was deleted")
