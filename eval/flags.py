"""The arguments of eval's commands, and the configuration that those of a run make."""

from __future__ import annotations

import argparse
from pathlib import Path

from eval.config import DEFAULT_OUTPUT, EvalConfig
from instructor_search.commands.flags import DEVICE_HELP, PICKLE_HELP
from instructor_search.commands.parser import PRECISIONS, RUNTIMES, Parser, positive
from instructor_search.in_context.choices import Selector

_EXAMPLES = """examples:
  python -m eval --suite all
  python -m eval --suite retrieval,STS12 --data DIR --models default,default@none,bm25
  python -m eval --suite robustness --data DIR
  python -m eval --suite prompt-retrieval --selectors nearest,text,random --demonstrations 4,8
  python -m eval --suite annotation --data DIR
  python -m eval compare instructor-minilm@none instructor-minilm
  python -m eval report

models:
  default | FOLDER | HUB-ID   a model of this project under each task's instruction
  MODEL@VARIANT               variants: none, tag, short, detailed, paraphrase-1 ... paraphrase-5, FILE.json
  st:MODEL                    sentence-transformers with the model's own prompts; st:MODEL@none without
  bm25, random                words only (retrieval, reranking); a random vector for each text
  collection:MODE[+hnsw][+rerank][=MODEL]   a real collection, MODE dense, text or hybrid (retrieval)

other commands: compare, report, runs (each with --help)
exit code: 0 done, 1 the run failed, 2 wrong arguments, 3 some tasks failed, 130 interrupted"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m eval``."""
    parser = Parser(
        prog="python -m eval",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Evaluate encoders, collections and baselines on the nine task categories of the INSTRUCTOR paper.",
    )
    _add_what(parser)
    _add_output(parser)
    parser.add_argument("--list", action="store_true", help="list suites and the tasks of the data, and stop")
    parser.add_argument("--dry-run", action="store_true", help="say which tasks would be run and which are known")
    parser.add_argument("--overwrite", action="store_true", help="run finished tasks again")
    _add_computing(parser)
    _add_measuring(parser)
    _add_prompts(parser)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    """Add what is evaluated on which data."""
    add = parser.add_argument
    add("--suite", metavar="NAMES", help="suites, studies or tasks, separated by commas; --list shows them")
    add(
        "--data",
        default="auto",
        metavar="WHERE",
        help="auto (the folder that INSTRUCTOR_SEARCH_EVAL_DATA "
        "names, else bundled), hub (the paper's sets), bundled, or a folder (default: auto)",
    )
    add("--models", default="default", metavar="SPECS", help="what to evaluate, separated by commas (default: default)")
    add(
        "--instructions",
        default="default",
        metavar="VARIANT",
        help="instructions of models without an @VARIANT: a variant, or a JSON file (default: default)",
    )


def _add_computing(parser: argparse.ArgumentParser) -> None:
    """Add how vectors are computed and kept."""
    add = parser.add_argument
    add("--cache", type=Path, metavar="DIR", help="folder of kept embeddings (default: cache in the output folder)")
    add("--no-cache", action="store_true", help="keep no embeddings")
    add("--device", metavar="NAME", help=DEVICE_HELP)
    add("--runtime", choices=RUNTIMES, help="what computes (default: torch on a GPU, else openvino)")
    add(
        "--precision", choices=PRECISIONS, default="fp32", help="of our models (default: fp32, as published scores are)"
    )
    add("--allow-pickle", action="store_true", help=PICKLE_HELP)
    add(
        "--reranker",
        metavar="MODEL",
        help="for +rerank: folder or hub id of a cross-encoder, or 'instruction:SENTENCE'",
    )


def _add_measuring(parser: argparse.ArgumentParser) -> None:
    """Add what chance a score depends on, and its interval."""
    add = parser.add_argument
    add("--seed", type=_seed, default=42, metavar="N", help="seed of samples and bootstrap (default: 42)")
    add(
        "--resamples", type=_resamples, default=1000, metavar="N", help="bootstrap samples of intervals (default: 1000)"
    )
    add(
        "--cluster-seeds",
        type=positive,
        metavar="N",
        help="clustering: mean over N seeds of k-means (default: 1, mteb's own; 10 in robustness)",
    )


def _add_prompts(parser: argparse.ArgumentParser) -> None:
    """Add what prompt retrieval takes."""
    add = parser.add_argument
    add(
        "--demonstrations",
        type=_numbers,
        default=(8,),
        metavar="K,...",
        help="prompt retrieval: examples a prompt; several numbers are runs of their own (default: 8)",
    )
    add(
        "--selectors",
        default="nearest",
        metavar="NAMES",
        help=f"prompt retrieval: how examples are selected, each a run of its own: {', '.join(Selector)} "
        "(default: nearest)",
    )
    add("--prompt-tokens", type=positive, default=1000, metavar="N", help="prompt retrieval: budget (default: 1000)")
    add("--llm", metavar="FOLDER", help="prompt retrieval: a local causal language model answers")
    add(
        "--llm-endpoint",
        metavar="URL",
        help="prompt retrieval: an OpenAI-compatible endpoint answers (key: OPENAI_API_KEY)",
    )
    add("--llm-model", metavar="NAME", help="name of the endpoint's model")


def _add_output(parser: argparse.ArgumentParser) -> None:
    """Add where results go; for all commands."""
    help_text = f"folder of results, reports and caches (default: {DEFAULT_OUTPUT})"
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help=help_text)


def compare_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m eval compare``."""
    parser = Parser(
        prog="python -m eval compare",
        description="Compare two runs on the tasks that both "
        "have: second minus first, with a paired bootstrap interval and Holm's correction.",
    )
    parser.add_argument("first", metavar="RUN", help="label, 'LABEL (DATA)' or folder; python -m eval runs lists them")
    parser.add_argument("second", metavar="RUN", help="the other one")
    _add_output(parser)
    parser.add_argument(
        "--resamples", type=_resamples, default=5000, metavar="N", help="bootstrap samples (default: 5000)"
    )
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="seed of the bootstrap (default: 0)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    return parser


def report_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m eval report``."""
    parser = Parser(
        prog="python -m eval report",
        description="Write report.html and report.md of runs, side by side, into the output folder.",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="runs to show (default: all)")
    _add_output(parser)
    return parser


def runs_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m eval runs``."""
    parser = Parser(
        prog="python -m eval runs", description="List the runs of an output folder: label, number of tasks, folder."
    )
    _add_output(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _seed(text: str) -> int:
    """Return a seed that all libraries take; for ``argparse``."""
    if not text.isdigit() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; expected a whole number from 0 to {2**32 - 1}")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    """Return whole numbers of at least 1, separated by commas; for ``argparse``."""
    return tuple(dict.fromkeys(positive(part.strip()) for part in text.split(",") if part.strip()))


def _resamples(text: str) -> int:
    """Return a number of bootstrap samples that gives an interval; for ``argparse``."""
    if not text.isdigit() or not 100 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} bootstrap samples; expected 100 to 100000")
    return int(text)


def config_of(args: argparse.Namespace) -> EvalConfig:
    """Return the configuration of a run.

    Raises:
        ValueError: two flags do not agree.
    """

    def names(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))

    return EvalConfig(
        suites=names(args.suite or "all"),
        data=args.data,
        models=names(args.models),
        instructions=args.instructions,
        output=args.output,
        overwrite=args.overwrite,
        cache=args.cache,
        use_cache=not args.no_cache,
        device=args.device,
        runtime=args.runtime,
        precision=args.precision,
        allow_pickle=args.allow_pickle,
        reranker=args.reranker,
        seed=args.seed,
        num_resamples=args.resamples,
        cluster_seeds=args.cluster_seeds,
        num_demonstrations=args.demonstrations,
        selectors=names(args.selectors),
        prompt_tokens=args.prompt_tokens,
        llm=args.llm,
        llm_endpoint=args.llm_endpoint,
        llm_model=args.llm_model,
    )
