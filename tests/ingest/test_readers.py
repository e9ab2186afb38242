"""Every reader against a real file of its format; pages and office files with what is odd in them; which files are read."""

from pathlib import Path

import pytest

from ingest.discovery import SkippedPath, discover
from ingest.readers import suffixes
from tests.ingest.reading import CORPUS, one, read

# file of the corpus, number of documents, title of the first, words of its text, (heading path, words below it)
FORMATS = [
    ("encyclopedia/cell-prison.txt", 1, "cell-prison.txt", "six square metres", None),
    ("encyclopedia/mercury-planet.md", 1, "Mercury (planet)", "88 days", (("Mercury (planet)", "Visits"), "MESSENGER")),
    ("software/caching.rst", 1, "Caching guide", "time to live", (("Caching guide", "Keys"), "user's language")),
    ("health/asthma.html", 1, "Asthma: attack plan", "tight chest", (("Asthma: attack plan", "At once"), "ten puffs")),
    ("health/blood_pressure.pdf", 1, "High blood pressure in plain words", "calcium channel blockers", None),
    ("legal/lease.docx", 1, "Lease of a shop", "86 square metres", (("Lease of a shop", "1. Rent"), "1,450 euros")),
    ("office/quarterly_review.pptx", 1, "Quarterly review, spring 2024", "size table", (("Sales",), "18 percent")),
    ("office/plants.xlsx", 5, "Snake plant", "weeks without water", None),
    ("reviews/reviews.csv", 24, "reviews.csv row=1", "forget I am wearing them", None),
    ("support/tickets.tsv", 8, "Cannot sign in since the update", "token expired", None),
    ("bugs/bug_reports.jsonl", 16, "BUG-101", "process aborts", None),
    ("papers/papers.parquet", 12, "Deep residual networks for early detection of lung nodules", "94 percent", None),
    ("history/fables.epub", 1, "Three fables after Aesop", "sour anyhow", (("The Fox and the Grapes",), "ripe grapes")),
    ("mail/offer.eml", 1, "Offer for 40 office chairs", "189 euros", None),
    ("software/river_levels.ipynb", 1, "Water level of the river, 2023", "resample", None),
    ("software/retry.py", 1, "retry.py", "RateLimiter", (("retry",), "attempts")),
    ("software/deployment.yaml", 1, "deployment.yaml", "memory_mb", None),
]


@pytest.mark.parametrize(("name", "count", "title", "words", "section"), FORMATS, ids=[f[0] for f in FORMATS])
def test_formats(name, count, title, words, section):
    documents = read(CORPUS / name)
    document, blocks, text = documents[0]
    assert (len(documents), document.title) == (count, title)
    assert words in text
    if section:
        heading, inside = section
        assert any(b.heading == heading and inside in b.text for b in blocks), [b.heading for b in blocks]


def test_the_corpus_is_as_rich_as_it_says():
    files = [p for p in CORPUS.rglob("*") if p.is_file()]
    assert len({p.suffix for p in files}) >= 10 and len({p.parent for p in files}) >= 5
    assert sum(len(read(p)) for p in files) >= 60


def test_metadata_of_rows_pages_and_mail():
    document = read(CORPUS / "reviews/reviews.csv")[3][0]
    assert document.metadata == {"product": "Aria 200 headphones", "stars": 1, "sentiment": "negative"}
    assert document.row == 4
    assert document.document_id == "root/reviews.csv#row=4"
    _, blocks, _ = one(CORPUS / "health/blood_pressure.pdf")
    assert {b.page for b in blocks} == {1, 2} and any(b.page == 2 and "ACE inhibitors" in b.text for b in blocks)
    mail, _, text = one(CORPUS / "mail/outage.eml")
    assert mail.metadata["date"] == "2024-04-11T16:40:00+02:00" and "<p>" not in text
    sheet = read(CORPUS / "office/plants.xlsx")[1][0]
    assert sheet.metadata["price"] == 29 and sheet.metadata["sheet"] == "plants"


def test_hidden_parts_of_a_page_are_left_out():
    _, _, text = one(CORPUS / "health/sleep.html")
    assert "hidden advertisement" not in text and "Get up at the same hour" in text
    _, _, text = one(CORPUS / "encyclopedia/virus-biology.html")
    assert "track(" not in text and "Home" not in text and "margin" not in text


def test_spans_count_the_file_s_own_characters(tmp_path):
    raw = "first\r\n\r\nsecond line\rthird\n\n\nfourth"
    (tmp_path / "a.txt").write_bytes(raw.encode())
    assert one(tmp_path / "a.txt")[2] == raw


def test_deep_and_broken_html(tmp_path):
    (tmp_path / "deep.html").write_text("<div>" * 200_000 + "bottom" + "</div>" * 200_000)
    assert one(tmp_path / "deep.html")[2].strip() == "bottom"
    (tmp_path / "open.html").write_text("<p>one<p>two <b>bold <i>text<div hidden><p>no</div><h2>Head</h2>three")
    _, blocks, text = one(tmp_path / "open.html")
    assert text.split() == ["one", "two", "bold", "text", "Head", "three"] and blocks[-1].heading == ("Head",)


def test_discovery_skips_links_loops_hidden_and_binary_files(tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git/config.txt").write_text("no")
    (root / "a.md").write_text("yes")
    (root / "sub/b.md").write_text("yes")
    (root / "store").mkdir()
    (root / "store/manifest.json").write_text("{}")
    (root / "image.png").write_bytes(b"\x89PNG")
    (root / "sub/loop").symlink_to(root)
    (root / "sub/link.md").symlink_to(tmp_path / "outside.md")
    (tmp_path / "outside.md").write_text("secret")

    def files(paths, include=(), exclude=()):
        found = discover(paths, include, exclude, root / "store")
        return [p.relative_to(root).as_posix() for p in found if isinstance(p, Path)]

    assert files([root]) == ["a.md", "sub/b.md"]
    passed = [p for p in discover([root], [], [], root / "store") if isinstance(p, SkippedPath)]
    assert {p.path.name: p.reason for p in passed} == {
        "image.png": "no reader for .png",
        "loop": "symbolic link (not followed)",
        "link.md": "symbolic link (not followed)",
    }
    assert files([root], ["sub/*"]) == files([root], ["sub"]) == ["sub/b.md"]
    for pattern in ("sub", "sub/", "su*", "*/b.md", "b.md"):
        assert files([root], ["*.md"], [pattern]) == ["a.md"], pattern
    assert files([root, root / "a.md"]) == ["a.md", "sub/b.md"]  # each once


def test_formats_of_the_documentation_have_a_reader():
    named = "txt md rst html pdf docx pptx xlsx csv tsv json jsonl parquet epub eml ipynb py js java go rs c".split()
    assert {f".{n}" for n in named} <= set(suffixes())


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<!doctype html><html><head><title>T</title><body><p>Visible</p></body></html>", "Visible"),
        ("<p>Before</p><p hidden>secret<p>After", "Before After"),
        ("<ul><li aria-hidden='true'>x<li>y</ul><p>rest", "y rest"),
        ("<ul><li hidden>x</ul><p>rest", "rest"),
        ("<div hidden><p>a<p>b</div>c", "c"),
        ("<table><tr><td style='display: none'>a<td>b<tr><td>c</table>", "b c"),
        ("<section><div hidden>never closed</section>after", "after"),
    ],
)
def test_optional_end_tags(tmp_path, markup, text):
    (tmp_path / "a.html").write_text(markup)
    assert one(tmp_path / "a.html")[2].split() == text.split()


def test_groups_and_merged_cells_of_office_files(tmp_path):
    import docx
    import pptx
    from pptx.util import Cm

    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(Cm(1), Cm(1), Cm(5), Cm(1)).text_frame.text = "inside a group"
    deck.save(tmp_path / "a.pptx")
    assert "inside a group" in one(tmp_path / "a.pptx")[2]
    document = docx.Document()
    table = document.add_table(rows=1, cols=3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "merged"
    table.cell(0, 2).text = "single"
    document.save(tmp_path / "a.docx")
    assert one(tmp_path / "a.docx")[2] == "merged | single\n"
