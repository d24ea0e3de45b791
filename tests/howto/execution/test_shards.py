import json
import shutil
import tarfile

import pytest

from howto.execution import shards
from howto.project import files, stacks
from howto.project.errors import HowtoError
from howto.project.howtos import HowTo
from howto.project.settings import Settings
from tests.howto.publish.test_build import content, executed, without_times

EIGHT = ("five", "four", "one", "seven", "six", "three", "tiny", "two")


@pytest.fixture(scope="module")
def empty(tiny_project, tmp_path_factory):
    """Eight pages, nothing built: what a machine has that has just cloned the repository."""
    project = tiny_project.copy(tmp_path_factory.mktemp("empty") / "project")
    for topic in set(EIGHT) - {"tiny"}:
        project.add(topic)
    for folder in ("docs/_build", "docs/how-to"):
        shutil.rmtree(project.root / folder)
    return project


@pytest.fixture(scope="module")
def sharded(empty, tmp_path_factory):
    """Three machines that executed a third each, what each printed, and their bundles."""
    folder = tmp_path_factory.mktemp("shards")
    said, bundles = [], []
    for index in (1, 2, 3):
        machine = empty.copy(folder / f"machine{index}")
        done = machine.howto("build", HOWTO_SHARD=f"{index}/3")
        assert done.returncode == 0, done.stderr
        said.append(done)
        bundles.append(machine.root / f"docs/_build/bundles/mmdet2-{index}-of-3.tar.gz")
    return said, bundles


def test_each_page_is_executed_by_one_machine(sharded):
    said, _ = sharded
    assert sorted(topic for done in said for topic in executed(done)) == sorted(EIGHT)
    assert sorted(len(executed(done)) for done in said) == [2, 3, 3]


def test_after_a_merge_nothing_is_executed_and_the_site_is_that_of_one_machine(sharded, empty, tmp_path):
    one = empty.copy(tmp_path / "one")
    assert one.howto("build").returncode == 0
    many = empty.copy(tmp_path / "many")
    done = many.howto("merge", *map(str, sharded[1]))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("8 pages from 3 bundles; ")
    done = many.howto("build")
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    sites = [without_times(content(project.site)) for project in (one, many)]
    assert sites[0].keys() == sites[1].keys()
    assert [name for name, data in sites[0].items() if data != sites[1][name]] == []


def test_the_records_of_the_machines_are_on_the_site_byte_for_byte(sharded, empty, tmp_path):
    many = empty.copy(tmp_path / "many")
    many.howto("merge", *map(str, sharded[1]))
    many.howto("build")
    shown = json.loads((many.site / "verified.json").read_text())["records"]
    for bundle in sharded[1]:
        with tarfile.open(bundle) as archive:
            for name in archive.getnames():
                if "records" in name:
                    assert json.load(archive.extractfile(name)) in shown


def test_a_shard_that_is_missing_is_named_and_executed_by_the_build(sharded, empty, tmp_path):
    said, bundles = sharded
    missing = executed(said[1])
    project = empty.copy(tmp_path / "project")
    done = project.howto("merge", str(bundles[0]), str(bundles[2]))
    assert f"; no bundle has {', '.join(missing)};" in done.stdout
    assert executed(project.howto("build")) == missing


def test_a_bundle_of_other_snippets_is_refused_and_said_why(sharded, empty, tmp_path):
    said, bundles = sharded
    project = empty.copy(tmp_path / "project")
    topic = executed(said[0])[0]
    with (project.root / f"snippets/mmdet2/{topic}/one.py").open("a") as snippet:
        snippet.write("# edited\n")
    done = project.howto("merge", *map(str, bundles))
    assert done.returncode == 1
    assert f"{topic}, of {bundles[0]}: snippets" in done.stderr
    assert executed(project.howto("build")) == [topic]


def test_a_shard_without_a_page_executes_nothing_and_its_bundle_is_taken(empty, tmp_path):
    machine = empty.copy(tmp_path / "machine")
    done = machine.howto("build", HOWTO_SHARD="9/9")
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    done = machine.howto("merge", str(machine.root / "docs/_build/bundles/mmdet2-9-of-9.tar.gz"))
    assert (done.returncode, done.stdout.startswith("0 pages from 1 bundles; no bundle has five, four")) == (0, True)


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "foreign", "sly", "link"])
def test_a_bundle_that_is_none_is_named_and_nothing_is_put_in_place(sharded, empty, tmp_path, damage):
    project = empty.copy(tmp_path / "project")
    broken = tmp_path / "broken.tar.gz"
    data = sharded[1][0].read_bytes()
    if damage in ("foreign", "sly"):
        (tmp_path / "conf.py").write_text("raise SystemExit")
        with tarfile.open(broken, "w:gz") as archive:
            archive.add(tmp_path / "conf.py", "../conf.py" if damage == "foreign" else "how-to/../index.md")
    elif damage == "link":
        link = tarfile.TarInfo("how-to/plot_tiny.rst")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        with tarfile.open(broken, "w:gz") as archive:
            archive.addfile(link)
    elif damage != "missing":
        broken.write_bytes(data[: len(data) // 2] if damage == "cut" else b"")
    done = project.howto("merge", str(broken))
    assert done.returncode == 1
    assert str(broken) in done.stderr
    assert "Traceback" not in done.stderr
    assert list((project.root / "docs/how-to").glob("plot_*")) == []


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0"])
def test_a_part_that_is_none_is_named(text, monkeypatch):
    monkeypatch.setenv("HOWTO_SHARD", text)
    with pytest.raises(HowtoError, match=f"HOWTO_SHARD={text} is no part of the pages; set it to 1/8"):
        Settings.from_environ()


def test_shards_are_balanced_by_what_the_pages_cost_last(monkeypatch):
    costs = dict(zip(EIGHT, [70, 5, 5, 30, 20, 10, 40, 20]))  # 200 s
    monkeypatch.setattr(files, "topics", lambda family: sorted(EIGHT))
    monkeypatch.setattr(HowTo, "cost", property(lambda howto: costs[howto.topic]))
    parts = []
    for index in (1, 2, 3):
        monkeypatch.setenv("HOWTO_SHARD", f"{index}/3")
        parts.append(shards.mine(stacks.current()))
    assert sorted(howto.topic for part in parts for howto in part) == sorted(EIGHT)
    assert max(sum(howto.cost for howto in part) for part in parts) == 70
