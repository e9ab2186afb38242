"""The commands prompt and annotate, as a user types them."""

import io
import json

import pytest

from ingest.cli import main as ingest
from instructor_search.commands.main import main
from instructor_search.in_context.llm import LocalModel

ROWS = [
    ("red is a", "colour"),
    ("cat is an", "animal"),
    ("oak is a", "tree"),
    ("june is a", "month"),
    ("cat is a", "animal"),
]


@pytest.fixture
def made(store, tmp_path, tiny_folder, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"q": q, "a": a}) + "\n" for q, a in ROWS))
    fields = ["--examples", "--input-field", "q", "--output-field", "a"]
    assert ingest([str(path), *fields, "--collection", "pool", "--model", str(tiny_folder), "--quiet"]) == 0
    capsys.readouterr()


@pytest.fixture
def run(capsys):
    def run(*words, code=0):
        assert main(["prompt", *map(str, words)]) == code
        return capsys.readouterr()

    return run


def test_the_prompt_is_on_stdout_and_the_report_on_stderr(made, run):
    shown = run("june is an", "--k", "2", "--task", "Say what it is.")
    assert shown.out.startswith("Say what it is.\n\nInput: ") and shown.out.endswith("Input: june is an\nOutput:\n")
    assert shown.out.count("Output: ") == 2
    assert shown.err.splitlines()[0].startswith("2 examples, ") and "guessed as characters / 4" in shown.err


def test_json_says_where_each_example_is_from(made, run, tiny_folder):
    flags = ("--json", "--k", "5", "--instruction", "Represent it: ", "--tokenizer", tiny_folder, "--budget", "30")
    facts = json.loads(run("cat is an", *flags).out)
    assert facts["instruction"] == "Represent it: " and facts["selector"] == "nearest" and facts["budget"] == 30
    assert facts["num_tokens"] <= 30 and facts["notes"] == [] and "answer" not in facts
    assert {d["source"].split("#")[0].rpartition("/")[2] for d in facts["demonstrations"]} == {"rows.jsonl"}
    assert "cat is an" not in [d["input"] for d in facts["demonstrations"] + facts["left_out"]]
    assert {d["reason"] for d in facts["left_out"]} <= {"over the budget"}
    assert len(facts["demonstrations"]) + len(facts["left_out"]) == 4


def test_the_input_may_come_from_stdin(made, run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("fir is a\n"))
    assert run("-", "--k", "1").out.endswith("Input: fir is a\nOutput:\n")


def test_chats_and_templates(made, run, tmp_path):
    facts = json.loads(run("fir is a", "--chat", "--k", "1", "--task", "T", "--json").out)
    assert [m["role"] for m in facts["messages"]] == ["system", "user", "assistant", "user"]
    (tmp_path / "t.j2").write_text("{% for d in demonstrations %}{{ d.output }};{% endfor %}{{ input }}")
    assert run("fir is a", "--template", tmp_path / "t.j2", "--k", "1").out.count(";") == 1
    shown = run("fir is a", "--k", "1", "--demonstration", r"Q {input}\nA {output}\n", "--question", "Q {input}").out
    assert shown.count("\n") == 3 and shown.endswith("Q fir is a\n")


def test_an_endpoint_answers(made, run, endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    flags = ("--endpoint", endpoint.url, "--llm", "tiny", "--answer", "--k", "3")
    facts = json.loads(run("fir is a", *flags, "--json", "--prices", "1,2").out)
    assert facts["answer"] == facts["demonstrations"][-1]["output"]  # it repeats the last one
    assert facts["usage"]["num_requests"] == 1 and facts["usage"]["cost"] == pytest.approx((7 * 1 + 2 * 2) / 1e6)
    assert "sk-secret" not in json.dumps(facts)
    plain = run("fir is a", *flags)
    assert plain.out == facts["answer"] + "\n" and "sk-secret" not in plain.err
    sent = endpoint.requests[0][2]["messages"]
    assert sent == [{"role": "user", "content": facts["prompt"]}]


def test_nothing_is_sent_without_answer(made, run, endpoint):
    run("fir is a", "--k", "1")
    assert "has no effect without --answer" in run("fir is a", "--endpoint", endpoint.url, code=1).err
    assert endpoint.requests == []


def test_failures_of_an_endpoint_are_one_line(made, run, endpoint):
    flags = ("--endpoint", endpoint.url, "--llm", "tiny", "--answer", "--retries", "0")
    for failure in (401, 429, 500):
        endpoint.failures = [failure]
        err = run("fir is a", *flags, code=1).err
        assert err.startswith("error: ") and f"HTTP {failure}" in err and err.count("\n") == 1


def test_a_local_model_answers_and_chooses_within_its_window(made, run, tiny_llm):
    forms = ("--demonstration", r"{input} {output}\n", "--question", "{input}")
    flags = ("--llm", tiny_llm, "--answer", "--k", "1", *forms)
    facts = json.loads(
        run("red is a", *flags, "--answer-tokens", "4", "--options", "colour,animal,tree,month", "--json").out
    )
    local, options = LocalModel(str(tiny_llm)), ["colour", "animal", "tree", "month"]
    assert facts["answer"] == options[local.choose(facts["prompt"], options)]
    assert facts["budget"] == 60 and facts["usage"]["num_requests"] == 1
    assert facts["num_tokens"] == len(facts["prompt"].split())  # the model's own tokenizer: words
    assert (
        run("red is a", *flags, "--answer-tokens", "3").out
        == local.generate(facts["prompt"], max_tokens=3).strip() + "\n"
    )
    err = run("red is a", *flags, "--budget", "60", "--answer-tokens", "10", code=1).err
    assert "--budget 60 does not fit: the window of" in err and "leaves 54 tokens beside 10 of the answer" in err
    assert "--answer-tokens 64 leaves no room for a prompt" in run("red is a", *flags, code=1).err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("x", "--budget", "3"), "the budget is 3; raise the budget"),
        (("x", "--demonstration", "{input} {gold}"), "has the slot {gold}; there is: {input}, {output}, {task}"),
        (("x", "--tokenizer", "nothing.json"), "no tokenizer file 'nothing.json'"),
        (("x", "--template", "nothing.j2"), "no template file 'nothing.j2'"),
        (("x", "--answer"), "--answer needs --llm"),
        (("x", "--answer", "--llm", "nothing"), "no model folder 'nothing'"),
        (("x", "--chat", "--template", "a.j2"), "give --chat or --template FILE, not both"),
        (("x", "--chat", "--question", "{input}"), "are of the plain template"),
        (("x", "--pool", "nothing"), "no collection 'nothing'"),
        (("x", "--where", "b = 1"), "unknown filter field 'b'"),
        ((" ",), "the input is empty"),
        (("x", "--diversity", "7"), "diversity is 7.0; expected 0 to 1"),
        (("x", "--answer", "--endpoint", "localhost", "--llm", "a"), "expected an address such as http"),
        (("x", "--answer", "--endpoint", "http://h/v1", "--llm", "a", "--prices", "1"), "expected two numbers"),
    ],
)
def test_bad_input_is_one_line(made, run, flags, said):
    shown = run(*flags, code=1)
    assert shown.err.startswith("error: ") and said in shown.err and shown.err.count("\n") == 1 and not shown.out


def test_annotate_prints_and_writes_the_picks(made, capsys, tmp_path):
    assert main(["annotate", "--pool", "pool", "--count", "3", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["num_items"] == 5 and facts["graph"] == {"kind": "exact", "neighbours": 4, "recall": 1.0}
    assert [i["rank"] for i in facts["items"]] == [1, 2, 3] and len({i["input"] for i in facts["items"]}) == 3
    assert main(["annotate", "--count", "3", "--output", str(tmp_path / "picks.jsonl")]) == 0
    shown = capsys.readouterr()
    assert shown.out == "" and "3 of 5 items by vote-k; 4 neighbours (exact)" in shown.err
    assert [json.loads(x) for x in (tmp_path / "picks.jsonl").read_text().splitlines()] == facts["items"]
    assert main(["annotate", "--count", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("   1. ")
    assert main(["annotate", "--count", "9"]) == 1
    assert "9 items were asked for and there are 5" in capsys.readouterr().err
