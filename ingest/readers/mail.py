"""E-mail messages: subject, header fields as metadata, the body as text."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_binary_file, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from ingest.readers.formats import ReadOptions, mime_type
from ingest.readers.html import html_blocks
from ingest.readers.text import group_lines
from instructor_search.errors import ReaderError
from instructor_search.records import Block, Document


def read_mail(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield one document: the plain body, or the text of the HTML one; attachments are named, not read."""
    with path.open("rb") as stream:
        message = message_from_binary_file(stream, policy=policy.default)
    if not message.keys():
        raise ReaderError("no mail header")
    subject = str(message["subject"] or path.name)
    yield Document(source, source, subject, mime_type(path), _blocks(message, subject), _metadata(message))


def _metadata(message: EmailMessage) -> dict[str, Any]:
    metadata: dict[str, Any] = {k: str(message[k]) for k in ("from", "to", "cc") if message[k]}
    if message["date"]:
        try:
            metadata["date"] = parsedate_to_datetime(str(message["date"])).isoformat()
        except ValueError:
            metadata["date"] = str(message["date"])
    names = [part.get_filename() for part in message.iter_attachments() if part.get_filename()]
    return metadata | ({"attachments": ", ".join(map(str, names))} if names else {})


def _blocks(message: EmailMessage, subject: str) -> Iterator[Block]:
    yield Block(f"{subject}\n\n", (subject,))
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return
    try:
        text = body.get_content()
    except LookupError:  # an unknown charset
        text = (body.get_payload(decode=True) or b"").decode("utf-8", "replace")  # type: ignore[union-attr]
    if body.get_content_type() == "text/html":
        for block in html_blocks(text)[1]:
            yield Block(block.text, (subject, *block.heading))
    else:
        for part in group_lines(text.splitlines(keepends=True)):
            yield Block(part, (subject,))
