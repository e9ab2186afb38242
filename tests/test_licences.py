"""No extra installs a package of the GPL or AGPL; what is under a weaker copyleft is named in docs/licences.md."""

import pytest

from tests.conftest import ROOT
from tests.licences import closure, extras, is_gpl, is_lgpl, licence_of

PAGE = (ROOT / "docs/licences.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("MIT", False),
        ("GPL-3.0-only", True),
        ("AGPL-3.0-or-later", True),
        ("MIT AND GPL-2.0", True),
        ("MIT OR GPL-2.0", False),
        ("GNU General Public License v3 (GPLv3)", True),
        ("GNU Affero General Public License v3", True),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", False),
        ("LGPL-2.1-or-later", False),
        ("GNU Library or Lesser General Public License (LGPL)", False),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", False),
        ("(GPL-2.0 OR GPL-3.0)", True),
        ("", False),
        ("GPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("MPL-2.0 AND (GPL-2.0 OR MIT)", False),
    ],
)
def test_what_is_refused(licence, refused):
    assert is_gpl(licence) is refused
    assert is_lgpl(licence) is ("LGPL" in licence)


@pytest.mark.parametrize("extra", extras(), ids=lambda extra: extra or "base")
def test_no_extra_brings_gpl(extra):
    found = closure(extras()[extra])
    licences = {name: licence_of(package) for name, package in found.installed.items()}
    assert [name for name, licence in licences.items() if is_gpl(licence)] == []
    assert [name for name, licence in licences.items() if not licence] == []
    weak = {name for name, licence in licences.items() if is_lgpl(licence) or "MPL" in licence}
    assert {name for name in weak if f"`{name}`" not in PAGE} == set()
    if not licences:
        pytest.skip(f"not installed here: {', '.join(sorted(found.missing))}")


def test_the_closure_goes_through_extras_and_markers():
    everything = closure(extras()["dev"]).installed
    assert {"numpy", "lancedb", "torch", "gradio", "mteb", "pytest", "mcp"} <= everything.keys()
    assert "torch" not in closure(extras()[""]).installed
    assert len(everything) > 100
