"""Random adds, changes, deletions, index builds and upkeep, in any order, against a dict and NumPy."""

import tempfile

import numpy as np
import pytest

pytest.importorskip("faiss", reason="FAISS is not installed (extra faiss-cpu)")

from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule  # noqa: E402

from instructor_search import Collection  # noqa: E402
from instructor_search.search import candidates  # noqa: E402
from instructor_search.search.candidates import CandidateFinder  # noqa: E402
from instructor_search.search.index_report import make_index  # noqa: E402
from instructor_search.store import maintenance  # noqa: E402
from instructor_search.store.indexes import policy  # noqa: E402
from instructor_search.store.indexes.fulltext import saved_words  # noqa: E402
from instructor_search.store.indexes.policy import IndexConfig  # noqa: E402
from instructor_search.store.indexes.row_batches import rows_of  # noqa: E402
from instructor_search.store.schema import SHOWN_COLUMNS  # noqa: E402
from instructor_search.store.verify import verify  # noqa: E402
from tests.store.test_view_index import DIM, name_of, rows  # noqa: E402
from tests.toy import HashEncoder  # noqa: E402

EXACT = ("exact", "flat")
KINDS = (*EXACT, "ivf-pq", "ivf-rabitq", "hnsw-sq8", "lance-hnsw-sq")


class Machine(RuleBasedStateMachine):
    """A collection with a reader that stays open, and what should be in it: ``model``, number -> unit vector."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed):
        self.rng, self.model, self.next, self.kind = np.random.default_rng(seed), {}, 0, "exact"
        self.folder = tempfile.TemporaryDirectory()
        self.collection = Collection.create_empty("c", self.folder.name, chunk_tokens=100, chunk_overlap=0)
        self.view = self.collection.add_view(HashEncoder(DIM), "doc: ", "default")
        self.write(range(300))
        self.reader = CandidateFinder(Collection.open("c", self.folder.name), self.collection.view())

    def write(self, numbers, *, may_exist=False):
        table = rows(self.view, list(numbers), self.rng)
        self.collection.upsert(table, may_exist=may_exist)
        vectors = np.stack(table[self.view.column].to_pylist()).astype(np.float64)
        self.model |= dict(zip(numbers, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=True))
        self.next = max(self.next, *(n + 1 for n in numbers))

    def some(self, count):
        return self.rng.choice(sorted(self.model), min(count, len(self.model)), replace=False).tolist()

    @rule(count=st.integers(1, 60))
    def add(self, count):
        self.write(range(self.next, self.next + count))

    @precondition(lambda self: self.model)
    @rule(count=st.integers(1, 30))
    def change(self, count):
        self.write(self.some(count), may_exist=True)

    @precondition(lambda self: self.model)
    @rule(count=st.integers(1, 150))
    def delete(self, count):
        gone = self.some(count)
        self.collection.delete_where(f"ordinal IN ({', '.join(map(str, gone))})")
        for number in gone:
            del self.model[number]

    @precondition(lambda self: self.model)
    @rule(kind=st.sampled_from(KINDS))
    def build(self, kind):
        make_index(self.collection, self.collection.view(), IndexConfig(kind))
        self.kind = kind

    @rule()
    def maintain(self):
        with self.collection.writing():
            maintenance.maintain(self.collection)

    @rule()
    def reopen(self):
        assert not [p for p in verify(self.collection).problems if "hash" not in p]  # rows() gives no hashes
        self.reader = CandidateFinder(Collection.open("c", self.folder.name), self.collection.view())

    @invariant()
    def answers_are_right(self):
        numbers = sorted(self.model)
        if not numbers:
            return
        self.reader.collection.chunks.checkout_latest()  # now, not within two seconds
        matrix, query = np.stack([self.model[n] for n in numbers]), self.rng.normal(size=DIM)
        query = (query / np.linalg.norm(query)).astype(np.float32)
        for where, allowed in ((None, numbers), ("ordinal % 3 = 0", [n for n in numbers if n % 3 == 0])):
            with self.reader.reading():
                found = self.reader.nearest(query, 10, where)
            cosines = dict(zip(map(name_of, numbers), matrix @ query, strict=True))
            names = [f.id for f in found]
            assert len(set(names)) == len(names) == min(10, len(allowed))
            assert set(names) <= set(map(name_of, allowed))
            scores = [f.score for f in found]
            np.testing.assert_allclose(scores, [cosines[n] for n in names], atol=1e-5)
            if self.kind in EXACT or where is not None:
                best = sorted((cosines[name_of(n)] for n in allowed), reverse=True)[:10]
                np.testing.assert_allclose(scores, best, atol=1e-5)
        if list(saved_words(self.collection)):  # by words all of them are found, and none that is gone
            with self.reader.reading():
                assert {f.id for f in self.reader.matching("text", 10**4)} == set(map(name_of, numbers))
                allowed = {name_of(n) for n in numbers if n % 3 == 0}
                assert {f.id for f in self.reader.matching("text", 10**4, "ordinal % 3 = 0")} == allowed
        newest = max(numbers)  # whatever the index, a row is found by its own vector
        with self.reader.reading():
            (first,) = self.reader.nearest(self.model[newest].astype(np.float32), 1)
        assert first.id == name_of(newest)
        with self.reader.reading():  # what is shown is what the table has
            ids = self.reader.table.search().with_row_id(True).select(["id"]).limit(len(numbers)).to_list()
            ids = [row["_rowid"] for row in ids]
            assert self.reader.rows(ids, SHOWN_COLUMNS) == rows_of(self.reader.table, ids, SHOWN_COLUMNS)

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


FEW = settings(
    max_examples=4,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # making a failing case smaller takes minutes
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """A new index is taken up with the next search, not within two seconds; filters get their indexes."""
    monkeypatch.setattr(candidates, "LOOK_SECONDS", -1)
    monkeypatch.setattr(policy, "INDEX_THRESHOLD", 100)


def test_random_changes():
    Machine.TestCase.settings = FEW
    Machine.TestCase("runTest").runTest()


@pytest.mark.slow
def test_many_random_changes():
    Machine.TestCase.settings = settings(FEW, max_examples=60, stateful_step_count=30)
    Machine.TestCase("runTest").runTest()
