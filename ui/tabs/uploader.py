"""A field for files and folders; its value is the id of what was sent (``ui/uploads.py``), never a path."""

from __future__ import annotations

import gradio as gr

from ui.session import Session
from ui.theme import script

_TEMPLATE = """<div class="uploader" data-megabytes="{megabytes}" role="group" aria-label="{label}">
<p class="uploader-label">{label} (up to {megabytes} MiB each)</p>
<div class="drop"><span>Drop {what} here, or</span>
<button class="act" type="button" data-choose="files">Choose {files}</button>{folder}</div>
<input class="files" type="file"{multiple} hidden aria-label="{label}">{folder_input}
<p class="uploader-said" role="status"></p><ul class="staged"></ul><ul class="uploader-left"></ul></div>"""
_FOLDER = '<button class="act" type="button" data-choose="folder">Choose a folder</button>'
_FOLDER_INPUT = '<input class="folder" type="file" webkitdirectory multiple hidden aria-label="A folder">'


def uploader(elem_id: str, label: str, session: Session, *, several: bool = True) -> gr.HTML:
    """Return the field. ``several``: files and folders; else one file."""
    template = _TEMPLATE.format(
        megabytes=session.limits.upload_bytes >> 20,
        label=label,
        what="files or folders" if several else "a file",
        files="files" if several else "a file",
        folder=_FOLDER if several else "",
        multiple=" multiple" if several else "",
        folder_input=_FOLDER_INPUT if several else "",
    )
    return gr.HTML("", elem_id=elem_id, html_template=template, js_on_load=script("uploader"))
