"""The command line of eval: run suites, compare runs, write reports. Heavy packages load after the arguments."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from eval.flags import build_parser, compare_parser, config_of, report_parser, runs_parser
from instructor_search.commands.parser import failing_with_one_line, let_threads_sleep
from instructor_search.errors import MissingExtraError

if TYPE_CHECKING:
    from eval.config import EvalConfig
    from eval.records import TaskInfo
    from eval.runner import Summary
    from eval.sources import Source
    from eval.suites import Selection

EXIT_SOME_FAILED = 3


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
    config = config_of(args)
    _check_packages()
    from eval.sources import choose_source
    from eval.suites import select

    source = choose_source(args.data)
    if source.is_offline:  # before the client is imported; else each set would wait for the network in vain
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    _tell(args, *_about_source(source))
    if args.list:
        return _list(source, args.json)
    selection = select(config.suites, source.tasks)
    if source.name == "hub":
        _tell(args, *_about_size(selection))
    if args.dry_run:
        return _dry_run(config, selection, source.name, args.json)
    if selection.studies:
        return _studies(config, selection, source.name, args)
    from eval.progress import progress
    from eval.runner import run

    summary = run(config, selection.tasks, source.name, progress(args.quiet))
    return _finish(summary, config, source.name, args)


def _dry_run(config: EvalConfig, selection: Selection, source: str, as_json: bool) -> int:
    from eval.plan import Broken, check, first_context, plans
    from eval.records import EvalDataError

    if selection.studies:
        raise EvalDataError(f"--dry-run is for suites and tasks; leave out {', '.join(selection.studies)}")
    check(config, selection.tasks)
    told, code = [], 0
    for plan in plans(config, selection.tasks, source, first_context(config, config.output)):
        if isinstance(plan, Broken):
            print(f"failed: {plan.specification}: {plan.reason}", file=sys.stderr)
            code = EXIT_SOME_FAILED
        elif as_json:
            told.append(plan.as_json())
        else:
            print(plan.as_text())
    if as_json:
        print(json.dumps({"data": source, "plans": told}, ensure_ascii=False))
    return code


def _tell(args: argparse.Namespace, *lines: str) -> None:
    if not args.quiet:
        print(*lines, sep="\n", file=sys.stderr)


def _about_source(source: Source) -> list[str]:
    folder = f", {source.folder}" if source.name == "local" else ""
    lines = [f"data: {source.name}{folder} ({source.reason})"]
    if source.name == "bundled":
        lines.append("the bundled sets check the machinery; their scores say nothing about a model")
    return lines


def _about_size(selection: Selection) -> list[str]:
    size = sum(task.info.num_bytes for task in selection.tasks) / 1e6
    return [
        f"{len(selection.tasks)} sets, about {size:,.0f} million characters to embed for each model",
        "(two cores embed some 80 million an hour; smaller: --suite quick, --data DIR, --data bundled)",
    ]


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
        print(json.dumps(summary.as_json(source), ensure_ascii=False))
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
    counts = f"{summary.num_run} run, {summary.num_known} known, {len(summary.failures)} failed"
    _tell(args, f"{counts}; report: {', '.join(map(str, written))}")
    return EXIT_SOME_FAILED if summary.failures else 0


def _studies(config: EvalConfig, selection: Selection, source: str, args: argparse.Namespace) -> int:
    from eval.progress import progress
    from eval.studies import run_study
    from instructor_search.result_files import STUDIES_FOLDER

    code = 0
    for name in selection.studies:
        study = run_study(name, config, selection.tasks, source, progress(args.quiet))
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
        _tell(args, f"written: {', '.join(map(str, written))}")
    return code


def _list(source: Source, as_json: bool) -> int:
    from eval.suites import STUDIES, SUITES

    infos = [task.info for task in source.tasks]
    if as_json:
        print(json.dumps({"suites": SUITES, "tasks": [_described(info) for info in infos]}, ensure_ascii=False))
        return 0
    print("suites:  " + ", ".join(n for n in SUITES if n not in STUDIES))
    print("studies: " + ", ".join(STUDIES))
    for info in infos:
        shown = info.instruction.query if info.is_symmetric else " | ".join(info.instruction)
        print(f"  {info.category:20} {info.name:32} {shown}")
    return 0


def _described(info: TaskInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "category": info.category,
        "metric": info.metric,
        "domain": info.domain,
        "bytes": info.num_bytes,
        "instruction": info.instruction._asdict(),
    }


def _compare(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from eval.compare import as_markdown, as_text, compare
    from eval.runs import find_run

    comparison = compare(
        find_run(args.first, args.output),
        find_run(args.second, args.output),
        num_resamples=args.resamples,
        seed=args.seed,
    )
    if args.json:
        print(json.dumps(asdict(comparison), ensure_ascii=False))
    else:
        print(as_markdown(comparison) if args.markdown else as_text(comparison))
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
        print(json.dumps([run.as_json() for run in runs], ensure_ascii=False))
        return 0
    for run in runs:
        failed = f", {len(run.failures)} failed" if run.failures else ""
        print(f"{run.title}: {len(run.results)} tasks{failed}  [{run.folder}]")
    return 0
