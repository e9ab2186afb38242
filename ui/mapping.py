"""The map's data: points of a projection, what each is called, and a colour by metadata or cluster."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from instructor_search.commands.parser import counted
from instructor_search.search.projection import MAX_EMBEDDED, Projection, kept_projection, project
from instructor_search.store.schema import FILTER_FIELDS
from ui.asking import AppError, check_length
from ui.job import Job
from ui.session import Session

CLUSTERS = "cluster"
AT_ONCE = 3_000  # chunks that are laid out while the page waits; more are laid out by a job
MAX_COLOURS = 9
# Told apart by most kinds of eyes (Okabe and Ito's colours, and two more); the last is for all the rest.
COLOURS = ("#0f766e", "#e69f00", "#56b4e9", "#cc79a7", "#d55e00", "#0072b2", "#8a6bbf", "#6b8e23", "#b5651d", "#94a3ab")
_COLUMNS = ["id", "title", "source", "mime", "metadata"]


def colour_fields(session: Session, collection: str | None) -> list[str]:
    """Return what points may be coloured by."""
    if not collection:
        return [CLUSTERS]
    return [CLUSTERS, "folder", "mime", "source", *session.library.manifest(collection).fields]


def lay_out(
    session: Session, collection: str, views: Sequence[str], instructions: Sequence[str], method: str
) -> Projection | Job:
    """Return the projection, or the job that makes it, where it is neither kept nor quick to make.

    Raises:
        InstructorSearchError, ValueError: it cannot be drawn; the message says why.
    """
    for instruction in instructions:
        check_length("instruction", instruction, session.limits.instruction_characters)
    opened = session.library.collection(collection)
    kept = kept_projection(opened, views=views, instructions=instructions, method=method)
    if kept is not None:
        return kept
    count = opened.num_chunks()
    if count <= AT_ONCE or (method == "pca" and not instructions):
        return project(
            opened,
            views=views,
            instructions=instructions,
            method=method,
            encoder=session.library.encoder,
            keep=not session.config.read_only,
        )
    if instructions and count > MAX_EMBEDDED:
        raise AppError(f"{count:,} chunks are too many to embed for a map; make a view of this instruction first")
    settings = {
        "collection": collection,
        "method": method,
        "store": session.config.store,
        "view": list(views),
        "instruction": list(instructions),
    }
    title = f"{collection}: map of {counted(count, 'chunk')}"
    running = [job for job in session.jobs.running() if job.title == title]
    return running[0] if running else session.jobs.start(title, collection, "instructor_search project", settings)


def payload(session: Session, collection: str, found: Projection, colour: str) -> str:
    """Return what the page draws, as JSON; numbers are packed."""
    rows = _rows(session, collection)
    chunk_rows = [rows.get(name, {}) for name in found.chunk_ids]
    values = _clusters(found.layouts[0].points) if colour == CLUSTERS else [_value(row, colour) for row in chunk_rows]
    counts = Counter(values)
    names = [name for name, _ in counts.most_common(MAX_COLOURS)]
    rest = len(counts) > len(names)
    number = {name: at for at, name in enumerate(names)}
    key = np.array([number.get(value, len(names)) for value in values], np.uint8)
    keys = [{"name": name, "colour": COLOURS[at], "count": counts[name]} for at, name in enumerate(names)]
    if rest:
        known = sum(counts[name] for name in names)
        keys.append({"name": "others", "colour": COLOURS[-1], "count": len(values) - known})
    shown = [COLOURS[at] for at in range(len(names))] + ([COLOURS[-1]] if rest else [])
    table = np.array([[*bytes.fromhex(colour[1:]), 215] for colour in shown], np.uint8)
    titles = [row.get("title", "") for row in chunk_rows]
    unique = {title: at for at, title in enumerate(dict.fromkeys(titles))}
    return json.dumps(
        {
            "collection": collection,
            "ids": found.chunk_ids,
            "titles": [title[:90] for title in unique],
            "title": [unique[title] for title in titles],
            "key": key.tolist(),
            "keys": keys,
            "paint": _packed(table[key]),
            "layouts": [{"label": layout.label, "points": _packed(layout.points)} for layout in found.layouts],
        }
    )


def _rows(session: Session, collection: str) -> dict[str, dict[str, Any]]:
    opened = session.library.collection(collection)
    query = opened.chunks.search().select(_COLUMNS).limit(max(opened.num_chunks(), 1))
    return {row["id"]: row for row in opened.fetch(query)}


def _value(row: dict[str, Any], field: str) -> str:
    if field == "folder":
        return row.get("source", "").rpartition("/")[0] or "."
    if field in FILTER_FIELDS:
        return str(row.get(field) or "none")
    metadata = json.loads(row["metadata"]) if row.get("metadata") else {}
    value = metadata.get(field)
    return "none" if value in (None, "") else str(value)[:60]


def _clusters(points: np.ndarray) -> list[str]:
    """Return a cluster of each point of the first plane (k-means)."""
    from sklearn.cluster import MiniBatchKMeans

    count = min(8, len(points))
    labels = MiniBatchKMeans(n_clusters=count, n_init=3, random_state=0).fit_predict(points)
    order = {old: new for new, (old, _) in enumerate(Counter(labels.tolist()).most_common(), 1)}
    return [f"cluster {order[label]}" for label in labels.tolist()]


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
