"""docs/commands.md says what the parsers say: it is made from them, and no command is missing."""

import argparse
import re

import pytest

from docs.generate_commands import OVERVIEW, PAGE, block, generate, parsers


@pytest.fixture(scope="module")
def commands():
    return parsers()


def toy_parser():
    parser = argparse.ArgumentParser(prog="python -m toy", description="Play.", epilog="examples:\n  python -m toy a")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="what to play with")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="how often, 50%% at most")
    parser.add_argument("--kind", choices=("a", "b"), default="a", help="a|b (default: %(default)s)")
    parser.add_argument("--loud", action=argparse.BooleanOptionalAction, default=False, help="be loud (default: False)")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--left", action="store_true", help="go left")
    either.add_argument("--right", action="store_true", help="go right")
    return parser


def test_a_block_holds_what_the_parser_holds():
    shown = block(toy_parser())
    assert shown.startswith("## python -m toy\n\nPlay.\n\n    python -m toy [PATH ...] [flags]\n\n```text\nexamples:\n")
    for row in (
        "| `[PATH ...]` | what to play with |",
        "| `--count N` | how often, 50% at most (needed) |",
        r"| `--kind {a,b}` | a\|b (default: a) |",
        "| `--loud`, `--no-loud` | be loud (default: False) |",
        "| `--left` | go left (at most one of `--left`, `--right`) |",
    ):
        assert row in shown.splitlines()


def test_prose_stays_and_blocks_are_made_anew():
    page = (
        "# Words\n\n<!-- begin all commands -->\nold\n<!-- end -->\nkept\n<!-- begin toy -->\nold\n<!-- end -->\nlast\n"
    )
    made = generate(page, {"toy": toy_parser()})
    assert "old" not in made and "\nkept\n" in made and made.endswith("<!-- end -->\nlast\n")
    assert "| [`python -m toy`](#python--m-toy) | Play |" in made and generate(made, {"toy": toy_parser()}) == made


def test_a_command_without_its_lines_is_named():
    with pytest.raises(ValueError, match="'toy'"):
        generate("<!-- begin all commands -->\n<!-- end -->", {"toy": toy_parser()})
    with pytest.raises(ValueError, match="'gone'"):
        generate("<!-- begin all commands -->\n<!-- end --><!-- begin gone -->\n<!-- end -->", {})


def test_the_page_is_what_the_parsers_say(commands):
    page = PAGE.read_text(encoding="utf-8")
    assert generate(page, commands) == page, "write it anew: python -m docs.generate_commands"


def test_every_program_is_on_the_page(commands):
    from tests.guard.tour import CHILDREN, programs, subcommands

    have_subcommands = {"instructor_search", "train.medi"}
    expected = {" ".join(pair) for pair in subcommands()} | (programs() - CHILDREN - have_subcommands)
    assert set(commands) == expected and OVERVIEW not in commands


def test_every_argument_says_what_it_does(commands):
    silent = [
        f"{name} {action.option_strings or action.dest}"
        for name, parser in commands.items()
        for action in parser._actions
        if not action.help or re.match(r"default\b", action.help)
    ]
    assert silent == []


def test_links_of_the_overview_lead_to_headings(commands):
    page = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    anchors = {"".join(c for c in h.lower() if c.isalnum() or c in "-_ ").replace(" ", "-") for h in headings}
    assert set(re.findall(r"\]\(#(.*?)\)", page)) == anchors and len(anchors) == len(commands)
