"""Pools: what each selector gives, against a double loop over the stored vectors; filters, copies, additions."""

import numpy as np
import pytest

from instructor_search import Collection
from instructor_search.errors import FilterError, StoreError
from instructor_search.in_context.annotation import annotate
from instructor_search.in_context.choices import Selector
from instructor_search.in_context.filling import add_examples, create_pool
from instructor_search.in_context.neighbours import neighbour_graph
from instructor_search.in_context.pool import ExamplePool
from instructor_search.in_context.vote_k import fast_vote_k
from instructor_search.records import Demonstration
from instructor_search.store.verify import verify
from tests.in_context.conftest import INSTRUCTION, WORDS, kind_of


def by_hand(words, text, instruction=INSTRUCTION):
    """Cosine of each example of the pool to a text, best first; of equal ones any order."""
    (asked,) = words.encode([(instruction, text)])
    vectors = words.encode([(INSTRUCTION, f"a {word}") for word in WORDS])
    return sorted(((float(asked @ v), f"a {w}") for v, w in zip(vectors, WORDS, strict=True)), reverse=True)


def shown(found):
    return [(round(d.score, 5), d.input) for d in found]


@pytest.mark.parametrize("instruction", [None, "", "Represent the tree: "])
def test_nearest_are_those_of_a_double_loop_under_the_instruction(pool, words, instruction):
    own = INSTRUCTION if instruction is None else instruction
    found = pool.select("cat and oak", instruction=instruction, k=5)
    expected = by_hand(words, "cat and oak", own)[:5]
    assert [s for s, _ in shown(found)] == pytest.approx([s for s, _ in expected], abs=1e-5)
    assert {d.input for d in found[:2]} == {"a cat", "a oak"}
    assert [d.output for d in found] == [kind_of(d.input[2:]) for d in found]


def test_an_example_says_where_it_is_from(pool):
    (found,) = pool.select("tan red", k=1, where="length = 3 and output = tree and n < 7")
    assert (found.input, found.output, found.task) == ("a oak", "tree", "words")
    assert found.metadata == {"length": 3, "n": 6} and found.source.endswith("#row=7")
    assert pool.examples([found.example_id, "gone"]) == [found._replace(score=0.0)]


def test_filters_hold_for_every_selector(pool):
    for selector in Selector:
        found = pool.select("a tan cat bird", k=4, selector=selector, where="output != animal and task = kinds")
        assert found and {d.output for d in found} <= {"tree", "colour"}, selector
        assert {d.task for d in found} == {"kinds"}, selector
    with pytest.raises(FilterError, match="unknown filter field 'kind'"):
        pool.select("a cat", where="kind = x")


@pytest.mark.parametrize("selector", list(Selector))
def test_the_input_is_never_returned_and_k_are_all_the_same(pool, selector):
    share_words = selector == Selector.TEXT  # it finds only what shares a word, and here nothing else does
    for text in ("a cat", "  A CAT!"):
        found = pool.select(text, k=6, selector=selector)
        assert len(found) == len({d.example_id for d in found}) == (0 if share_words else 6)
        assert "a cat" not in [d.input for d in found]
    assert len(pool.select("a cat", k=50, selector=selector)) == (0 if share_words else 11)
    if share_words:
        assert {d.input for d in pool.select("cat and dog", k=6, selector="text")} == {"a cat", "a dog"}


def test_a_near_copy_counts_as_the_input(pool):
    """ "cat the" has the very vector of "a cat" and another text."""
    assert pool.select("cat the", k=1)[0].input != "a cat"
    assert pool.select("cat the", k=1, max_cosine=None)[0].input == "a cat"
    near = by_hand(pool.searcher.encoder, "a cat dog")
    assert pool.select("a cat dog", k=1, max_cosine=near[0][0] + 0.001)[0].input == near[0][1]
    assert pool.select("a cat dog", k=1, max_cosine=near[1][0] - 0.001)[0].input not in (near[0][1], near[1][1])


def test_excluded_examples_are_not_returned(pool):
    first = pool.select("cat oak", k=3)
    again = pool.select("cat oak", k=3, exclude={first[0].example_id})
    assert again[0] == first[1] and first[0] not in again


def test_a_balanced_choice_has_every_output_however_far(pool):
    found = pool.select("cat dog cow hen", k=6, selector="label-balanced")
    assert [d.output for d in found].count("colour") == 2  # there are two, and they are the farthest of all
    assert [d.output for d in found].count("tree") == [d.output for d in found].count("animal") == 2
    assert pool.outputs() == ["animal", "colour", "tree"]


def test_a_balanced_choice_reaches_outputs_beyond_the_candidates(store, words):
    """150 examples of one output are nearer than the only one of the other."""
    near = [Demonstration(f"cat {n}", "animal", metadata={"n": n}) for n in range(150)]
    pool = create_pool("skewed", [*near, Demonstration("an oak", 'tree "tall" \\')], store=store, encoder=words)
    found = pool.select("cat and dog", k=2, selector="label-balanced")
    assert sorted(d.output for d in found) == ["animal", 'tree "tall" \\']


def test_drawn_examples_are_of_their_seed(pool):
    for selector in ("random", "fixed"):
        drawn = [pool.select("a red", k=4, selector=selector, seed=seed) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
    assert pool.select("this", k=4, selector="fixed") == pool.select("that", k=4, selector="fixed")
    assert pool.select("this", k=4, selector="random") != pool.select("that", k=4, selector="random")
    counts = dict.fromkeys((f"a {w}" for w in WORDS), 0)
    for seed in range(300):
        for found in pool.select("nothing", k=3, selector="random", seed=seed):
            counts[found.input] += 1
    assert all(45 < n < 105 for n in counts.values())  # 75 each


def test_added_examples_are_found_once_and_kept_sound(pool):
    before = len(pool)
    new = [Demonstration("cat fox", "animals", task="new"), Demonstration("oak fir", "trees")]
    assert add_examples(pool, new) == 2 and add_examples(pool, new) == 2 and len(pool) == before + 2
    again = ExamplePool("words", pool.collection.folder.parent, encoder=pool.searcher.encoder)
    (found,) = again.select("the fox of a cat", k=1, max_cosine=None)
    assert (found.input, found.output, found.task) == ("cat fox", "animals", "new")
    assert verify(Collection.open("words")).sound
    with pytest.raises(ValueError, match="example 2 has no output: .'x', ' '"):
        add_examples(pool, [new[0], Demonstration("x", " ")])


def test_the_greatest_k_is_within_what_a_search_gives(pool):
    assert len(pool.select("cat oak bird", k=1000, selector="mmr")) == 12


def test_what_cannot_be_meant(pool, store, words):
    for wrong, said in (
        ({"selector": "best"}, "selector is 'best'; expected one of nearest, mmr"),
        ({"k": 0}, "k is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"diversity": 2}, "diversity is 2; expected 0 to 1"),
    ):
        with pytest.raises(ValueError, match=said):
            pool.select("a", **wrong)
    with pytest.raises(ValueError, match="the input is empty"):
        pool.select(" ")
    with pytest.raises(StoreError, match="the pool 'none' has no examples"):
        create_pool("none", store=store, encoder=words).select("a")
    Collection.create_empty("documents", store, chunk_tokens=10, chunk_overlap=0)
    with pytest.raises(StoreError, match="'documents' is no example pool: its rows have no outputs; make one"):
        ExamplePool("documents", store)


def test_annotation_picks_are_vote_k_s_over_the_vectors_by_id(pool):
    rows = sorted(pool.collection.chunks.search().select(["id", "vector_default"]).to_list(), key=lambda r: r["id"])
    vectors = np.array([r["vector_default"] for r in rows], np.float32)
    expected = [rows[i]["id"] for i in fast_vote_k(neighbour_graph(vectors, 4), 5)]
    found = annotate(pool.collection, 5, k=4)
    assert found.ids == expected and (found.num_items, found.graph.kind) == (12, "exact")
    trees = annotate(pool.collection, 2, where="output = tree")
    assert trees.num_items == 4 and {d.output for d in pool.examples(trees.ids)} == {"tree"}
    with pytest.raises(ValueError, match="13 items were asked for and there are 12"):
        annotate(pool.collection, 13)
