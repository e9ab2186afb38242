"""What the instruction does to the neighbours: the shipped reviews, bug reports and papers, each asked in two ways.

    python benchmarks/instruction_effect.py [--model MODEL]

Every text is embedded under the instruction, and the share of its nearest other texts that have the same label is
counted, for two labels of the same texts. An instruction that works moves one share up and the other down.

Then a word that means several things is the query, under instructions that name the domain of one meaning: how often the
right article of encyclopedia/ is first among those of its word, and by how much its lead over them grows by the domain.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
CORPUS = Path(__file__).parents[1] / "corpus"

# set: (file, text column, labels, neighbours, instructions by what they ask for)
SETS: dict[str, tuple[str, str, tuple[str, str], int, dict[str, str]]] = {
    "reviews": (
        "reviews/reviews.csv",
        "review",
        ("product", "sentiment"),
        5,
        {
            "none": "",
            "product": "Represent the customer review, be it happy, wonderful, terrible, disappointed or a waste of money, "
            "for retrieving reviews of the same product: ",
            "sentiment": "Represent the review of headphones, a coffee maker, boots or a vacuum cleaner for classifying "
            "whether the customer is happy: ",
        },
    ),
    "bug reports": (
        "bugs/bug_reports.jsonl",
        "description",
        ("component", "severity"),
        3,
        {
            "none": "",
            "component": "Represent the bug report, be it a crash, data loss, a breach, a wrong colour or a typing mistake, "
            "for retrieving reports of the same component: ",
            "severity": "Represent the bug report on login, password, search, index, export, PDF, payment or card for "
            "retrieving reports of the same severity: ",
        },
    ),
    "papers": (
        "papers/papers.parquet",
        "abstract",
        ("topic", "method"),
        2,
        {
            "none": "",
            "topic": "Represent the research paper, be it by neural network, randomised trial or interviews, for retrieving "
            "papers on the same topic: ",
            "method": "Represent the research paper, be it on lung cancer screening, river floods, school dropout or bees, "
            "for retrieving papers with the same method: ",
        },
    ),
}


# article: domains of its meaning
SENSES: dict[str, tuple[str, ...]] = {
    "bark-dog": ("animal", "pet", "veterinary"),
    "bark-tree": ("botany", "forestry", "plant"),
    "cell-biology": ("biology", "medical", "life science"),
    "cell-prison": ("crime", "law", "justice"),
    "cell-spreadsheet": ("office software", "accounting", "computing"),
    "crane-bird": ("animal", "ornithology", "wildlife"),
    "crane-machine": ("construction", "engineering", "building site"),
    "jaguar-animal": ("animal", "zoology", "wildlife"),
    "jaguar-car": ("car", "engineering", "automobile"),
    "java-island": ("geography", "travel", "Indonesia"),
    "java-language": ("programming", "software", "computer science"),
    "mercury-element": ("chemistry", "metal", "materials science"),
    "mercury-god": ("Roman mythology", "religion", "ancient history"),
    "mercury-planet": ("astronomy", "space", "solar system"),
    "virus-biology": ("biology", "medical", "health"),
    "virus-computer": ("programming", "computer security", "software"),
}
WORDINGS = (
    "Represent the {} question for retrieving supporting documents: ",
    "Represent the {} query for retrieval: ",
    "Represent the question about {} for retrieving encyclopedia articles: ",
)
NO_DOMAIN = "Represent the question for retrieving supporting documents: "


def read_rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a table of the corpus."""
    path = CORPUS / name
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(path).to_pylist()
    import csv

    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def neighbour_agreement(vectors: Any, labels: list[Any], neighbours: int) -> float:
    """Return the share of each text's nearest others (cosine) that have its label."""
    import numpy as np

    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :neighbours]
    return float(np.mean([[labels[i] == labels[j] for j in row] for i, row in enumerate(nearest)]))


def measure(encoder: Any, name: str) -> dict[str, dict[str, float]]:
    """Return, for each instruction of a set, the agreement for each of its two labels."""
    file, column, labels, neighbours, instructions = SETS[name]
    rows = read_rows(file)
    texts = [row[column] for row in rows]
    result = {}
    for asked, instruction in instructions.items():
        vectors = encoder.encode(texts, instruction=instruction, normalize_embeddings=True)
        result[asked] = {x: neighbour_agreement(vectors, [row[x] for row in rows], neighbours) for x in labels}
    return result


def measure_senses(encoder: Any) -> tuple[int, int, float]:
    """Return how many of the queries find their meaning first, how many there are, and the mean growth of the lead."""
    import numpy as np

    texts = {path.stem: re.sub(r"<[^>]+>", " ", path.read_text()) for path in (CORPUS / "encyclopedia").iterdir()}
    articles = dict(
        zip(texts, encoder.encode([("Represent the document for retrieval: ", t) for t in texts.values()]), strict=True)
    )
    leads, grown = [], []
    for sense, domains in SENSES.items():
        word = sense.split("-")[0]
        others = np.stack([v for name, v in articles.items() if name.startswith(f"{word}-") and name != sense])
        asked = [NO_DOMAIN] + [form.format(domain) for domain in domains for form in WORDINGS]
        queries = encoder.encode([(instruction, word) for instruction in asked])
        lead = queries @ articles[sense] - (queries @ others.T).max(1)
        leads += lead[1:].tolist()
        grown += (lead[1:] - lead[0]).tolist()
    return sum(lead > 0 for lead in leads), len(leads), float(np.mean(grown))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", help="folder or hub id (default: the default model)")
    from instructor_search import load_encoder

    encoder = load_encoder(parser.parse_args().model)
    print(
        "| texts | asked by | same product / component / topic | same sentiment / severity / method |\n|---|---|---|---|"
    )
    for name in SETS:
        for asked, shares in measure(encoder, name).items():
            print(f"| {name} | {asked} | " + " | ".join(f"{share:.3f}" for share in shares.values()) + " |")
    right, count, growth = measure_senses(encoder)
    print(f"\nwords of several meanings: {right} of {count} right; the domain moves the lead by {growth:.4f}")


if __name__ == "__main__":
    main()
