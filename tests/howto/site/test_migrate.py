import pytest

from howto.project import files, howtos
from howto.project.howtos import HowTo
from howto.project.stacks import STACKS, named
from howto.site import migrate


@pytest.mark.parametrize("topic", files.topics("mmdet2"))
def test_a_difference_holds_both_files_whole(topic):
    both = [migrate.compared(HowTo(named(family), topic)) for family in ("mmdet2", "mmdet3")]
    found = migrate.differences(topic, named("mmdet2"), named("mmdet3"))
    for pair, (path, diff) in zip(migrate.pairs(*both), found, strict=True):
        assert path == f"configs/{topic}/{(pair[1] or pair[0]).name}"
        lines = diff.splitlines()[2:]
        texts = [[line[1:] for line in lines if line[0] in f" {mark}"] for mark in "-+"]
        expected = [file.read_text().splitlines() if file else [] for file in pair]
        assert texts == expected if diff else expected[0] == expected[1]


def test_a_file_that_the_other_version_does_not_need_leads_to_nothing():
    found = dict(migrate.differences("best_checkpoint", named("mmdet2"), named("mmdet3")))
    assert len(found) == 2
    lines = found["configs/best_checkpoint/early_stopping.py"].splitlines()
    assert lines[:2] == ["--- early_stopping.py", "+++ /dev/null"]
    assert {line[0] for line in lines[2:]} == {"-"}


def test_stacks_of_one_family_have_the_same_files():
    assert {diff for _, diff in migrate.differences("mosaic", STACKS["mmdet3"], STACKS["onedl"])} == {""}


@pytest.mark.parametrize(("side", "family"), [(0, "mmdet2"), (1, "mmdet3")])
def test_every_renamed_key_is_in_the_snippets_of_its_side(side, family):
    paths = [path for howto in howtos.every(named(family)) for path in howto.snippets]
    text = "\n".join(path.name + path.read_text() for path in paths)
    assert [names[side] for names in migrate.RENAMED if names[side] not in text] == []
