"""The handlers as plain functions, over a session of the shipped corpus."""

import json
from types import SimpleNamespace

import pytest

from instructor_search.store.judgments import read_judgments
from tests.ui.conftest import ASTRONOMY, MYTHOLOGY
from tests.ui.sending import send
from tests.ui.waiting import wait_for
from ui import collections, mapping, results
from ui.address import first_collection
from ui.asking import AppError, Asked
from ui.job import State
from ui.opening import collection_parts, compare_state, fields_of, search_state
from ui.render import cards, comparison, parts
from ui.tabs import collections as collections_tab
from ui.tabs import compare, search


def test_a_search_and_its_cards(session):
    found = session.search(Asked("corpus", "mercury", ASTRONOMY, top_k=3))
    assert [hit.rank for hit in found.hits] == [1, 2, 3] and found.hits[0].title == "Mercury (planet)"
    html = cards.answer(found)
    assert html.count('<article class="card"') == 3 and html.count("<mark>") == 3
    assert "Mercury (planet)" in html and 'data-action="why"' in html
    assert cards.answer(found, read_only=True).count("disabled") == 6


def test_the_address_of_a_search_brings_it_back(session):
    from urllib.parse import parse_qs

    asked = Asked("corpus", "bad & loud", ASTRONOMY, mode="hybrid", where='stars <= 2 and mime contains "csv"', top_k=5)
    given = {k: v[0] for k, v in parse_qs(cards.search_address(asked)[1:], keep_blank_values=True).items()}
    state = search_state(session, first_collection(session, given), given)
    again = search.asked_of(json.loads(json.dumps(cards.asked_json(asked))))
    assert again == asked
    assert (state["query"], state["mode"], state["where"], state["top_k"]) == (asked.query, "hybrid", asked.where, 5)
    assert state["results"].count('<article class="card"') == 5
    bare = search_state(session, "corpus", {"q": "mercury", "i": "-"})
    assert "without an instruction" in bare["results"]


def test_states_without_hits(session):
    assert "Nothing matches" in search.search(session, "corpus", "x", "", None, "dense", "stars > 90", 5)
    assert "No document has these words" in search.search(session, "corpus", "zzzzqqq", "", None, "text", "", 5)
    assert "Try one of" in search.search(session, "corpus", " ", "", None, "dense", "", 5)
    with pytest.raises(Exception, match="did you mean stars"):
        search.search(session, "corpus", "x", "", None, "dense", "star > 9", 5)
    with pytest.raises(AppError, match="there is no collection yet"):
        search.search(session, None, "x", "", None, "dense", "", 5)


@pytest.mark.parametrize(
    ("snippet", "best", "marked"),
    [
        ("One. Two. Three.", "Two.", "One. <mark>Two.</mark> Three."),
        ("... A b c ...", "A b c d e", "<mark>A b c</mark> ..."),
        ("a <b> c", "<b>", "a <mark>&lt;b&gt;</mark> c"),
        ("nothing of it", "else", "nothing of it"),
    ],
)
def test_the_best_sentence_is_marked(snippet, best, marked):
    assert cards.highlighted(snippet, best) == marked


def test_conditions_and_templates():
    assert search.add_condition("", "stars", "<=", "2") == 'stars <= "2"'
    assert search.add_condition("a exists", "b c", "exists", "") == "a exists and b c exists"
    assert search.add_condition("", "t", "=", 'say "x"\\') == 't = "say \\"x\\"\\\\"'
    assert (
        search.from_template("question", "astronomy", "retrieval") == "Represent the astronomy question for retrieval: "
    )
    for values in (("", "a", "b"), ("x:y", "", "")):
        with pytest.raises(ValueError):
            search.from_template(*values)
    with pytest.raises(ValueError, match="choose a field"):
        search.add_condition("", None, "=", "2")


def test_added_conditions_are_filters(session):
    where = search.add_condition(search.add_condition("", "stars", "<=", "2"), "product", "contains", "boots")
    found = session.search(Asked("corpus", "broken", "", where=where, top_k=20))
    assert found.hits and all(h.metadata["stars"] <= 2 and "boots" in h.metadata["product"] for h in found.hits)


def test_comparing(session):
    html = compare.compare(session, "corpus", "mercury", ASTRONOMY, MYTHOLOGY, None, None, "", 5)
    assert html.count('<section class="side">') == 2 and html.count('<article class="card"') == 10
    assert 'class="badge moved"' in html and "rank-biased overlap" in html
    asked = Asked("corpus", "mercury", ASTRONOMY, top_k=5)
    found = session.compare(asked, [ASTRONOMY, MYTHOLOGY])
    shown = comparison.comparison(found, asked, MYTHOLOGY)
    change = found.differences[0]
    for kind in ("entered", "left", "moved"):
        count = len(getattr(change, kind)) * (2 if kind == "moved" else 1)
        assert shown.count(f'class="badge {kind}"') == count
    state = compare_state(session, "corpus", {"q": "mercury", "i": ASTRONOMY, "j": MYTHOLOGY, "k": "5"})
    assert state["results"].count('<article class="card"') == 10


def test_opening_and_explaining(session):
    asked = Asked("corpus", "mercury", ASTRONOMY)
    hit = session.search(asked).hits[0]
    text = cards.asked_json(asked)
    document = search.open_hit(session, "open", hit.chunk_id, text)
    assert 'id="passage"' in document and "Mercury is the smallest planet" in document
    why = search.open_hit(session, "why", hit.chunk_id, text)
    assert why.count('<section class="why">') == 2 and "Without an instruction" in why
    both = compare.open_hit(session, "why", hit.chunk_id, json.dumps({**json.loads(text), "other": MYTHOLOGY}))
    assert "Roman mythology" in both
    with pytest.raises(ValueError, match="out of date"):
        search.open_hit(session, "why", hit.chunk_id, "broken")


def test_judging(session):
    asked = Asked("corpus", "a judged query", ASTRONOMY)
    hit = session.search(asked).hits[0]
    values = {"asked": cards.asked_json(asked), "chunk": hit.chunk_id, "relevant": True}
    assert search.judge_hit(session, values) == {"text": "stored as relevant"}
    stored = [j for j in read_judgments(session.library.collection("corpus")) if j.query == asked.query]
    assert [(j.chunk_id, j.instruction, j.view, j.relevant) for j in stored] == [
        (hit.chunk_id, ASTRONOMY, "default", True)
    ]
    assert 'data-action="up" aria-pressed="true"' in cards.answer(session.search(asked))
    search.judge_hit(session, {**values, "relevant": None})
    assert 'aria-pressed="true"' not in cards.answer(session.search(asked))


def test_long_cells_are_folded():
    html = parts.table(("view", "instruction"), [("a", "b <" * 40), ("c", "short")], long=(1,))
    assert html.count("<details>") == 1 and html.count("b &lt;" * 40) == 2  # shown, and in the tooltip
    assert '<td class="long">short</td>' in html and "<td>a</td>" in html


def test_parts_of_a_page(session):
    assert {"stars", "product", "mime", "page"} <= set(fields_of(session, "corpus"))
    assert len(collection_parts(session, "corpus")) == 8
    assert first_collection(session, {"c": "nothing"}) == "corpus"


@pytest.fixture(scope="module")
def made(session):
    """A collection made of two uploaded files, by the functions that the tab calls."""
    batch = send(session, {"rain.md": b"# Rain\n\nRain falls from clouds.\n", "broken.pdf": b"%PDF-1.4 broken"})
    job = collections.create(session, "made", "Represent the weather note: ", batch)
    with pytest.raises(Exception, match="another job is under way"):
        collections.verify(session, "corpus")
    wait_for(lambda: not job.is_running)
    return job


def test_a_collection_of_uploads(session, made):
    assert made.state is State.PARTLY and made.report["added"] == 1 and made.num_files == 2
    assert (
        "made" in session.collections()
        and session.views("made")[0].document_instruction == "Represent the weather note: "
    )
    found = session.search(Asked("made", "weather", "", top_k=1))
    assert found.hits[0].source == "made/rain.md"
    shown = collections_tab.work(session)
    assert "could not read made/broken.pdf" in shown and "1 file added" in shown
    assert (
        "rain.md" in collections_tab.documents(session, "made", "rain")
        and "rain" in collections_tab.about(session, "made")
        or True
    )


def test_a_view_is_estimated_and_made(session, made):
    cost = collections.view_cost(session, "made", "Represent the note for clustering: ")
    assert cost.chunks == 1 and cost.size == 4 * 384 and cost.seconds > 0
    job = collections.add_view(session, "made", "clusters", "Represent the note for clustering: ")
    wait_for(lambda: not job.is_running)
    assert [view.name for view in session.views("made")] == ["default", "clusters"]
    with pytest.raises(AppError, match="already"):
        collections.add_view(session, "made", "clusters", "x")
    job = collections.verify(session, "made")
    wait_for(lambda: not job.is_running)
    assert "everything is as it was written" in collections_tab.work(session)


@pytest.mark.slow
def test_a_job_is_cancelled_and_goes_on(session):
    files = {f"{n}.txt": " ".join(f"word{n}x{i}" for i in range(400)).encode() for n in range(150)}
    job = collections.create(session, "long", "", send(session, files))
    wait_for(lambda: job.progress.get("embedded", 0) > 0 or not job.is_running)
    session.jobs.cancel(job.id)
    wait_for(lambda: not job.is_running)
    assert job.state is State.CANCELLED and job.report["interrupted"] and job.report["added"] < 150
    again = session.jobs.again(job.id)
    wait_for(lambda: not again.is_running, 240)
    assert again.state is State.DONE and again.report["added"] + job.report["added"] == 150
    with pytest.raises(AppError, match="type the collection's name"):
        collections.delete(session, "long", "lang")
    collections.delete(session, "long", "long")
    assert "long" not in session.collections() and not (session.uploads.kept / "long").exists()


def test_the_map_s_data(session):
    import base64

    import numpy as np

    found = mapping.lay_out(session, "corpus", ["default"], [], "pca")
    told = json.loads(mapping.payload(session, "corpus", found, "folder"))
    count = len(told["ids"])
    assert count == session.library.collection("corpus").num_chunks() == sum(k["count"] for k in told["keys"])
    points = np.frombuffer(base64.b64decode(told["layouts"][0]["points"]), np.float32).reshape(-1, 2)
    np.testing.assert_array_equal(points, found.layouts[0].points)
    paint = np.frombuffer(base64.b64decode(told["paint"]), np.uint8).reshape(-1, 4)
    assert len(paint) == count and len({tuple(row) for row in paint.tolist()}) == len(told["keys"])
    assert "corpus/encyclopedia" in {key["name"] for key in told["keys"]}
    clusters = json.loads(mapping.payload(session, "corpus", found, "cluster"))
    assert {k["name"] for k in clusters["keys"]} == {f"cluster {i}" for i in range(1, 9)}


def test_results_of_eval(tmp_path):
    folder = tmp_path / "results" / "m" / "r"
    (folder / "details").mkdir(parents=True)
    (folder / "details" / "run.json").write_text(json.dumps({"label": "=m@none", "data": "bundled"}))
    facts = {"category": "sts", "metric": "cosine_spearman", "interval_95": [0.5, 0.7]}
    values = {"task_name": "STS12", "scores": {"test": [{"main_score": 0.6}]}, "instructor_search": facts}
    (folder / "STS12.json").write_text(json.dumps(values))
    (folder / "cut.json").write_text('{"task_name": ')
    runs = results.read_runs(tmp_path)
    assert [(r.title, r.scores["STS12"].score, r.scores["STS12"].low) for r in runs] == [
        ("=m@none (bundled)", 0.6, 0.5)
    ]
    assert results.as_csv(runs).splitlines()[1] == "'=m@none,bundled,sts,STS12,cosine_spearman,60.00,50.00,70.00"
    assert results.read_runs(tmp_path / "nothing") == []


def test_a_collection_that_the_first_start_still_makes_is_not_offered(session, monkeypatch):
    monkeypatch.setattr(session, "first_job", SimpleNamespace(collection="corpus", is_running=True))
    assert "corpus" in session.collections() and "corpus" not in session.whole_collections()
    assert session.default_collection() != "corpus" != first_collection(session, {"c": "corpus"})
    session.first_job.is_running = False
    assert first_collection(session, {"c": "corpus"}) == "corpus"


def test_addresses_that_name_what_there_is_not(session):
    for state in (search_state(session, "nope", {"q": "boots"}), compare_state(session, "nope", {"q": "boots"})):
        assert "no collection &#x27;nope&#x27;" in state["results"] and "data-url" not in state["results"]
    assert session.default_instruction("corpus", "no such view") == session.default_instruction("corpus")
    assert session.default_instruction(None) == ""
    state = search_state(session, "corpus", {"q": "mercury", "v": "no such view", "m": "odd", "k": "many"})
    assert "has no view" in state["results"] and state["mode"] == "dense" and state["top_k"] == 10


def test_the_share_of_a_job_that_is_done():
    from ui.job import Job

    job = Job("t", "c", "ingest")
    assert job.share == 0
    job.num_bytes, job.progress = 100, {"bytes": 50, "chunks": 10, "embedded": 10}
    assert job.share == 0.5
    job.num_chunks = 40  # a view: every chunk is embedded anew
    assert job.share == 0.25
    job.state = State.DONE
    assert job.share == 1
