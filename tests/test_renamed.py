"""Names of earlier versions work, are told, and do not go with today's."""

import pytest

from instructor_search.commands.parser import Parser
from instructor_search.renamed import current_keys
from train.config import RENAMED, TrainConfig
from train.flags import build_parser
from train.medi.cli import build_parser as medi_parser


def test_keys_of_earlier_versions(capsys):
    assert current_keys({"a": 1, "b": 2}, {"a": "c"}, "FILE") == {"b": 2, "c": 1}
    assert capsys.readouterr().err == "warning: FILE: a is called c now; the old name will go\n"
    assert current_keys({"c": 1}, {"a": "c"}, "FILE") == {"c": 1} and not capsys.readouterr().err
    with pytest.raises(ValueError, match="'a' is the old name of 'c', and both are given"):
        current_keys({"a": 1, "c": 2}, {"a": "c"}, "FILE")


def test_flags_of_earlier_versions(capsys):
    parser = Parser(prog="x", renamed={"--old": "--new"})
    parser.add_argument("--new")
    assert parser.parse_args(["--old", "--old-value"[2:]]).new == "old-value"
    assert parser.parse_args(["--old=3"]).new == "3"
    assert capsys.readouterr().err.count("warning: x: --old is called --new now") == 2
    assert parser.parse_settings({"old": "4"}).new == "4"


def test_training_takes_all_its_old_names(capsys, tmp_path):
    values = {"anchor": "here", "vary_apart": True, "likeness_weight": 3.0}
    assert values.keys() <= RENAMED.keys()
    made = TrainConfig(**values)
    assert (made.reference_model, made.paraphrase_per_example, made.similarity_weight) == ("here", True, 3.0)
    args = build_parser().parse_args(["--anchor", "here", "--no-vary_apart", "--likeness_weight=3"])
    assert (args.reference_model, args.paraphrase_per_example, args.similarity_weight) == ("here", False, 3.0)
    assert made.differences({**made.as_dict(), "reference_model": "there"}) == [
        "reference_model was 'there', now 'here'"
    ]
    old = {RENAMED_BACK.get(name, name): value for name, value in made.as_dict().items()}
    assert old["anchor"] == "here" and not made.differences(old)
    assert capsys.readouterr().err.count("warning: ") == 3 + 3 + 3


RENAMED_BACK = {new: old for old, new in RENAMED.items()}


def test_mixtures_take_their_old_flag(capsys):
    assert medi_parser().parse_args(["build", "--output", "x", "--likeness"]).similarity
    assert "--likeness is called --similarity now" in capsys.readouterr().err
