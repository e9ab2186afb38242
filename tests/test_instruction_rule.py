"""One rule for an instruction at every edge: what the encoder sees is the same, wherever it was given."""

import contextlib
import io
import json

import pytest

from ingest import IngestConfig
from instructor_search import Collection, InstructedText, Instruction, Query, Searcher
from instructor_search.commands.main import main
from instructor_search.encoder.encoder import InstructorEncoder
from instructor_search.in_context.filling import create_pool
from instructor_search.instruction_library import find_pair
from instructor_search.instruction_rule import agreed, name_of, resolve, resolve_pair
from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION, DEFAULT_QUERY_INSTRUCTION, InstructionPair
from instructor_search.records import Demonstration
from instructor_search.search.compare import Side, compare
from instructor_search.search.explain import explain_hit
from instructor_search.search.reranking import make_reranker
from instructor_search.store.judgments import judge
from tests.toy import HashEncoder

LEGAL, MEDICAL = find_pair("legal"), find_pair("medical")
OWN = "Represent the question of a sailor: "
GIVEN = {  # what is given -> what the encoder sees of a query over documents under the instruction of @legal
    "default": (None, LEGAL.query),
    "none": ("", ""),
    "sentence": (OWN, OWN),
    "name": ("@medical", MEDICAL.query),
    "name and side": ("@medical/document", MEDICAL.document),
    "Instruction": (Instruction(OWN), OWN),
    "NamedInstructions": (MEDICAL, MEDICAL.query),
    "InstructionPair": (InstructionPair(MEDICAL.query, MEDICAL.document), MEDICAL.query),
    "pair": ((OWN, "Represent the log: "), OWN),
}
TYPED = [name for name, (given, _) in GIVEN.items() if given is None or isinstance(given, str)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    from ingest import ingest

    folder = tmp_path_factory.mktemp("rule")
    notes = folder / "notes"
    notes.mkdir()
    for name, text in {
        "ships": "A ship needs a licence.",
        "salt": "Salt is mined.",
        "sails": "Sails are sewn.",
    }.items():
        (notes / f"{name}.md").write_text(text)
    ingest(IngestConfig(paths=(notes,), store=str(folder / "store"), instruction=LEGAL))
    return str(folder / "store")


@pytest.fixture(scope="module")
def searcher(store):
    return Searcher(Collection.open("notes", store))


@pytest.fixture
def seen(monkeypatch):
    """The instructions that encoders saw, but that of the documents."""
    found, real = set(), InstructorEncoder.encode

    def encode(self, sentences, *more, **options):
        found.update(pair[0] for pair in sentences if isinstance(pair, InstructedText))
        return real(self, sentences, *more, **options)

    monkeypatch.setattr(InstructorEncoder, "encode", encode)
    return found


def typed(*arguments):
    """Run the command and return what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([str(argument) for argument in arguments]) == 0
    return out.getvalue()


def flag(given):
    return () if given is None else ("--instruction", given)


@pytest.fixture(params=GIVEN)
def case(request):
    return GIVEN[request.param]


@pytest.fixture(params=TYPED)
def typed_case(request):
    return GIVEN[request.param]


def first_chunk(searcher):
    return searcher.search("salt", mode="text")[0].chunk_id


PYTHON = {
    "search": lambda s, given: s.search("ships", instruction=given),
    "search with a Query": lambda s, given: s.search(Query("ships", given)),
    "search with a Query, and the argument": lambda s, given: s.search(Query("ships"), instruction=given),
    "search_many": lambda s, given: s.search_many(["ships", Query("salt", given)], instruction=given),
    "compare": lambda s, given: compare("ships", [Side(s, given), Side(s, given)]),
    "explain": lambda s, given: explain_hit(s, first_chunk(s), "ships", [given]),
}


@pytest.mark.parametrize("edge", PYTHON)
def test_python(edge, case, searcher, seen):
    given, expected = case
    searcher.encoder._recent.clear()
    result = PYTHON[edge](searcher, given)
    assert seen - {LEGAL.document} == {expected} - {LEGAL.document}
    if edge == "compare":
        assert result.instructions == (expected, expected)
    elif edge == "explain":
        assert result[0].instruction == expected


def test_judgments(case, searcher):
    given, expected = case
    made = judge(searcher.collection, searcher.view, first_chunk(searcher), query="q", instruction=given, relevant=True)
    assert made.instruction == expected


def arguments_of(command, searcher, folder):
    """Return the arguments of a command beside the instruction."""
    hit = (first_chunk(searcher), "--query", "ships")
    (folder / "queries").write_text("ships\nsalt\n")
    return {
        "search": ("search", "ships"),
        "compare": ("compare", "ships", "--view", "default", "--view", "default"),
        "explain": ("explain", *hit),
        "judge": ("judge", *hit, "--relevant"),
        "index": ("index", "--kind", "exact", "--queries", folder / "queries"),
    }[command]


@pytest.mark.parametrize("command", ["search", "compare", "explain", "judge", "index"])
def test_commands(command, typed_case, searcher, store, seen, tmp_path):
    given, expected = typed_case
    words = arguments_of(command, searcher, tmp_path)
    printed = json.loads(typed(*words, *flag(given), "--collection", "notes", "--store", store, "--json"))
    if command in ("search", "judge"):
        assert printed["instruction"] == expected
    elif command == "compare":
        assert printed["instructions"] == [expected] * 2
    elif command == "explain":
        assert [one["instruction"] for one in printed] == ([expected] if given is not None else [expected, ""])
    else:
        assert seen - {LEGAL.document} == {expected} - {LEGAL.document}


def test_the_page_and_its_api(typed_case, store, seen, tmp_path):
    from ui.api import endpoints
    from ui.asking import Asked
    from ui.config import AppConfig
    from ui.session import Session

    given, expected = typed_case
    session = Session(AppConfig(store=store, runs=tmp_path / "runs"))
    try:
        assert session.search(Asked("notes", "ships", given)).asked.instruction == expected
        assert seen - {LEGAL.document} == {expected} - {LEGAL.document}
        seen.clear()
        functions = {function.__name__: function for function in endpoints(session)}
        told = "default" if given is None else given
        assert functions["compare"]("ships", told, told)["instructions"] == (expected, expected)
        chunk = functions["search"]("salt under sail", told)[0]["chunk_id"]
        assert functions["explain"]("ships", chunk, told)["instruction"] == expected
        assert functions["judge"]("ships", chunk, True, told)["instruction"] == expected
        assert seen - {LEGAL.document} == {expected} - {LEGAL.document}
    finally:
        session.close()


@pytest.mark.parametrize(
    ("given", "query", "document"), [("@medical", MEDICAL.query, MEDICAL.document), (OWN, OWN, OWN)]
)
def test_rerankers(given, query, document, searcher, seen):
    reranker = make_reranker(f"instruction:{given}", searcher.encoder)
    searcher.search("ships", instruction=LEGAL, reranker=reranker)
    assert seen == {LEGAL.query, query, document}


def test_pools_compare_inputs_with_inputs_unless_told(case, tmp_path, monkeypatch):
    given, expected = case
    encoder, asked = HashEncoder(), []
    pool = create_pool(
        "pool", [Demonstration("a", "1"), Demonstration("b", "2")], store=tmp_path, instruction=LEGAL, encoder=encoder
    )
    assert pool.view.document_instruction == LEGAL.document
    real = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda pairs, *a, **o: (asked.extend(pairs), real(pairs, *a, **o))[1])
    pool.select("c", instruction=given, max_cosine=None)
    assert {pair[0] for pair in asked} == {LEGAL.document if given is None else expected}


def test_the_prompts_of_command_and_api_have_the_same_rule(typed_case, store, tmp_path):
    from ui.config import AppConfig
    from ui.prompting import AskedPrompt, prompt_for
    from ui.session import Session

    given, expected = typed_case
    rows = "".join(
        f"{json.dumps({'input': text, 'output': str(n)})}\n" for n, text in enumerate(["salt", "sails", "ships"])
    )
    (tmp_path / "rows.jsonl").write_text(rows)
    from ingest import ingest

    ingest(
        IngestConfig(
            paths=(tmp_path / "rows.jsonl",),
            store=str(tmp_path / "store"),
            collection="pool",
            examples=True,
            input_field="input",
            output_field="output",
            instruction="@legal",
        )
    )
    told = json.loads(
        typed("prompt", "a ship", "--pool", "pool", "--store", tmp_path / "store", *flag(given), "--json")
    )
    assert told["instruction"] == (LEGAL.document if given is None else expected)
    session = Session(AppConfig(store=str(tmp_path / "store"), runs=tmp_path / "runs"))
    try:
        shown = prompt_for(session, AskedPrompt("pool", "a ship", given))
        assert [d.score for d in shown.demonstrations] == [d["score"] for d in told["demonstrations"]]
    finally:
        session.close()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (LEGAL, LEGAL.document),
        ("@legal", LEGAL.document),
        ("@legal/query", LEGAL.query),
        (Instruction(OWN), OWN),
        (("Represent the question: ", OWN), OWN),
        ("", ""),
    ],
)
def test_documents(given, expected, tmp_path):
    from ingest.target import choose_instruction

    assert choose_instruction(given, None, None) == expected
    collection = Collection.create_empty("c", tmp_path, chunk_tokens=100, chunk_overlap=0)
    with collection.writing():
        assert collection.add_view(HashEncoder(), given, "default").document_instruction == expected
    assert collection.find_view("hash-16", given).name == "default"


def test_two_instructions_for_one_query_are_refused(searcher):
    with pytest.raises(
        ValueError, match="two instructions were given for one query: 'A: ' and 'B: '; give one of them"
    ):
        searcher.search(Query("ships", "A: "), instruction="B: ")
    with pytest.raises(ValueError, match="two filters were given for one query"):
        searcher.search_many([Query("ships", where="mime = a")], where="mime = b")
    same = searcher.search(Query("ships", "@medical"), instruction=MEDICAL)
    assert same == searcher.search("ships", instruction=MEDICAL.query)
    by_query = searcher.search(Query("ships", where="source contains salt"))
    assert by_query == searcher.search(Query("ships"), where="source contains salt") and len(by_query) == 1


@pytest.mark.parametrize("given", [5, b"bytes", ["a"], ("a", 5), ("a", "b", "c"), {"query": "a"}])
def test_what_is_no_instruction_is_refused(given, searcher):
    with pytest.raises(ValueError, match="the instruction is .*; expected a sentence, '@name' of the library"):
        searcher.search("ships", instruction=given)


def test_defaults_and_names():
    assert resolve(None) == DEFAULT_QUERY_INSTRUCTION and resolve(None, "document") == DEFAULT_DOCUMENT_INSTRUCTION
    assert resolve(None, documents_under="") == "" and resolve(None, "document", documents_under="x") == "x"
    assert resolve_pair("@legal") == (LEGAL.query, LEGAL.document) and resolve_pair("a: ") == ("a: ", "a: ")
    assert (name_of("@legal/query"), name_of(LEGAL), name_of("legal"), name_of(None)) == ("legal", "legal", None, None)
    assert agreed(None, None) == DEFAULT_QUERY_INSTRUCTION and agreed("", None) == "" and agreed(None, "a") == "a"
    with pytest.raises(ValueError, match="no instruction is called 'legl'; did you mean legal"):
        resolve("@legl")
