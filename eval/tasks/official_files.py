"""The evaluation files that INSTRUCTOR's authors published with their code, fetched once and checked.

They are named by commit, and what arrives is compared with the git object id of that commit, so that it is the same
file everywhere. Nothing is fetched unless hub data was asked for.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from eval.records import EvalDataError
from instructor_search.files import atomic_file

COMMIT = "9a9742c130cef6e028af9f3bd582204c5bcfe96e"
REPOSITORY = "xlang-ai/instructor-embedding"
BASE_VARIABLE = "INSTRUCTOR_SEARCH_EVAL_FILES_URL"  # another server with the same paths
_PROMPT, _TEXT = "evaluation/prompt_retrieval/data", "evaluation/text_evaluation/data"
GIT_OBJECTS = {
    f"{_PROMPT}/amazon_test.json": "59f6aa21a69fd47af782ff3a56927f6da8ea5a9b",
    f"{_PROMPT}/amazon_train.json": "fc30e11651ad5abb76e0c4c3de31e635520da892",
    f"{_PROMPT}/civil_test.json": "19bdbaec4c5ed48209547db1ff2d7c8015abc965",
    f"{_PROMPT}/civil_train.json": "1b0a5d1b91753d8908422aaf85bab9171fda7e00",
    f"{_PROMPT}/coda_title_gen.json": "6cc9f86b303fef2e68aad58ad92bd701a86cacaa",
    f"{_PROMPT}/geoquery_eval.json": "748184149523cf899eadc018d2a59671504d1c19",
    f"{_PROMPT}/geoquery_train.json": "248a7935253a20eca016ba55632fbd66957749fb",
    f"{_PROMPT}/multric_answerability.json": "bcf4ea75362dc326ed765bef451384ecd8f9f8da",
    f"{_PROMPT}/mw24_100p_test.json": "9ef30b2083876fc7a46b20a20a26509c3d11b5d6",
    f"{_PROMPT}/mw24_100p_train.json": "a361b765099bde90bd9468c34425b55246b81211",
    f"{_TEXT}/cnndm/cnndm_THumB-1.0.jsonl": "50df5adfeabfb9ed5909b3c7ebec62059c9f4615",
    f"{_TEXT}/cnndm/cnndm_references.jsonl": "91efd4f6116bb50a1475ec756b5b70eb584eda18",
    f"{_TEXT}/mscoco/mscoco_THumB-1.0.jsonl": "da0321aa89a7a593eadd4f44eefe5536e402c465",
    f"{_TEXT}/mscoco/mscoco_references.jsonl": "894aaba786a80cf32d7373bd25ecbaba7b420e23",
    f"{_TEXT}/wmt20-zh-en/wmt20-zh-en_THumB-1.0.jsonl": "cacd478765f75d98a23f2c1fe86991360f3b1b84",
    f"{_TEXT}/wmt20-zh-en/wmt20-zh-en_references.jsonl": "22e446711a76809c49df4815e5908ab5056cc9e9",
}


def prompt_file(name: str) -> Path:
    """Return a file of the prompt-retrieval data."""
    return _fetch(f"{_PROMPT}/{name}")


def text_file(name: str) -> Path:
    """Return a file of the text-evaluation (Billboard) data."""
    return _fetch(f"{_TEXT}/{name}")


def cache_folder() -> Path:
    """Return where fetched files are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "instructor-search" / "eval-files" / COMMIT


def _fetch(path: str) -> Path:
    """Return the local copy of a file, fetched if it is not there.

    Raises:
        EvalDataError: it cannot be fetched, or is not the file of that commit.
    """
    target = cache_folder() / path
    if target.is_file() and git_object(target.read_bytes()) == GIT_OBJECTS[path]:
        return target
    base = os.environ.get(BASE_VARIABLE) or f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}"
    address = f"{base.rstrip('/')}/{path}"
    try:
        with urllib.request.urlopen(address, timeout=60) as response:
            content: bytes = response.read()
    except (urllib.error.URLError, OSError) as error:
        raise EvalDataError(
            f"cannot fetch {address} ({getattr(error, 'reason', error)}); or put it at {target}"
        ) from error
    if git_object(content) != GIT_OBJECTS[path]:
        raise EvalDataError(f"{address} is not the file of commit {COMMIT[:7]} ({len(content)} bytes); not used")
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as part:
        part.write_bytes(content)
    return target


def git_object(content: bytes) -> str:
    """Return the id that git gives to a file of this content."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
