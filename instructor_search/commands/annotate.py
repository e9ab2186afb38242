"""The command annotate: which items of a collection are worth annotating, chosen by vote-k."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructor_search.commands.parser import positive
from instructor_search.commands.prompts import pool_flags, pool_name

if TYPE_CHECKING:
    from instructor_search.in_context.annotation import Annotation
    from instructor_search.store.collection import Collection


def add_commands(commands: Any) -> None:
    """Add the command to the parser's."""
    annotate = commands.add_parser("annotate", help="choose by vote-k which items of a collection to annotate")
    pool_flags(annotate)
    add = annotate.add_argument
    add("--count", type=positive, default=100, metavar="N", help="items to choose (default: 100)")
    add("--neighbours", type=positive, default=150, metavar="K", help="of an item in the graph (default: 150)")
    add("--rho", type=int, default=10, metavar="R", help="votes are divided by it (default: 10)")
    add("--exact", action="store_true", help="compare all items with all (default: up to 20,000)")
    add("--output", type=Path, metavar="FILE", help="write the items to FILE as JSON lines, to be annotated")
    add("--json", action="store_true", help="print JSON")
    annotate.set_defaults(run=_annotate)


def _annotate(args: argparse.Namespace) -> int:
    from instructor_search.store.collection import Collection

    collection = Collection.open(pool_name(args), args.store)
    chosen = _choose(collection, args)
    items = _items(collection, chosen.ids)
    if args.output:
        args.output.write_text("".join(json.dumps(i, ensure_ascii=False) + "\n" for i in items), encoding="utf-8")
    graph = {"kind": chosen.graph.kind, "neighbours": chosen.graph.neighbours.shape[1], "recall": chosen.graph.recall}
    if args.json:
        summary = {"pool": collection.name, "num_items": chosen.num_items, "graph": graph, "seconds": chosen.seconds}
        print(json.dumps(summary | {"items": items}, ensure_ascii=False))
        return 0
    for item in items if not args.output else ():
        print(f"{item['rank']:>4}. {item['source']}  {' '.join(item['input'].split())[:90]}")
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in chosen.seconds.items())
    recall = "" if chosen.graph.kind == "exact" else f", recall {chosen.graph.recall:.3f}"
    sys.stderr.write(
        f"{len(items)} of {chosen.num_items:,} items by vote-k; {graph['neighbours']} neighbours "
        f"({graph['kind']}{recall}); {seconds}\n"
    )
    return 0


def _choose(collection: Collection, args: argparse.Namespace) -> Annotation:
    """Return what vote-k chooses; a bar on stderr shows how far it is."""
    from tqdm import tqdm

    from instructor_search.in_context.annotation import annotate

    with tqdm(unit=" items", desc="compare", file=sys.stderr, leave=False, disable=None) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done)

        exact = True if args.exact else None
        options: dict[str, Any] = {"view": args.view, "where": args.where, "k": args.neighbours, "rho": args.rho}
        return annotate(collection, args.count, **options, exact=exact, on_done=tell)


def _items(collection: Collection, ids: list[str]) -> list[dict[str, Any]]:
    """Return the items of these ids, in their order, as they are written and printed."""
    columns = ["id", "document_id", "text", "metadata"]
    parts = (ids[start : start + 1000] for start in range(0, len(ids), 1000))
    rows = {row["id"]: row for part in parts for row in collection.rows_by_id(part, columns).to_pylist()}
    items = []
    for rank, name in enumerate(ids, 1):
        row = rows[name]
        item = {"rank": rank, "id": name, "source": row["document_id"], "input": row["text"]}
        output = json.loads(row["metadata"]).get("output")
        items.append(item | ({"output": output} if output else {}))
    return items
