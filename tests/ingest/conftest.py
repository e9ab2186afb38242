"""A folder of three small files, and what ingests it with an encoder of hashes."""

import pytest

from ingest import IngestConfig, ingest
from tests.toy import HashEncoder


@pytest.fixture
def encoder():
    return HashEncoder()


@pytest.fixture
def folder(tmp_path, store):
    (tmp_path / "docs/sub").mkdir(parents=True)
    (tmp_path / "docs/a.txt").write_text("alpha")
    (tmp_path / "docs/b.md").write_text("beta")
    (tmp_path / "docs/sub/c.txt").write_text("gamma")
    return tmp_path / "docs"


@pytest.fixture
def run(folder, encoder):
    def run(*paths, instruction="doc: ", **options):
        return ingest(IngestConfig(paths=paths or (folder,), instruction=instruction, **options), encoder=encoder)

    return run
