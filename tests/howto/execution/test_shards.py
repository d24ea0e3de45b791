import shutil
import tarfile

import pytest

from howto.execution import shards
from howto.project import files, stacks
from howto.project.howtos import HowTo
from tests.howto.publish.test_build import append, content, executed, without_times

FIVE = ["four", "one", "three", "tiny", "two"]


@pytest.fixture(scope="module")
def empty(tiny_project, tmp_path_factory):
    """Five pages, nothing built: what a machine has that has just cloned the repository."""
    project = tiny_project.copy(tmp_path_factory.mktemp("empty") / "project")
    for topic in set(FIVE) - {"tiny"}:
        project.add(topic)
    for folder in ("docs/_build", "docs/how-to"):
        shutil.rmtree(project.root / folder)
    return project


@pytest.fixture(scope="module")
def sharded(empty, tmp_path_factory):
    """The pages that each of two machines executed, and their bundles."""
    folder = tmp_path_factory.mktemp("shards")
    pages, bundles = [], []
    for index in (1, 2):
        machine = empty.copy(folder / f"machine{index}")
        done = machine.howto("build", HOWTO_SHARD=f"{index}/2")
        assert done.returncode == 0, done.stderr
        pages.append(executed(done))
        bundles.append(machine.root / f"docs/_build/bundles/mmdet2-{index}-of-2.tar.gz")
    return pages, bundles


def test_each_page_is_executed_by_one_machine_and_after_a_merge_the_site_is_that_of_one(sharded, empty, tmp_path):
    pages, bundles = sharded
    assert sorted(topic for each in pages for topic in each) == FIVE
    assert sorted(map(len, pages)) == [2, 3]
    one, many = (empty.copy(tmp_path / name) for name in ("one", "many"))
    assert one.howto("build").returncode == 0
    done = many.howto("merge", str(bundles[0]))
    assert (done.returncode, f"; no bundle has {', '.join(pages[1])};" in done.stdout) == (0, True), done.stderr
    done = many.howto("merge", *map(str, bundles))
    assert (done.returncode, done.stderr, done.stdout.startswith("5 pages from 2 bundles; `tox")) == (0, "", True)
    done = many.howto("build")
    assert (done.returncode, executed(done)) == (0, []), done.stderr
    sites = [without_times(content(project.site)) for project in (one, many)]
    assert sites[0].keys() == sites[1].keys()
    assert [name for name, data in sites[0].items() if data != sites[1][name]] == []


def test_a_bundle_of_other_snippets_is_refused_and_what_no_bundle_has_is_executed(sharded, empty, tmp_path):
    pages, bundles = sharded
    project = empty.copy(tmp_path / "project")
    topic = pages[0][0]
    append(project, f"snippets/mmdet2/{topic}/one.py", "# edited\n")
    done = project.howto("merge", str(bundles[0]))
    assert done.returncode == 1
    assert f"{topic}, of {bundles[0]}: snippets" in done.stderr
    assert executed(project.howto("build")) == sorted([topic, *pages[1]])


def test_a_bundle_that_is_none_is_named_and_nothing_is_put_in_place(sharded, empty, tmp_path):
    project = empty.copy(tmp_path / "project")
    (tmp_path / "conf.py").write_text("raise SystemExit")
    link = tarfile.TarInfo("how-to/plot_tiny.rst")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    broken = {name: tmp_path / f"{name}.tar.gz" for name in ("missing", "cut", "foreign", "sly", "link")}
    broken["cut"].write_bytes(sharded[1][0].read_bytes()[:500])
    for name, place in (("foreign", "../conf.py"), ("sly", "how-to/../index.md")):
        with tarfile.open(broken[name], "w:gz") as archive:
            archive.add(tmp_path / "conf.py", place)
    with tarfile.open(broken["link"], "w:gz") as archive:
        archive.addfile(link)
    for bundle in broken.values():
        done = project.howto("merge", str(bundle))
        assert done.returncode == 1
        assert str(bundle) in done.stderr
        assert "Traceback" not in done.stderr
    assert list((project.root / "docs/how-to").glob("plot_*")) == []
    assert (project.root / "docs/index.md").read_bytes() == (empty.root / "docs/index.md").read_bytes()


def test_shards_are_balanced_by_what_the_pages_cost_last(monkeypatch):
    costs = dict(zip("abcdefgh", [70, 5, 5, 30, 20, 10, 40, 20]))  # 200 s
    monkeypatch.setattr(files, "topics", lambda family: list(costs))
    monkeypatch.setattr(HowTo, "cost", property(lambda howto: costs[howto.topic]))
    parts = []
    for index in (1, 2, 3):
        monkeypatch.setenv("HOWTO_SHARD", f"{index}/3")
        parts.append(shards.of_this_machine(stacks.current()))
    assert sorted(howto.topic for part in parts for howto in part) == list(costs)
    assert max(sum(howto.cost for howto in part) for part in parts) == 70
