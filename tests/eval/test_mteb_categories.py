"""The seven MTEB categories on bundled sets: mteb's scores against plain computations on the encoder's own vectors."""

import numpy as np
import pytest
import pytrec_eval
from scipy.stats import spearmanr
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score, v_measure_score

from eval.records import Category, EvalDataError
from eval.sources import BUNDLED, choose_source
from tests.eval.conftest import rows_of, write_rows

TASKS = {task.info.name: task for task in choose_source("bundled").tasks}


@pytest.fixture
def run(default_system, context, minilm):
    """Return a task's outcome, and a function that embeds under one of its sides."""

    def evaluate(name):
        task = TASKS[name]
        sides = default_system.sides(task.info)

        def vectors(texts, side="query"):
            return minilm.encode([(getattr(sides, side), t) for t in texts]).astype(np.float64)

        return task.evaluate(default_system, sides, context), vectors

    return evaluate


def test_every_category_has_a_bundled_set():
    assert {task.info.category for task in TASKS.values()} == set(Category)


def test_retrieval_is_pytrec_eval_of_cosines_under_both_instructions(run):
    outcome, vectors = run("GardenAnswers")
    folder = BUNDLED / "retrieval/GardenAnswers"
    corpus, queries = rows_of(folder / "corpus.jsonl"), rows_of(folder / "queries.jsonl")
    scores = (
        vectors([q["text"] for q in queries]) @ vectors([f"{d['title']} {d['text']}" for d in corpus], "document").T
    )
    qrels: dict = {}
    for line in (folder / "qrels/test.tsv").read_text().splitlines()[1:]:
        query, document, score = line.split("\t")
        qrels.setdefault(query, {})[document] = int(score)
    found = {
        q["_id"]: {d["_id"]: float(s) for d, s in zip(corpus, row, strict=True)}
        for q, row in zip(queries, scores, strict=True)
    }
    per_query = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(found)
    expected = np.mean([v["ndcg_cut_10"] for v in per_query.values()])
    assert outcome.units.score() == pytest.approx(expected, abs=1e-9)
    assert outcome.scores["main_score"] == pytest.approx(expected, abs=5e-6)  # mteb rounds to five digits


def test_reranking_is_the_mean_of_average_precisions(run):
    outcome, vectors = run("MuseumQuestions")
    values = []
    for row in rows_of(BUNDLED / "reranking/MuseumQuestions/test.jsonl"):
        labels = [1] * len(row["positive"]) + [0] * len(row["negative"])
        cosines = (vectors(row["positive"] + row["negative"], "document") @ vectors([row["query"]]).T)[:, 0]
        ranked = [label for _, label in sorted(zip(-cosines, labels, strict=True))]
        hits = [place for place, label in enumerate(ranked, 1) if label]
        values.append(np.mean([(i + 1) / place for i, place in enumerate(hits)]))
    assert outcome.units.score() == pytest.approx(np.mean(values), abs=1e-9)


def test_clustering_is_v_measure_of_mini_batch_k_means(run):
    outcome, vectors = run("ShortNotices")
    rows = rows_of(BUNDLED / "clustering/ShortNotices/test.jsonl")
    rows = [rows[i] for i in np.random.default_rng(42).permutation(len(rows))]
    means = MiniBatchKMeans(5, batch_size=500, n_init="auto", random_state=42)
    clusters = means.fit(vectors([r["text"] for r in rows]).astype(np.float32)).labels_
    expected = v_measure_score([r["label"] for r in rows], clusters)
    assert outcome.scores["main_score"] == pytest.approx(expected, abs=1e-9)
    assert outcome.units.score() == pytest.approx(expected, abs=1e-9)


def test_clustering_over_several_seeds_is_the_mean_of_each_ones_v_measure(run, context):
    context.cluster_seeds = 4
    outcome, vectors = run("ShortNotices")
    rows = rows_of(BUNDLED / "clustering/ShortNotices/test.jsonl")
    rows = [rows[i] for i in np.random.default_rng(42).permutation(len(rows))]
    labels, embedded = [r["label"] for r in rows], vectors([r["text"] for r in rows]).astype(np.float32)
    means = [MiniBatchKMeans(5, batch_size=500, n_init="auto", random_state=s) for s in (42, 43, 44, 45)]
    expected = [v_measure_score(labels, m.fit(embedded).labels_) for m in means]
    assert outcome.scores["v_measures"] == pytest.approx(expected, abs=1e-9) and len(set(expected)) > 1
    assert outcome.scores["main_score"] == pytest.approx(np.mean(expected), abs=1e-9)
    assert outcome.units.score() == pytest.approx(np.mean(expected), abs=1e-9)
    assert outcome.notes == [
        f"mean of 4 seeds of k-means, standard deviation {100 * np.std(expected, ddof=1):.2f}; "
        f"mteb's one gives {100 * expected[0]:.2f}"
    ]
    assert outcome.units.num_units == len(rows)


def test_pair_classification_is_average_precision_of_cosine(run):
    outcome, vectors = run("LibraryQuestions")
    rows = rows_of(BUNDLED / "pairclassification/LibraryQuestions/test.jsonl")
    cosines = np.einsum("ij,ij->i", *(vectors([r[s] for r in rows]) for s in ("sentence1", "sentence2")))
    expected = average_precision_score([r["label"] for r in rows], cosines)
    assert outcome.scores["main_score"] == pytest.approx(expected, abs=1e-9)


def test_classification_is_the_mean_accuracy_of_ten_few_shot_regressions(run):
    outcome, vectors = run("ShopMessages")
    train, test = (rows_of(BUNDLED / f"classification/ShopMessages/{s}.jsonl") for s in ("train", "test"))
    names = sorted({r["label"] for r in train})
    order, accuracies = list(range(len(train))), []
    embedded, asked = (vectors([r["text"] for r in rows]).astype(np.float32) for rows in (train, test))
    for _ in range(10):  # mteb shuffles the last order again, with the same seed, and takes eight a label
        np.random.RandomState(42).shuffle(order)
        taken = [i for label in names for i in [j for j in order if train[j]["label"] == label][:8]]
        taken.sort(key=order.index)
        model = LogisticRegression(max_iter=100, random_state=42)
        model.fit(embedded[taken], [names.index(train[i]["label"]) for i in taken])
        accuracies.append(accuracy_score([names.index(r["label"]) for r in test], model.predict(asked)))
    assert outcome.scores["main_score"] == pytest.approx(np.mean(accuracies), abs=1e-9)
    assert outcome.units.score() == pytest.approx(np.mean(accuracies), abs=1e-9)


def test_sts_is_spearman_of_cosine(run):
    outcome, vectors = run("EverydaySentences")
    rows = rows_of(BUNDLED / "sts/EverydaySentences/test.jsonl")
    cosines = np.einsum("ij,ij->i", *(vectors([r[s] for r in rows]) for s in ("sentence1", "sentence2")))
    expected = spearmanr(cosines, [r["score"] for r in rows]).statistic
    assert outcome.scores["main_score"] == pytest.approx(expected, abs=1e-9)


def test_summarization_is_the_mean_spearman_of_the_best_cosine(run):
    outcome, vectors = run("TownNews")
    values, with_p = [], []
    for row in rows_of(BUNDLED / "summarization/TownNews/test.jsonl"):
        best = (vectors(row["machine_summaries"]) @ vectors(row["human_summaries"]).T).max(axis=1)
        found = spearmanr(row["relevance"], best)
        values.append(found.statistic)
        with_p.append((found.statistic + found.pvalue) / 2)
    assert outcome.scores["main_score"] == pytest.approx(np.mean(values), abs=1e-9)
    assert f"{100 * np.mean(with_p):.2f}" in outcome.notes[0]  # how published SummEval scores are computed


def test_texts_of_equal_judgments_are_told(default_system, context, tmp_path):
    rows = rows_of(BUNDLED / "summarization/TownNews/test.jsonl")[:4]
    sides = TASKS["TownNews"].info.sides("none")

    def evaluate(*equal):
        changed = [
            row | ({"relevance": [3] * len(row["relevance"])} if i in equal else {}) for i, row in enumerate(rows)
        ]
        write_rows(tmp_path / "summarization/News/test.jsonl", changed)
        (task,) = choose_source(str(tmp_path)).tasks
        return task.evaluate(default_system, sides, context)

    whole, three = evaluate(), evaluate(1)
    assert not [note for note in whole.notes if "equal" in note]
    assert "1 of 4 texts have equal judgments and are left out" in three.notes
    values = whole.units.groups[0].arrays["values"]
    assert three.scores["main_score"] == pytest.approx(np.mean(values[[0, 2, 3]]), abs=1e-9)
    with pytest.raises(EvalDataError, match="test.jsonl: all 4 texts have equal judgments; expected different ones"):
        evaluate(0, 1, 2, 3)
