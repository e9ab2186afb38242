"""The command annotate: which items of a collection are worth annotating, chosen by vote-k."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from instructor_search.commands.parser import positive
from instructor_search.commands.prompts import pool_flags, pool_name


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
    from tqdm import tqdm

    from instructor_search.in_context.annotation import annotate
    from instructor_search.store.collection import Collection

    collection = Collection.open(pool_name(args), args.store)
    with tqdm(unit=" items", desc="compare", file=sys.stderr, leave=False, disable=None) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done)

        found = annotate(
            collection,
            args.count,
            view=args.view,
            where=args.where,
            k=args.neighbours,
            rho=args.rho,
            exact=True if args.exact else None,
            on_done=tell,
        )
    rows = {
        r["id"]: r
        for start in range(0, len(found.ids), 1000)
        for r in collection.rows_by_id(
            found.ids[start : start + 1000], ["id", "document_id", "text", "metadata"]
        ).to_pylist()
    }
    items = [
        {
            "rank": rank,
            "id": i,
            "source": rows[i]["document_id"],
            "input": rows[i]["text"],
            **({"output": out} if (out := json.loads(rows[i]["metadata"]).get("output")) else {}),
        }
        for rank, i in enumerate(found.ids, 1)
    ]
    graph = {"kind": found.graph.kind, "neighbours": found.graph.neighbours.shape[1], "recall": found.graph.recall}
    if args.output:
        args.output.write_text("".join(json.dumps(i, ensure_ascii=False) + "\n" for i in items), encoding="utf-8")
    if args.json:
        print(
            json.dumps(
                {
                    "pool": collection.name,
                    "num_items": found.num_items,
                    "graph": graph,
                    "seconds": found.seconds,
                    "items": items,
                },
                ensure_ascii=False,
            )
        )
        return 0
    for item in items if not args.output else ():
        print(f"{item['rank']:>4}. {item['source']}  {' '.join(item['input'].split())[:90]}")
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in found.seconds.items())
    recall = "" if found.graph.kind == "exact" else f", recall {found.graph.recall:.3f}"
    sys.stderr.write(
        f"{len(items)} of {found.num_items:,} items by vote-k; {graph['neighbours']} neighbours "
        f"({graph['kind']}{recall}); {seconds}\n"
    )
    return 0
