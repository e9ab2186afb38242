"""The commands that look into a search: compare, explain, judge, judgments, project."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructor_search.commands.flags import collection_flags, open_collection
from instructor_search.commands.parser import counted, positive
from instructor_search.instruction_rule import resolve

if TYPE_CHECKING:
    from instructor_search.search.compare import Comparison
    from instructor_search.search.explain import Explanation
    from instructor_search.search.searcher import Searcher

_COMPARE_EXAMPLES = """examples:
  python -m instructor_search compare mercury --instruction "Represent the astronomy question: " --instruction ""
  python -m instructor_search compare "battery" --view default --view reviews"""


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's."""
    _add_compare(commands)
    _add_explain(commands)
    _add_judge(commands)
    _add_project(commands)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="ask one query under several instructions or views: what enters, leaves and moves",
        description="Ask one query under several instructions or views: the hits of each side, what entered, left and "
        "moved, and the rank-biased overlap (0 to 1, p = 0.9).",
        epilog=_COMPARE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_argument("query", help="what to look for")
    collection_flags(compare)
    compare.add_argument(
        "--instruction",
        action="append",
        default=[],
        metavar="TEXT",
        help="query instruction, or @NAME of the library; give two or more, or one with several views",
    )
    compare.add_argument("--view", action="append", default=[], metavar="NAME", help="view; give one, or one a side")
    compare.add_argument("--top-k", type=positive, default=10, metavar="N", help="hits of each side (default: 10)")
    compare.add_argument("--where", metavar="FILTER", help="only chunks that match")
    compare.add_argument(
        "--mode",
        choices=("dense", "text", "hybrid"),
        default="dense",
        help="as of search; text is refused, as all sides would be the same (default: dense)",
    )
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(run=_compare)


def _hit_of_query(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name a hit and the query that found it."""
    add = parser.add_argument
    add("chunk", help="id of the hit, as search --json and --explain show it")
    add("--query", required=True, metavar="TEXT", help="what was searched for")
    collection_flags(parser)
    add("--view", metavar="NAME", help="view (default: the one called default, or the only one)")
    add("--json", action="store_true", help="print JSON")


def _add_explain(commands: Any) -> None:
    explain = commands.add_parser(
        "explain",
        help="take a hit's score apart: what each sentence and token adds to it",
        description="Take a hit's score apart, under each instruction: what each sentence (or token) adds to it. The "
        "parts sum to the score, also through a model's dense layer.",
    )
    _hit_of_query(explain)
    explain.add_argument(
        "--instruction",
        action="append",
        default=[],
        metavar="TEXT",
        help="query instruction, or @NAME; may be repeated to see another beside it (default: the view's, and none)",
    )
    explain.add_argument("--tokens", action="store_true", help="show every token, not only the sentences")
    explain.set_defaults(run=_explain)


def _add_judge(commands: Any) -> None:
    judge = commands.add_parser(
        "judge",
        help="say whether a hit is relevant to a query under an instruction",
        description="Store whether a hit is relevant to the query under the instruction, in the view; the last word "
        "counts.",
    )
    _hit_of_query(judge)
    judge.add_argument("--instruction", metavar="TEXT", help="query instruction, or @NAME (default: the view's)")
    what = judge.add_mutually_exclusive_group(required=True)
    what.add_argument("--relevant", dest="relevant", action="store_const", const=True, help="it is")
    what.add_argument("--not-relevant", dest="relevant", action="store_const", const=False, help="it is not")
    what.add_argument("--take-back", dest="relevant", action="store_const", const=None, help="forget what was said")
    judge.set_defaults(run=_judge)
    judgments = commands.add_parser("judgments", help="list the judgments of a collection, or export them")
    collection_flags(judgments)
    judgments.add_argument(
        "--medi",
        type=Path,
        metavar="FILE",
        help="write training rows (MEDI's form, JSON lines), for train --mixture FILE",
    )
    judgments.add_argument(
        "--qrels",
        type=Path,
        metavar="DIR",
        help="write an evaluation set in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/test.tsv",
    )
    judgments.add_argument("--json", action="store_true", help="print JSON")
    judgments.set_defaults(run=_judgments)


def _add_project(commands: Any) -> None:
    project = commands.add_parser(
        "project",
        help="place the chunks of a collection on a plane, under one or two views",
        description="Place every chunk of a collection on a plane, under one or two views or document instructions. "
        "The second starts from the first, so that a point keeps its place where it can. The plane is kept in the "
        "collection's folder until the collection changes.",
    )
    collection_flags(project)
    project.add_argument("--view", action="append", default=[], metavar="NAME", help="view to draw; may be given twice")
    project.add_argument(
        "--instruction",
        action="append",
        default=[],
        metavar="TEXT",
        help="document instruction to draw under without making a view (small collections); after the views",
    )
    project.add_argument("--method", choices=("tsne", "pca"), default="tsne", help="how (default: tsne)")
    project.add_argument("--output", type=Path, metavar="FILE", help="write the points as JSON lines")
    project.add_argument("--json", action="store_true", help="print JSON")
    project.set_defaults(run=_project)


def _searcher(args: argparse.Namespace, view: str | None) -> Searcher:
    from instructor_search.search.searcher import Searcher

    return Searcher(open_collection(args), view=view)


def _compare(args: argparse.Namespace) -> int:
    from instructor_search.search.compare import Side, compare

    instructions, views = list(args.instruction), list(args.view)
    count = max(len(instructions), len(views))
    for name, given in (("--instruction", instructions), ("--view", views)):
        if len(given) not in (0, 1, count):
            raise ValueError(f"{len(given)} times {name} for {count} sides; expected none, one, or one a side")
    searchers = [_searcher(args, view) for view in views or [None]]
    sides = []
    for at in range(count):
        searcher = searchers[at if len(searchers) > 1 else 0]
        named = instructions[at if len(instructions) > 1 else 0] if instructions else None
        sides.append(Side(searcher, named))
    comparison = compare(args.query, sides, top_k=args.top_k, where=args.where, mode=args.mode)
    print(json.dumps(asdict(comparison), ensure_ascii=False) if args.json else _format_comparison(comparison))
    return 0


def _format_comparison(comparison: Comparison) -> str:
    lines = []
    for at, (instruction, view, hits) in enumerate(
        zip(comparison.instructions, comparison.views, comparison.hits, strict=True)
    ):
        lines.append(f"{chr(65 + at)}: under {instruction!r}, view {view}")
        lines += [f"  {hit.rank:>3}. {hit.score:.4f}  {hit.title}  [{hit.document_id}]" for hit in hits]
    for change in comparison.differences:
        lines.append(f"{chr(65 + change.first)} -> {chr(65 + change.second)}: rank-biased overlap {change.overlap:.3f}")
        for kind in ("entered", "left", "moved", "stayed"):
            for move in getattr(change, kind):
                before, after = (rank or "beyond" for rank in (move.before, move.after))
                lines.append(f"  {kind:<8} {before} -> {after}  {move.title}  [{move.chunk_id}]")
    return "\n".join(lines)


def _explain(args: argparse.Namespace) -> int:
    from instructor_search.search.explain import explain_hit

    searcher = _searcher(args, args.view)
    default = resolve(None, documents_under=searcher.view.document_instruction)
    given = args.instruction or list(dict.fromkeys([default, ""]))
    explanations = explain_hit(searcher, args.chunk, args.query, given)
    if args.json:
        print(json.dumps([asdict(explanation) for explanation in explanations], ensure_ascii=False))
    else:
        print("\n\n".join(_format_explanation(explanation, tokens=args.tokens) for explanation in explanations))
    return 0


def _format_explanation(explanation: Explanation, *, tokens: bool) -> str:
    stored = f" ({explanation.stored_score:.4f} with the stored vector)" if explanation.stored_score is not None else ""
    lines = [f"under {explanation.instruction!r}: {explanation.score:.4f}{stored}"]
    for part in explanation.tokens if tokens else explanation.sentences:
        name = " ".join(part.text.split()) or "(ends and marks)"
        lines.append(f"  {part.contribution:+.4f}  {name}")
    return "\n".join(lines)


def _judge(args: argparse.Namespace) -> int:
    from instructor_search.store.judgments import judge, read_judgments

    collection = open_collection(args)
    view = collection.view(args.view)
    instruction = resolve(args.instruction, documents_under=view.document_instruction)
    if args.relevant is None:
        asked = (args.query, instruction, view.name, args.chunk)
        if asked not in {judgment.key for judgment in read_judgments(collection)}:
            raise ValueError(
                f"no judgment of {args.chunk!r} for this query under {instruction!r} in view {view.name}; "
                "nothing was taken back (the command judgments lists them)"
            )
    stored = judge(collection, view, args.chunk, query=args.query, instruction=instruction, relevant=args.relevant)
    said = {True: "relevant", False: "not relevant", None: "taken back"}[stored.relevant]
    print(json.dumps(asdict(stored), ensure_ascii=False) if args.json else f"{stored.chunk_id}: {said}")
    return 0


def _judgments(args: argparse.Namespace) -> int:
    from instructor_search.store.judgments import export_medi, export_qrels, read_judgments

    judgments = read_judgments(open_collection(args))
    if args.medi:
        print(f"{counted(export_medi(judgments, args.medi), 'training row')}: {args.medi}")
    if args.qrels:
        print(f"{counted(export_qrels(judgments, args.qrels), 'judgment')}: {args.qrels}")
    if args.json:
        print(json.dumps([asdict(judgment) for judgment in judgments], ensure_ascii=False))
    elif not (args.medi or args.qrels):
        for one in judgments:
            kind = "relevant    " if one.relevant else "not relevant"
            print(f"{kind}  {one.query!r} under {one.instruction!r} in {one.view}: {one.document_id} [{one.chunk_id}]")
        print(counted(len(judgments), "judgment"))
    return 0


def _project(args: argparse.Namespace) -> int:
    from instructor_search.search.projection import project

    projection = project(open_collection(args), views=args.view, instructions=args.instruction, method=args.method)
    rows = [
        {"chunk_id": name, "points": [layout.points[at].round(4).tolist() for layout in projection.layouts]}
        for at, name in enumerate(projection.chunk_ids)
    ]
    if args.output:
        args.output.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    labels = [layout.label for layout in projection.layouts]
    summary = {
        "labels": labels,
        "method": projection.method,
        "chunks": len(rows),
        "seconds": round(projection.seconds, 3),
        "from_cache": projection.from_cache,
    }
    if args.json:
        print(json.dumps(summary if args.output else {**summary, "rows": rows}))
    else:
        kept = "from the cache" if projection.from_cache else f"in {projection.seconds:.1f} s"
        print(f"{counted(len(rows), 'chunk')} by {projection.method} under {' and '.join(labels)}, {kept}")
    return 0
