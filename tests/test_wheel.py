"""What the built package holds: the six rooms, typed, and neither tests nor data."""

import subprocess
import sys
import zipfile

import pytest

from instructor_search import __version__
from tests.conftest import ROOT


def test_wheel_contents(tmp_path):
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "-q",
            "-w",
            str(tmp_path),
            str(source),
        ],
        capture_output=True,
        text=True,
    )
    if "No module named 'setuptools'" in done.stderr or "Cannot import 'setuptools" in done.stderr:
        pytest.skip("setuptools is not installed here")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names if not n.split("/")[0].endswith(".dist-info")}
    assert tops == {"instructor_search", "ingest", "train", "eval", "ui"}
    assert {f"{t}/py.typed" for t in tops} <= set(names)
    assert {"ingest/readers/sandbox.py", "instructor_search/store/collection.py", "eval/published_scores.csv"} <= set(
        names
    )
    assert {"ui/assets/style.css", "ui/assets/map.js", "ui/tabs/search.py", "ui/render/cards.py"} <= set(names)
    model = "instructor_search/models/instructor-minilm"
    assert {f"{model}/model.safetensors", f"{model}/openvino-int8/graph.bin", f"{model}/README.md"} <= set(names)
    assert "instructor_search/encoder/runtimes/openvino_runtime/calibration.txt" in names
    assert "eval/bundled/retrieval/GardenAnswers/qrels/test.tsv" in names
    assert any(n.endswith("licenses/LICENSE") for n in names)
    facts = f"instructor_search-{__version__}.dist-info"
    assert "instructor-search = instructor_search.commands.main:console" in read(wheel, f"{facts}/entry_points.txt")
    assert f"\nVersion: {__version__}\n" in read(wheel, f"{facts}/METADATA")


def read(wheel, name):
    return zipfile.ZipFile(wheel).read(name).decode()
