import ast
import dataclasses

import pytest

from howto import files
from howto.edits import Mutation, mutations
from howto.mutate import _try

FAMILY = "mmdet2"


def found(topic: str) -> list[Mutation]:
    return list(mutations(FAMILY, topic))


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
    result, why = _try((FAMILY, mutation))
    assert result == "killed"
    assert "exit" in why


def test_a_snippet_that_is_as_it_was_passes(snippets_put_back):
    (path,) = files.snippet_files(FAMILY, "backbone_channels")
    (mutation, *_) = found("backbone_channels")
    assert _try((FAMILY, dataclasses.replace(mutation, source=path.read_text()))) == ("survived", "")
