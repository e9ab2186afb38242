"""The command line of eval: run suites, compare runs, write reports. Heavy packages load after the arguments."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.config import DEFAULT_OUTPUT, EvalConfig
from instructor_search.commands.parser import (
    PRECISIONS,
    RUNTIMES,
    Parser,
    failing_with_one_line,
    let_threads_sleep,
    positive,
)
from instructor_search.errors import MissingExtraError
from instructor_search.in_context.choices import Selector

if TYPE_CHECKING:
    from eval.runner import Progress, Summary
    from eval.runs import Run

EXIT_SOME_FAILED = 3
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
    _output(parser)
    add("--list", action="store_true", help="list suites and the tasks of the data, and stop")
    add("--overwrite", action="store_true", help="run finished tasks again")
    add("--cache", type=Path, metavar="DIR", help="folder of kept embeddings (default: cache in the output folder)")
    add("--no-cache", action="store_true", help="keep no embeddings")
    add("--device", metavar="NAME", help="torch's: cpu, cuda, cuda:1, mps (default: the best that is there)")
    add("--runtime", choices=RUNTIMES, help="what computes (default: torch on a GPU, else openvino)")
    add(
        "--precision", choices=PRECISIONS, default="fp32", help="of our models (default: fp32, as published scores are)"
    )
    add("--allow-pickle", action="store_true", help="also load pytorch_model.bin where there is no safetensors file")
    add(
        "--reranker",
        metavar="MODEL",
        help="for +rerank: folder or hub id of a cross-encoder, or 'instruction:SENTENCE'",
    )
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
    add("--json", action="store_true", help="print the results as JSON")
    add("--quiet", action="store_true", help="no progress")
    return parser


def compare_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m eval compare``."""
    parser = Parser(
        prog="python -m eval compare",
        description="Compare two runs on the tasks that both "
        "have: second minus first, with a paired bootstrap interval and Holm's correction.",
    )
    parser.add_argument("first", metavar="RUN", help="label, 'LABEL (DATA)' or folder; python -m eval runs lists them")
    parser.add_argument("second", metavar="RUN", help="the other one")
    _output(parser)
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
    _output(parser)
    return parser


def runs_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m eval runs``."""
    parser = Parser(
        prog="python -m eval runs", description="List the runs of an output folder: label, number of tasks, folder."
    )
    _output(parser)
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


def _output(parser: argparse.ArgumentParser) -> None:
    help_text = f"folder of results, reports and caches (default: {DEFAULT_OUTPUT})"
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help=help_text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, tuple[Callable[[], argparse.ArgumentParser], Callable[[Any], int]]] = {
        "compare": (compare_parser, _compare),
        "report": (report_parser, _report),
        "runs": (runs_parser, _runs),
    }
    make, run = commands.get(words[0], (build_parser, _evaluate)) if words else (build_parser, _evaluate)
    parser = make()
    args = parser.parse_args(words[1:] if run is not _evaluate else words)
    if run is _evaluate and not args.suite and not args.list:
        parser.error("which suite? expected --suite all, or --list to see what there is")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    let_threads_sleep()
    with failing_with_one_line() as outcome:
        code = run(args)
        sys.stdout.flush()
        return code
    return outcome.code


def _evaluate(args: argparse.Namespace) -> int:
    config = _config(args)
    _check_packages()
    from eval.sources import choose_source
    from eval.suites import select

    source = choose_source(args.data)
    if source.is_offline:  # before the client is imported; else each set would wait for the network in vain
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    say = (lambda _: None) if args.quiet else (lambda line: print(line, file=sys.stderr))
    say(f"data: {source.name}" + (f", {source.folder}" if source.name == "local" else "") + f" ({source.reason})")
    if source.name == "bundled":
        say("the bundled sets check the machinery; their scores say nothing about a model")
    if args.list:
        return _list(source, args.json)
    selection = select(config.suites, source.tasks)
    if source.name == "hub":
        size = sum(task.info.num_bytes for task in selection.tasks) / 1e6
        say(f"{len(selection.tasks)} sets, about {size:,.0f} million characters to embed for each model")
        say("(two cores embed some 80 million an hour; smaller: --suite quick, --data DIR, --data bundled)")
    if selection.studies:
        return _studies(config, selection, source.name, args)
    from eval.runner import run

    summary = run(config, selection.tasks, source.name, _bars(args.quiet))
    return _finish(summary, config, source.name, args)


def _config(args: argparse.Namespace) -> EvalConfig:
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


def _check_packages() -> None:
    """Name the extra before anything is read, where it is not installed."""
    from importlib.util import find_spec

    missing = [n for n in ("mteb", "torch", "datasets", "pytrec_eval", "sklearn", "matplotlib") if find_spec(n) is None]
    if missing:
        raise MissingExtraError(", ".join(missing), "eval", "evaluation")


def _finish(summary: Summary, config: EvalConfig, source: str, args: argparse.Namespace) -> int:
    from eval.report import write_reports
    from eval.table import as_text, make_table

    if args.json:
        print(json.dumps(_as_json(summary, source), ensure_ascii=False))
    elif any(run.results or run.failures for run in summary.runs):
        print(as_text(make_table(summary.runs)))
    if source == "bundled" and not args.json:
        print("\nbundled sets: a check of the machinery, not of the model")
    for name, reason in summary.failures.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    if summary.interrupted:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    written = write_reports(summary.runs, config.output / "report")
    if not args.quiet:
        print(
            f"{summary.num_run} run, {summary.num_known} known, {len(summary.failures)} failed; "
            f"report: {', '.join(map(str, written))}",
            file=sys.stderr,
        )
    return EXIT_SOME_FAILED if summary.failures else 0


def _as_json(summary: Summary, source: str) -> dict[str, Any]:
    return {
        "data": source,
        "interrupted": summary.interrupted,
        "broken": summary.broken,
        "runs": [run_as_json(run) for run in summary.runs],
    }


def run_as_json(run: Run) -> dict[str, Any]:
    """Return a run as plain values; scores from 0 to 1."""
    return {
        "label": run.label,
        "data": run.source,
        "folder": str(run.folder),
        "results": {
            name: {
                "category": str(r.category),
                "metric": r.metric,
                "score": r.score,
                "interval_95": [r.low, r.high],
                "instruction": r.facts.get("instruction"),
                "seconds": r.facts.get("seconds"),
                "notes": r.facts.get("notes"),
            }
            for name, r in run.results.items()
        },
        "failures": {name: failure.reason for name, failure in run.failures.items()},
    }


def _studies(config: EvalConfig, selection: Any, source: str, args: argparse.Namespace) -> int:
    from eval.studies import run_study
    from instructor_search.result_files import STUDIES_FOLDER

    code = 0
    for name in selection.studies:
        study = run_study(name, config, selection.tasks, source, _bars(args.quiet))
        print(json.dumps(study.as_json(), ensure_ascii=False) if args.json else study.as_text())
        for task, reason in study.failures.items():
            print(f"failed: {task}: {reason}", file=sys.stderr)
        if study.interrupted:
            print("interrupted; run the same command again to go on", file=sys.stderr)
            return 130
        code = EXIT_SOME_FAILED if study.failures else code
        if study.is_empty:
            print(f"error: {name} has nothing to show: {study.why_empty}", file=sys.stderr)
            code = code or 1
            continue
        written = study.write(config.output / STUDIES_FOLDER)
        if not args.quiet:
            print(f"written: {', '.join(map(str, written))}", file=sys.stderr)
    return code


def _list(source: Any, as_json: bool) -> int:
    from eval.suites import STUDIES, SUITES

    infos = [task.info for task in source.tasks]
    if as_json:
        print(
            json.dumps(
                {
                    "suites": SUITES,
                    "tasks": [
                        {
                            "name": i.name,
                            "category": i.category,
                            "metric": i.metric,
                            "domain": i.domain,
                            "bytes": i.num_bytes,
                            "instruction": i.instruction._asdict(),
                        }
                        for i in infos
                    ],
                },
                ensure_ascii=False,
            )
        )
        return 0
    print("suites:  " + ", ".join(n for n in SUITES if n not in STUDIES))
    print("studies: " + ", ".join(STUDIES))
    for info in infos:
        shown = info.instruction.query if info.is_symmetric else " | ".join(info.instruction)
        print(f"  {info.category:20} {info.name:32} {shown}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from eval.compare import as_markdown, as_text, compare
    from eval.runs import find_run

    found = compare(
        find_run(args.first, args.output),
        find_run(args.second, args.output),
        num_resamples=args.resamples,
        seed=args.seed,
    )
    if args.json:
        print(json.dumps(asdict(found), ensure_ascii=False))
    else:
        print(as_markdown(found) if args.markdown else as_text(found))
    return 0


def _report(args: argparse.Namespace) -> int:
    from eval.records import EvalDataError
    from eval.report import write_reports
    from eval.runs import find_run, read_runs

    runs = [find_run(name, args.output) for name in args.runs] if args.runs else read_runs(args.output)
    if not runs:
        raise EvalDataError(f"no runs in {args.output}; make one: python -m eval --suite all")
    for path in write_reports(runs, args.output / "report"):
        print(path)
    return 0


def _runs(args: argparse.Namespace) -> int:
    from eval.runs import read_runs

    runs = read_runs(args.output)
    if args.json:
        print(json.dumps([run_as_json(run) for run in runs], ensure_ascii=False))
        return 0
    for run in runs:
        failed = f", {len(run.failures)} failed" if run.failures else ""
        print(f"{run.title}: {len(run.results)} tasks{failed}  [{run.folder}]")
    return 0


def _bars(quiet: bool) -> Progress:
    from tqdm import tqdm

    from eval.runner import Progress

    class Bars(Progress):
        """A line for each task that ended, and under them a bar of the texts embedded for the one at work."""

        bar: tqdm | None = None
        num_tasks = number = 0

        def system(self, label: str, num_tasks: int) -> None:
            self.num_tasks, self.number = num_tasks, 0
            tqdm.write(f"{label}: {num_tasks} tasks", file=sys.stderr)

        def task(self, name: str) -> None:
            self.number += 1
            form = "{desc}: {n_fmt} texts [{elapsed}{postfix}]"
            self.bar = tqdm(
                desc=f"[{self.number}/{self.num_tasks}] {name}",
                file=sys.stderr,
                bar_format=form,
                leave=False,
                disable=None,
            )  # no bar where stderr is no terminal

        def texts(self, count: int) -> None:
            if self.bar is not None:
                self.bar.update(count)

        def done(self, name: str, line: str) -> None:
            self.close()
            tqdm.write(f"[{self.number}/{self.num_tasks}] {name}: {line}", file=sys.stderr)

        def close(self) -> None:
            if self.bar is not None:
                self.bar.close()
                self.bar = None

    return Progress() if quiet else Bars()
