"""python -m ui.app: the application in the browser. Parse, build, run, close."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from instructor_search.commands.flags import STORE_HELP
from instructor_search.commands.parser import GPU_SPREADS, Parser, failing_with_one_line, positive
from ui.config import AppConfig

_EXAMPLES = """examples:
  python -m ui.app
  python -m ui.app --port 8080 --collection papers --read-only
  python -m ui.app --host 0.0.0.0 --auth users.txt --allow-host search.example.org
  python -m ui.app --mcp

INSTRUCTOR_SEARCH_STORE names the folder of all collections, as for the other commands."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m ui.app``."""
    parser = Parser(
        prog="python -m ui.app",
        description="Search, compare and manage collections in the browser. On the first start a collection is made "
        "from corpus/.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for add_group in (_add_address, _add_collections, _add_people, _add_ways_in, _add_files, _add_language_models):
        add_group(parser.add_argument)
    return parser


def _add_address(add: Callable[..., Any]) -> None:
    """Add where the application listens."""
    add(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1: this machine)"
    )
    add("--port", type=int, default=7860, metavar="N", help="port; 0: any that is free (default: 7860)")


def _add_collections(add: Callable[..., Any]) -> None:
    """Add what is searched, and by which model."""
    add("--collection", metavar="NAME", help="collection to show first, and that programs ask that name none")
    add("--store", metavar="DIR", help=STORE_HELP)
    add("--model", metavar="MODEL", help="model folder or hub id, of new collections and for the views that it made")
    add(
        "--gpus",
        choices=GPU_SPREADS,
        default="none",
        help="let NVIDIA GPUs search, each with all vectors or a part (extra faiss-gpu; default: none)",
    )


def _add_people(add: Callable[..., Any]) -> None:
    """Add who may come in, and whether they may change anything."""
    add(
        "--auth",
        type=Path,
        metavar="FILE",
        help="ask for a name and password: a file of lines NAME:PASSWORD, readable by you alone (chmod 600)",
    )
    add(
        "--no-auth",
        action="store_true",
        help="let everybody in who can reach a --host that is not this machine's "
        "own; without it and without --auth such a start is refused",
    )
    add(
        "--read-only",
        action="store_true",
        help="search and look only: no ingest, no judgment, no deletion, no evaluation",
    )


def _add_ways_in(add: Callable[..., Any]) -> None:
    """Add under which names it is reached, and through which proxy."""
    add("--root-path", default="", metavar="PATH", help="path under which a proxy shows the application, e.g. /search")
    add(
        "--allow-host",
        action="append",
        default=[],
        dest="allow_hosts",
        metavar="NAME",
        help="name or address under which it is reached, beside localhost and --host; may be repeated",
    )
    add(
        "--allow-origin",
        action="append",
        default=[],
        dest="allow_origins",
        metavar="ORIGIN",
        help="another site whose pages may ask, e.g. https://search.example.org; may be repeated",
    )
    add(
        "--trust-proxy",
        action="store_true",
        help="believe X-Forwarded-Host, -Proto and -For: every request comes through a proxy that sets them itself",
    )


def _add_files(add: Callable[..., Any]) -> None:
    """Add which files it takes and shows."""
    add(
        "--upload-quota",
        type=positive,
        default=2_048,
        metavar="MIB",
        help="what all uploaded files together may have (default: 2048)",
    )
    add(
        "--allow-folder",
        action="append",
        default=[],
        type=Path,
        dest="allow_folders",
        metavar="DIR",
        help="folder of this machine that may be ingested from the page; may be repeated",
    )
    add("--runs", default=Path("runs"), type=Path, metavar="DIR", help="results of python -m eval (default: runs)")


def _add_language_models(add: Callable[..., Any]) -> None:
    """Add the language model that prompts are sent to, and the tools for other models."""
    add("--llm", metavar="FOLDER", help="local causal language model that prompts may be sent to")
    add(
        "--llm-endpoint",
        metavar="URL",
        help="OpenAI-compatible endpoint that prompts may be sent to; its key comes from OPENAI_API_KEY",
    )
    add("--llm-model", metavar="NAME", help="model of the endpoint")
    add("--llm-tokenizer", type=Path, metavar="FILE", help="tokenizer.json of that model: prompts are counted with it")
    add("--mcp", action="store_true", help="also serve the tools for language models (MCP) at /gradio_api/mcp/")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the application until Ctrl-C and return the exit code."""
    args = build_parser().parse_args(argv)
    with failing_with_one_line() as outcome:
        try:
            given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in vars(args).items()}
            config = AppConfig(**given)
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        # Before anything of these packages is imported: nothing is sent anywhere.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
        from ui.server import serve

        serve(config, say=lambda line: print(line, flush=True))
    return outcome.code


if __name__ == "__main__":
    exit_code = main()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    # All is closed. A thread that is still loading a model must not be torn out of native code, which would abort.
    os._exit(exit_code)
