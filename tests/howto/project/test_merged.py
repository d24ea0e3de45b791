"""The sources that were merged give both of the scripts they came from back, byte for byte."""

import re

import pytest

from howto.execution import replay
from howto.project.rendering import FAMILIES, render
from howto.project.stacks import ROOT

GALLERY = ROOT / "gallery"
SCRIPTS = [(family, path.name) for family in FAMILIES for path in sorted((GALLERY / family).glob("plot_*.py"))]


def inlined(text: str) -> str:
    """A script with the words that it includes in it."""

    def words(include: re.Match) -> str:
        lines = (GALLERY / "words" / include[1]).read_text("utf-8").splitlines()
        return "\n".join(f"# {line}".rstrip() for line in lines)

    return re.sub(r"^# \.\. include:: \S+/words/(\S+)$", words, text, flags=re.MULTILINE)


@pytest.mark.parametrize(("family", "name"), SCRIPTS)
def test_a_merged_source_gives_each_familys_script_back(family, name):
    before = (GALLERY / family / name).read_text("utf-8")
    after = render(GALLERY / name, family)
    assert after == inlined(before)
    assert replay.cells(after) == replay.cells(before)  # so what is executed has the digest that it had
