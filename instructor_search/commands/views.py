"""The command views: the instructions and encoders of a collection, and its metadata fields."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from instructor_search.commands.flags import collection_flags, open_collection
from instructor_search.commands.parser import counted


def add_commands(commands: Any) -> None:
    """Add the command to the parser's."""
    views = commands.add_parser(
        "views", help="list the views of a collection (instruction and encoder), and its metadata fields"
    )
    collection_flags(views)
    views.add_argument("--json", action="store_true", help="print JSON")
    views.set_defaults(run=_views)


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
