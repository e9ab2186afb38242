"""The command prompt: a prompt of retrieved examples, and a language model's answer to it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructor_search.commands.flags import STORE_HELP
from instructor_search.commands.parser import counted, positive
from instructor_search.in_context.choices import Order, Selector
from instructor_search.instruction_rule import resolve

if TYPE_CHECKING:
    from instructor_search.in_context.llm import LanguageModel, LocalModel
    from instructor_search.in_context.prompt import Prompt
    from instructor_search.in_context.template import Template
    from instructor_search.in_context.tokens import TokenCounter
    from instructor_search.records import Demonstration

_BUDGET = 1000
_EXAMPLES = """examples:
  python -m instructor_search prompt --pool questions --instruction "Represent the question: " "who wrote Emma"
  python -m instructor_search prompt --pool questions --selector mmr --k 4 --budget 500 --tokenizer FOLDER "..." --json
  python -m instructor_search prompt --pool questions --endpoint http://localhost:8000/v1 --llm NAME --answer "..."

A pool is made by: python -m ingest FILE --examples --input-field COLUMN --output-field COLUMN --collection NAME
The endpoint's key is read from the environment (OPENAI_API_KEY)."""


def add_commands(commands: Any) -> None:
    """Add the command to the parser's."""
    raw = argparse.RawDescriptionHelpFormatter
    prompt = commands.add_parser(
        "prompt",
        help="build a prompt of retrieved examples, and have it answered",
        epilog=_EXAMPLES,
        formatter_class=raw,
    )
    prompt.add_argument("input", help="the input asked about; - reads it from stdin")
    pool_flags(prompt)
    _selection_flags(prompt)
    _form_flags(prompt)
    _answer_flags(prompt)
    prompt.add_argument("--json", action="store_true", help="print JSON, with where each example is from")
    prompt.set_defaults(run=_prompt)


def pool_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name a pool of examples."""
    add = parser.add_argument
    add("--pool", metavar="NAME", help="collection of examples (default: the only one in the store)")
    add("--store", metavar="DIR", help=STORE_HELP)
    add("--view", metavar="NAME", help="which vectors to compare with (default: default)")
    add("--where", metavar="FILTER", help="only examples that match, e.g. 'task = nli and output != neutral'")


def _selection_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--instruction", metavar="TEXT", help="of the input, or @NAME of the library (default: the pool's own)")
    add("--k", type=positive, default=8, metavar="N", help="examples to select (default: 8)")
    add("--selector", choices=[*map(str, Selector)], default="nearest", help="how they are selected (default: nearest)")
    add("--diversity", type=float, default=0.3, metavar="D", help="of mmr and dpp, 0 to 1 (default: 0.3)")
    add("--seed", type=int, default=0, metavar="N", help="of what is drawn (default: 0)")
    add(
        "--max-cosine",
        type=float,
        default=0.99,
        metavar="C",
        help="examples this near to the input count as copies of it and are left out (default: 0.99)",
    )


def _form_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--task", default="", metavar="TEXT", help="what to do, in a sentence; stands first")
    add("--order", choices=[*map(str, Order)], default="nearest-last", help="of the examples (default: nearest-last)")
    add("--chat", action="store_true", help="chat messages instead of one text")
    add("--template", type=Path, metavar="FILE", help="a Jinja template over task, demonstrations and input")
    add(
        "--demonstration", metavar="FORM", help=r"an example in words (default: 'Input: {input}\nOutput: {output}\n\n')"
    )
    add("--question", metavar="FORM", help=r"the input (default: 'Input: {input}\nOutput:')")
    add(
        "--budget",
        type=positive,
        metavar="N",
        help=f"tokens of the prompt at most (default: {_BUDGET}, or what the local model's window leaves)",
    )
    add(
        "--tokenizer",
        metavar="FILE",
        help="of the target model: tokenizer.json, a model folder, or .tiktoken "
        "(default: the local model's, else characters / 4)",
    )


def _answer_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--answer", action="store_true", help="have a language model answer, and print its answer")
    add("--llm", metavar="MODEL", help="folder of a local causal language model, or the endpoint's name of a model")
    add("--endpoint", metavar="URL", help="an OpenAI-compatible endpoint, such as http://localhost:8000/v1")
    add("--options", metavar="A,B", help="the answers that there are: the likeliest, or the one that is named")
    add("--answer-tokens", type=positive, default=64, metavar="N", help="of the answer at most (default: 64)")
    add("--timeout", type=float, default=60.0, metavar="S", help="seconds of one request (default: 60)")
    add("--retries", type=int, default=4, metavar="N", help="of a request that failed in passing (default: 4)")
    add("--prices", metavar="P,A", help="of a million tokens of prompt and of answer; the cost is reported")


def _prompt(args: argparse.Namespace) -> int:
    text = sys.stdin.read().strip() if args.input == "-" else args.input
    _check_answer(args)
    from instructor_search.in_context.pool import ExamplePool
    from instructor_search.in_context.prompt import build_prompt
    from instructor_search.in_context.tokens import load_counter

    local = _local_model(args)
    counter = local.counter() if local is not None and not args.tokenizer else load_counter(args.tokenizer)
    template = _template(args, counter)
    pool = ExamplePool(pool_name(args), args.store, view=args.view)
    instruction = None if args.instruction is None else resolve(args.instruction)
    examples = pool.select(
        text,
        instruction=instruction,
        k=args.k,
        selector=args.selector,
        where=args.where,
        diversity=args.diversity,
        seed=args.seed,
        max_cosine=args.max_cosine,
    )
    llm = local or (_endpoint_model(args, counter) if args.answer else None)
    budget = _budget(args, llm)
    prompt = build_prompt(
        examples, text, budget=budget, template=template, count_tokens=counter, order=args.order, seed=args.seed
    )
    said = None
    if llm is not None:
        from instructor_search.in_context.answers import answer

        options = [o.strip() for o in (args.options or "").split(",") if o.strip()]
        said = answer(llm, prompt.messages or prompt.text, options, max_tokens=args.answer_tokens)
    _print_prompt(args, pool, prompt, instruction, budget, said, llm)
    return 0


def _check_answer(args: argparse.Namespace) -> None:
    """Refuse flags that do not go together, before anything is loaded."""
    if args.answer and not args.llm:
        raise ValueError("--answer needs --llm: the folder of a local model, or with --endpoint URL its name there")
    for flag in ("llm", "endpoint", "options", "prices"):
        if getattr(args, flag) and not args.answer:
            raise ValueError(f"--{flag} has no effect without --answer; add it, or leave --{flag} out")
    if args.chat and args.template:
        raise ValueError("give --chat or --template FILE, not both")
    if (args.demonstration or args.question) and (args.chat or args.template):
        raise ValueError("--demonstration and --question are of the plain template; leave --chat or --template out")


def pool_name(args: argparse.Namespace) -> str:
    """Return the name of the pool that the flags name, or of the only one."""
    from instructor_search.errors import CollectionNotFoundError
    from instructor_search.store.folders import find_collection

    try:
        return find_collection(args.pool, args.store).name
    except CollectionNotFoundError as error:
        raise CollectionNotFoundError(str(error).replace("--collection NAME", "--pool NAME")) from None


def _template(args: argparse.Namespace, counter: TokenCounter) -> Template:
    from instructor_search.errors import ModelError
    from instructor_search.in_context.template import ChatTemplate, JinjaTemplate, PromptTemplate

    control = tuple(counter.control_tokens)
    if args.template:
        if not args.template.is_file():
            raise ModelError(f"no template file {str(args.template)!r}; expected a Jinja template")
        source = args.template.read_text(encoding="utf-8")
        return JinjaTemplate(source, args.task, name=args.template.name, control_tokens=control)
    if args.chat:
        return ChatTemplate(args.task, control_tokens=control)
    forms = {name: _unescaped(value) for name in ("demonstration", "question") if (value := getattr(args, name))}
    return PromptTemplate(args.task, control_tokens=control, **forms)


def _unescaped(form: str) -> str:
    r"""Return a form with \n and \t as a shell passes them."""
    return form.replace("\\n", "\n").replace("\\t", "\t")


def _local_model(args: argparse.Namespace) -> LocalModel | None:
    if not args.answer or args.endpoint:
        return None
    from instructor_search.in_context.llm import LocalModel

    return LocalModel(args.llm)


def _endpoint_model(args: argparse.Namespace, counter: TokenCounter) -> LanguageModel:
    from instructor_search.in_context.endpoint import EndpointModel
    from instructor_search.in_context.llm import Usage

    usage = Usage(*_prices(args.prices)) if args.prices else Usage()
    return EndpointModel(
        args.endpoint,
        args.llm,
        timeout_seconds=args.timeout,
        num_retries=args.retries,
        usage=usage,
        count_tokens=counter,
    )


def _prices(text: str) -> tuple[float, float]:
    try:
        prompt, answer = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--prices is {text!r}; expected two numbers such as 0.15,0.60") from None
    return prompt, answer


def _budget(args: argparse.Namespace, llm: LanguageModel | None) -> int:
    """Return the budget: the one given, or the default; never more than a local model's window leaves."""
    room = llm.window - args.answer_tokens if llm is not None and llm.window else None
    if room is None:
        return int(args.budget or _BUDGET)
    if room < 1:
        raise ValueError(
            f"--answer-tokens {args.answer_tokens} leaves no room for a prompt: the window of {args.llm} "
            f"holds {room + args.answer_tokens}"
        )
    if args.budget is not None and args.budget > room:
        raise ValueError(
            f"--budget {args.budget} does not fit: the window of {args.llm} leaves {room} tokens beside "
            f"{args.answer_tokens} of the answer"
        )
    return int(args.budget or min(_BUDGET, room))


def _print_prompt(
    args: argparse.Namespace,
    pool: Any,
    prompt: Prompt,
    instruction: str | None,
    budget: int,
    said: str | None,
    llm: LanguageModel | None,
) -> None:
    if args.json:
        summary = {
            "pool": pool.collection.name,
            "view": pool.view.name,
            "model": pool.view.model,
            "fingerprint": pool.view.fingerprint,
            "document_instruction": pool.view.document_instruction,
            "instruction": pool.view.document_instruction if instruction is None else instruction,
            "selector": args.selector,
            "order": args.order,
            "budget": budget,
        }
        shown = {
            "prompt": prompt.text,
            "messages": [m._asdict() for m in prompt.messages],
            "num_tokens": prompt.num_tokens,
            "demonstrations": [_facts(d) for d in prompt.demonstrations],
            "left_out": [{**_facts(left.demonstration), "reason": left.reason} for left in prompt.left_out],
            "notes": list(prompt.notes),
        }
        answered = {"answer": said, "llm": llm.name, "usage": llm.usage.as_dict()} if llm is not None else {}
        print(json.dumps(summary | shown | answered, ensure_ascii=False))
        return
    print(prompt.text if said is None else said)
    used, left = len(prompt.demonstrations), [item.reason for item in prompt.left_out]
    why = ", ".join(f"{left.count(reason)} {reason}" for reason in dict.fromkeys(left))
    sys.stderr.write(
        f"{counted(used, 'example')}, {prompt.num_tokens} of {budget} tokens"
        + (f"; left out: {why}" if why else "")
        + "\n"
    )
    for note in prompt.notes:
        sys.stderr.write(f"note: {note}\n")
    if used + len(left) < args.k:
        sys.stderr.write(f"note: the pool has only {used + len(left)} examples for this input, not {args.k}\n")
    if llm is not None and args.prices:
        sys.stderr.write(f"cost: {llm.usage.cost:.6f}\n")


def _facts(example: Demonstration) -> dict[str, Any]:
    return {**example._asdict(), "metadata": dict(example.metadata)}
