"""Weak hits and marked sentences, on the corpus' judged queries (tests/search/signals, benchmarks/search_signals.py)."""

import threading
import time

import numpy as np
import pytest

from benchmarks.search_signals import flags, halves, marks, read_answerable, read_lines
from instructor_search.search.background import MIN_CHUNKS, Background, RandomQueries, random_queries
from instructor_search.search.searcher import Searcher
from instructor_search.search.sentences import Passage, SentenceFinder
from instructor_search.store.collection import Collection
from tests.toy import HashEncoder


@pytest.fixture(scope="module")
def searcher(corpus_store):
    return Searcher(Collection.open("corpus", corpus_store))


@pytest.mark.slow
@pytest.mark.trust
def test_random_words_are_weak_and_answerable_queries_are_not(searcher):
    """3 of 124 and 46 of 50 were measured; every half holds the bar by itself."""
    background = Background(searcher)
    answerable = flags(searcher, background, [(r["instruction"], r["query"]) for r in read_answerable()])
    nonsense = flags(searcher, background, [("default", line) for line in read_lines("nonsense")])
    assert len(answerable) >= 60 and len(nonsense) == 50
    assert not set(random_queries()) & set(read_lines("nonsense"))
    for half in (0, 1):
        assert np.mean(answerable[half::2]) <= 0.05, halves(answerable)
        assert np.mean(nonsense[half::2]) >= 0.8, halves(nonsense)


def test_most_right_sentences_are_found_by_meaning(searcher):
    """83 and 56 % were measured."""
    meaning, words = marks(searcher, "meaning"), marks(searcher, "words")
    assert len(meaning) >= 80
    for half in (0, 1):
        assert np.mean(meaning[half::2]) >= 0.77, halves(meaning)
        assert np.mean(meaning[half::2]) - np.mean(words[half::2]) >= 0.15, (halves(meaning), halves(words))
    cough = searcher.search("which medicine makes me cough", snippets="auto")
    found = {hit.document_id: hit.best_sentence for hit in cough if hit.page == 2}
    assert set(found.values()) == {"A dry cough under ACE inhibitors is harmless but a reason to change."}


def test_the_background_is_that_of_the_view(searcher):
    """The oracle: every random query searched by itself."""
    background = Background(searcher)
    instruction = "Represent the medical question: "
    best = [searcher.search(q, instruction=instruction, top_k=1, snippets="none")[0].score for q in random_queries()]
    assert background.threshold(instruction) == pytest.approx(np.mean(best) + 2 * np.std(best), abs=2e-3)
    assert background.threshold(instruction, 'source contains "reviews"') != background.threshold(instruction)
    assert background.threshold(instruction, "stars > 90") is None  # no chunk is left


class Counting(HashEncoder):
    """Counts the texts that it embeds."""

    num_texts = 0

    def encode(self, sentences, *more, **options):
        self.num_texts += len(sentences)
        return super().encode(sentences, *more, **options)


def test_random_queries_are_embedded_once_for_all_threads():
    encoder = Counting()
    queries = RandomQueries(encoder)
    found = []
    threads = [threading.Thread(target=lambda: found.append(queries.vectors("q: "))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert encoder.num_texts == 64 and all(np.array_equal(found[0], other) for other in found)
    for number in range(64):
        queries.vectors(f"{number}: ")
    queries.vectors("q: ")  # the oldest of 65 was given up
    assert encoder.num_texts == 66 * 64


def test_no_judgment_without_enough_chunks(searcher):
    background = Background(searcher)
    hits = searcher.search("qwxzv blorf", snippets="none")
    few = 'source contains "health"'
    assert background.is_weak(hits, "") and not background.is_weak([], "")
    assert len(searcher.search("x", where=few, top_k=MIN_CHUNKS)) < MIN_CHUNKS
    assert background.threshold("", few) is None and not background.is_weak(hits, "", few)


PASSAGES = [Passage("Title", ("Heading",), ["Heading", f"One {i}.", f"Two {i}."]) for i in range(10)]


def test_a_slow_model_falls_back_to_words():
    """12 sentences measure the speed, once; then none of a slow model's is embedded, and all of a fast one's."""
    vector = np.ones(16, np.float32) / 4
    slow, fast = Counting(seconds=0.05), Counting()
    finder = SentenceFinder(slow, "")
    for _ in range(2):
        assert finder.nearest(vector, "two", PASSAGES, seconds=0.01) == []
    assert slow.num_texts == 12
    finder = SentenceFinder(fast, "")
    found = finder.nearest(vector, "two", PASSAGES, seconds=5)
    assert len(found) == 10 and set(found) <= {1, 2}  # no heading
    assert fast.num_texts == 12 + 20
    assert finder.nearest(vector, "another", PASSAGES, seconds=5) == found and fast.num_texts == 32


def test_a_budget_is_spent_on_the_first_hits():
    finder = SentenceFinder(Counting(seconds=0.02), "")
    started = time.perf_counter()
    found = finder.nearest(np.ones(16, np.float32), "two", PASSAGES, seconds=0.1)
    assert 0 < len(found) < 10 and time.perf_counter() - started < 3
