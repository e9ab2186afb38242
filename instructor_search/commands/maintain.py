"""The commands that keep collections and models in shape: index, maintain, verify, export."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructor_search.commands.flags import PICKLE_HELP, collection_flags, open_collection
from instructor_search.commands.parser import GPU_SPREADS, counted

if TYPE_CHECKING:
    from instructor_search.store.manifest import View

_INDEX_EXAMPLES = """examples:
  python -m instructor_search index                                      # as maintenance would, measured
  python -m instructor_search index --kind hnsw-sq8 --target-recall 0.99
  python -m instructor_search index --queries questions.txt --instruction "Represent the question: " """


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's."""
    _add_export(commands)
    _add_index(commands)
    verify = commands.add_parser(
        "verify",
        help="check texts, vectors and keys of a collection against their checksums",
        description="Compare every text and vector of a collection with its checksum, its keys and its counts. The "
        "exit code is 1 if something is wrong.",
    )
    collection_flags(verify)
    verify.add_argument("--json", action="store_true", help="print JSON")
    verify.set_defaults(run=_verify)


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="calibrate a model and write its int8 graph",
        description="Calibrate a model and write its int8 graph; into the folder MODEL/openvino-int8 it travels "
        "with the model.",
    )
    export.add_argument("--model", metavar="MODEL", help="model folder or hub id (default: instructor-minilm)")
    export.add_argument("--texts", metavar="FILE", help="passages to calibrate with, one a line (default: built in)")
    export.add_argument("--output", metavar="DIR", help="folder to write (default: where ingest and search look)")
    export.add_argument("--overwrite", action="store_true", help="make it again")
    export.add_argument("--allow-pickle", action="store_true", help=PICKLE_HELP)
    export.add_argument("--json", action="store_true", help="print JSON")
    export.set_defaults(run=_export)


def _add_index(commands: Any) -> None:
    index = commands.add_parser(
        "index",
        help="make the vector index of a view, and measure its recall and time",
        epilog=_INDEX_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    collection_flags(index)
    index.add_argument("--view", metavar="NAME", help="view (default: the one called default, or the only one)")
    index.add_argument(
        "--kind",
        metavar="KIND",
        default="auto",
        help="auto (by size and memory), exact, flat, ivf-pq, "
        "ivf-rabitq, hnsw-sq8, lance-hnsw-sq or lance-ivf-rq (default: auto)",
    )
    index.add_argument(
        "--target-recall",
        type=float,
        default=0.95,
        metavar="R",
        help="recall@10 to reach, against exact search (default: 0.95)",
    )
    index.add_argument(
        "--queries", metavar="FILE", help="queries to measure with, one a line (default: the view's own vectors)"
    )
    index.add_argument("--instruction", metavar="TEXT", help="of the queries, or @NAME (default: the view's)")
    index.add_argument(
        "--gpus",
        choices=GPU_SPREADS,
        default="none",
        help="measure it on NVIDIA GPUs, each with all vectors or a part (extra faiss-gpu; default: none)",
    )
    index.add_argument("--json", action="store_true", help="print JSON")
    index.set_defaults(run=_index)
    maintain = commands.add_parser(
        "maintain",
        help="compact a collection and bring its indexes up to date",
        description="Compact a collection and bring its indexes up to date, as the end of every ingest does.",
    )
    collection_flags(maintain)
    maintain.add_argument("--json", action="store_true", help="print JSON")
    maintain.set_defaults(run=_maintain)


def _export(args: argparse.Namespace) -> int:
    from instructor_search.encoder import load_encoder
    from instructor_search.encoder.runtimes.openvino_runtime.cache import export, kept_folder

    encoder = load_encoder(args.model, runtime="openvino", precision="int8", allow_pickle=args.allow_pickle)
    passages = None
    if args.texts:
        passages = [line for line in Path(args.texts).read_text(encoding="utf-8").splitlines() if line.strip()]
        if len(passages) < 50:
            raise ValueError(f"{args.texts} has {len(passages)} passages; expected at least 50, one a line")
    folder = Path(args.output) if args.output else kept_folder(encoder)
    report = export(encoder, folder, passages=passages, overwrite=args.overwrite)
    if args.json:
        print(json.dumps(report | {"folder": str(folder)}))
        return 0
    print(f"{report['model']} in int8: {folder}")
    print(
        f"cosine to fp32 on {report['held_out_texts']} texts that were not calibrated with: "
        f"mean {report['mean_cosine_to_fp32']:.5f}, least {report['least_cosine_to_fp32']:.5f} ({report['seconds']} s)"
    )
    if not report["int8_products"]:
        print("this CPU has no int8 dot products (VNNI): this cosine is too low, and precision int8 is float32 here")
    return 0


def _index(args: argparse.Namespace) -> int:
    from instructor_search.store.indexes.policy import IndexConfig

    config = IndexConfig(args.kind, args.target_recall)
    collection = open_collection(args)
    view = collection.view(args.view)
    from instructor_search.search.index_report import make_index

    report = make_index(collection, view, config, queries=_query_vectors(args, view), gpus=args.gpus)
    if args.json:
        print(json.dumps(asdict(report)))
        return 0
    print(
        f"{collection.name}, view {view.name}: {report.kind} ({report.asked}) over {counted(report.vectors, 'vector')}"
    )
    print(f"recall@10 {report.recall:.3f} (target {report.target_recall}), measured with {report.queries}")
    print(
        f"one search {report.p50:.2f} ms, p95 {report.p95:.2f} ms, rows included; built in "
        f"{report.build_seconds:.1f} s, {report.size / 1e6:.1f} MB"
    )
    if report.recall < report.target_recall:
        sys.stderr.write("the target was not reached: choose another --kind, or exact\n")
    return 0


def _query_vectors(args: argparse.Namespace, view: View) -> Any:
    if args.queries is None:
        return None
    from instructor_search.instruction_rule import resolve
    from instructor_search.instructions import InstructedText
    from instructor_search.store.view_encoder import load_view_encoder

    lines = [line for line in Path(args.queries).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{args.queries} has no queries; expected one a line")
    instruction = resolve(args.instruction, documents_under=view.document_instruction)
    return load_view_encoder(view).encode([InstructedText(instruction, line) for line in lines])


def _maintain(args: argparse.Namespace) -> int:
    from instructor_search.store import maintenance

    collection = open_collection(args)
    with collection.writing():
        lines = maintenance.maintain(collection)
    if args.json:
        print(json.dumps({"collection": collection.name, "made": lines}))
    else:
        print("\n".join([f"{collection.name}: compacted, its indexes are up to date", *lines]))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from instructor_search.store.verify import verify

    report = verify(open_collection(args))
    if args.json:
        print(json.dumps(asdict(report) | {"sound": report.sound}))
    else:
        print(f"{report.collection}: {counted(report.chunks, 'chunk')} of {counted(report.sources, 'file')} looked at")
        for note in report.notes:
            print(f"note: {note}")
        for problem in report.problems:
            print(f"problem: {problem}")
        print(
            "sound" if report.sound else "damaged: delete the affected files' chunks (delete --where) and ingest again"
        )
    return 0 if report.sound else 1
