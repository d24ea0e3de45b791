import ast
import dataclasses
import json
import re
import tempfile

import pytest

from howto import Workspace, files, mutate
from howto.edits import Mutation, mutations
from howto.errors import HowtoError
from howto.mutate import _try
from tests.howto.test_build import append

FAMILY = "mmdet2"


def found(topic: str) -> list[Mutation]:
    return list(mutations(FAMILY, topic, every=True))


@pytest.fixture
def snippets_put_back(monkeypatch):
    monkeypatch.setenv("HOWTO_SNIPPETS", "")
    monkeypatch.setenv("MPLBACKEND", "agg")


@pytest.mark.parametrize("topic", files.topics(FAMILY))
def test_every_mutation_is_valid_python_and_none_comes_twice(topic):
    sources = [mutation.source for mutation in found(topic)]
    assert all(ast.parse(source) for source in sources)
    assert len(set(sources)) == len(sources)


@pytest.mark.parametrize("topic", files.topics(FAMILY))
def test_no_mutation_is_the_snippet_itself(topic):
    snippets = {path.read_text() for path in files.snippet_files(FAMILY, topic)}
    assert not snippets & {mutation.source for mutation in found(topic)}


def test_there_are_more_than_sixty_and_some_for_each_how_to():
    counts = {topic: len(found(topic)) for topic in files.topics(FAMILY)}
    assert sum(counts.values()) > 60
    assert min(counts.values()) > 5


@pytest.mark.parametrize(
    ("topic", "edit"),
    [
        ("mmcls_backbone", "in_channels=[48, 48, 96]"),
        ("mmcls_backbone", "type='MobileNetV3'"),
        ("timm_backbone", "lr=0.02"),
        ("mosaic", "img_scale = (1333, 800)"),
        ("mosaic", "border=(img_scale[0] // 2"),
        ("unfreeze_backbone", "unfreeze_epoch=2)"),
        ("unfreeze_backbone", "runner.epoch <= self.unfreeze_epoch"),
    ],
)
def test_the_mistakes_that_readers_make_are_among_them(topic, edit):
    assert any(edit in mutation.source for mutation in found(topic))


def test_a_mutation_that_the_checks_notice_says_what_they_said(snippets_put_back):
    (mutation,) = [item for item in found("backbone_channels") if item.edit.endswith("ResNet(depth= 19)")]
    result, why = _try((FAMILY, mutation, 300))
    assert result == "killed"
    assert "exit" in why


def test_nothing_that_a_mutation_wrote_is_left(snippets_put_back, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = []  # as a process of a pool, which ends before anything is collected

    def execute(script):
        kept.append(Workspace(script.stem.removeprefix("plot_")))
        return "noticed"

    monkeypatch.setattr(mutate, "execute", execute)
    assert _try((FAMILY, found("backbone_channels")[0], 300)) == ("killed", "noticed")
    assert (len(kept), list(tmp_path.iterdir())) == (1, [])


def test_a_full_disk_is_no_check_that_noticed(snippets_put_back, monkeypatch):
    monkeypatch.setattr(mutate, "execute", lambda script: "OSError: [Errno 28] No space left on device")
    with pytest.raises(HowtoError, match=r"no space left on the disk of .*; free some"):
        _try((FAMILY, found("backbone_channels")[0], 300))


def test_a_snippet_that_is_as_it_was_passes(snippets_put_back):
    (path,) = files.snippet_files(FAMILY, "backbone_channels")
    (mutation, *_) = found("backbone_channels")
    assert _try((FAMILY, dataclasses.replace(mutation, source=path.read_text()), 300)) == ("survived", "")


PRINTED = """
import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()) as out:
    runpy.run_path(str(snippet))
record.check("what it prints", out.getvalue(), "2\\n")
"""


@pytest.fixture(scope="module")
def mutated(tiny_project, tmp_path_factory):
    """Two how-tos with the same snippet, one that looks at what it prints and one that does not, one run for each."""
    project = tiny_project.copy(tmp_path_factory.mktemp("mutated") / "project")
    project.add("looks")
    append(project, "gallery/mmdet2/plot_looks.py", PRINTED)
    runs = {topic: project.howto("mutate", topic) for topic in ("looks", "tiny")}
    return project, runs, json.loads((project.root / "docs/_build/mutations/mmdet2.json").read_text())


def test_a_check_that_looks_notices_every_mutation(mutated):
    _, runs, report = mutated
    results = [item["result"] for item in report if item["topic"] == "looks"]
    assert (runs["looks"].returncode, set(results)) == (0, {"killed"})
    assert f"{len(results)} mutations: {len(results)} killed, 0 survived, 0 equivalent" in runs["looks"].stdout


def test_a_check_that_does_not_look_notices_none_and_each_is_named(mutated):
    _, runs, report = mutated
    survived = [item["edit"] for item in report if item["topic"] == "tiny" and item["result"] == "survived"]
    assert runs["tiny"].returncode == 1
    assert "NumberReplacer, line 1: print(1 + 1) → print( 2 + 1)" in survived
    told = " ".join(runs["tiny"].stderr.split())
    assert all(f"survived: tiny/one.py: {edit}" in told for edit in (" ".join(edit.split()) for edit in survived))


def shown(project):
    """The text of the page about mutations, built anew."""
    assert project.howto("build").returncode == 0
    return re.sub("<[^>]+>", "", (project.site / "mutations.html").read_text())


def test_the_page_of_the_site_shows_what_was_found_until_a_snippet_changes(mutated, tmp_path):
    project = mutated[0].copy(tmp_path / "project")
    edit = "print(1 + 1) → print( 2 + 1)"
    assert shown(project).count(edit) == 2  # survived for the one, noticed for the other
    append(project, "snippets/mmdet2/tiny/one.py", "# edited\n")
    assert shown(project).count(edit) == 1


def test_a_how_to_that_does_not_pass_as_it_is_is_not_mutated(mutated, tmp_path):
    project = mutated[0].copy(tmp_path / "project")
    project.edit("gallery/mmdet2/plot_looks.py", '"2\\n")', '"3\\n")')
    done = project.howto("mutate", "looks")
    assert done.returncode == 1
    assert "looks does not pass as it is, see python -m howto verify looks" in done.stderr
