import json
import os
import subprocess
import threading

import pytest

from howto.checkout import weights
from howto.execution import fingerprint
from howto.execution.state import PageState
from howto.project import files, howtos, stacks
from howto.project.howtos import HowTo
from howto.project.record import write_json
from howto.project.stacks import STACKS

MMDET2 = STACKS["mmdet2"]
MOSAIC = HowTo(MMDET2, "mosaic")


@pytest.fixture
def checkout(project, tmp_path, monkeypatch):
    """A checkout all of whose pages have just run, on the CPU, with no host of the weights in reach."""
    for name in ("HOWTO_COCO", "HOWTO_STACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOWTO_DEVICE", "cpu")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for module in (stacks, files, howtos, fingerprint):
        monkeypatch.setattr(module, "ROOT", project.root)
    monkeypatch.setattr(files, "DOCS", project.root / "docs")
    for module in (files, fingerprint):
        monkeypatch.setattr(module, "BUILD", project.root / "docs" / "_build")
    monkeypatch.setattr(weights, "reachable", lambda host: False)
    monkeypatch.setattr(fingerprint, "_edited_by_hand", lambda stack: ())  # thousands of files
    for topic in files.topics("mmdet2"):
        write_json(files.records(MMDET2) / f"{topic}.json", {"weights": {}})
        ran(HowTo(MMDET2, topic))
    return project


@pytest.fixture(autouse=True)
def ask_again():
    yield
    fingerprint._packages.cache_clear()


def ran(howto):
    """Say that a page has just passed."""
    PageState("passed", fingerprint.fingerprint(howto)).keep(howto)


def changed(topic):
    fingerprint._packages.cache_clear()  # once per build is enough; a test looks twice
    return fingerprint.changed(HowTo(MMDET2, topic))


def append(path):
    with path.open("a") as file:
        file.write("\nEDITED = 1\n" if "/howto/" in str(path) else "\n# edited\n")


def test_a_page_that_just_ran_is_fresh(checkout):
    assert [topic for topic in files.topics("mmdet2") if changed(topic)] == []


def test_a_page_that_never_ran_is_not(checkout):
    MOSAIC.state.unlink()
    assert set(changed("mosaic")) == set(fingerprint.fingerprint(MOSAIC))


@pytest.mark.parametrize("text", ["{", "[]", '{"fingerprint": {}}'])
def test_a_state_that_cannot_be_read_counts_as_none(checkout, text):
    MOSAIC.state.write_text(text)
    assert changed("mosaic")


@pytest.mark.parametrize("state", ["begun", "failed"])
def test_a_page_that_has_not_passed_is_not_fresh(checkout, state):
    PageState(state, fingerprint.fingerprint(MOSAIC)).keep(MOSAIC)
    assert set(changed("mosaic")) == set(fingerprint.fingerprint(MOSAIC))


EDITS = [
    ("gallery/plot_mosaic.py", ["script"]),
    ("gallery/plot_unfreeze_backbone.py", []),
    ("snippets/mmdet2/mosaic/faster_rcnn_r50_fpn_mosaic_1x_coco.py", ["snippets"]),
    ("snippets/mmdet2/unfreeze_backbone/unfreeze_backbone_epoch_based_hook.py", []),
    ("howto/figures/mosaic.py", ["howto"]),
    ("howto/checkout/workspace.py", ["howto"]),
    ("howto/checkout/coco.py", ["howto"]),
    ("howto/__init__.py", ["howto"]),
    ("howto/project/record.py", ["howto"]),
    ("howto/checkout/run.py", ["howto"]),
    ("howto/checkout/mini_coco.json", ["howto"]),
    ("howto/figures/diagram.py", ["howto"]),
    ("howto/figures/confusion.py", []),  # which another page uses
    ("howto/checkout/mmdet3.py", []),
    ("howto/checkout/simulated_gpu.py", ["howto"]),  # in the processes that it starts
    ("howto/site/dress.py", []),  # works on pages that have run
    ("howto/execution/page.py", ["howto"]),  # how a page draws
    ("howto/execution/limits.py", ["howto"]),
    ("howto/execution/verify.py", []),
    ("howto/execution/doctor.py", []),
    ("howto/publish/build.py", []),
    ("howto/setup/install.py", []),
    ("howto/commands/mutate.py", []),
    ("requirements/mmdet2.txt", ["packages"]),
    ("docs/install.md", []),
    ("README.md", []),
]


@pytest.mark.parametrize(("path", "parts"), EDITS, ids=[path for path, _ in EDITS])
def test_an_edit_makes_the_page_of_mosaic_stale_if_it_depends_on_the_file(checkout, path, parts):
    append(checkout.root / path)
    assert changed("mosaic") == parts


def test_a_module_that_one_page_alone_uses_makes_that_one_stale(checkout):
    append(checkout.root / "howto/figures/confusion.py")
    assert [topic for topic in files.topics("mmdet2") if changed(topic)] == ["per_class_results"]


def test_a_comment_or_a_docstring_of_a_module_makes_no_page_stale(checkout):
    module = checkout.root / "howto/checkout/workspace.py"
    text = module.read_text("utf-8").replace('"""Give the snippets', '"""Offer the snippets')
    module.write_text(f"{text}\n# edited\n", "utf-8")
    assert [topic for topic in files.topics("mmdet2") if changed(topic)] == []


def test_what_another_process_runs_counts_too(checkout):
    append(checkout.root / "howto/checkout/distributed.py")
    assert changed("unfreeze_backbone") == ["howto"]


def test_what_mutations_found_holds_while_words_alone_change(checkout):
    before = fingerprint.sources(MOSAIC)
    checkout.edit("gallery/plot_mosaic.py", "How do I train with Mosaic?", "How do I use Mosaic for training?")
    assert fingerprint.sources(MOSAIC) == before
    checkout.edit("gallery/plot_mosaic.py", 'Workspace("mosaic")', 'Workspace("mosaic_off")')
    changed = fingerprint.sources(MOSAIC)
    checkout.edit("snippets/mmdet2/mosaic/faster_rcnn_r50_fpn_mosaic_1x_coco.py", "_base_ =", "# edited\n_base_ =")
    assert len({before, changed, fingerprint.sources(MOSAIC)}) == 3


def test_a_snippet_more_makes_its_page_stale(checkout):
    (checkout.root / "snippets/mmdet2/mosaic/second.py").touch()
    assert changed("mosaic") == ["snippets"]


def test_a_renamed_snippet_makes_its_page_stale(checkout):
    (snippet,) = MOSAIC.snippets
    snippet.rename(snippet.with_name("renamed.py"))
    assert changed("mosaic") == ["snippets"]


def test_a_file_that_was_only_touched_changes_nothing(checkout):
    for path in checkout.root.rglob("*.py"):
        os.utime(path, (0, 0))
    assert [topic for topic in files.topics("mmdet2") if changed(topic)] == []


def test_another_device_makes_every_page_stale(checkout, monkeypatch):
    monkeypatch.setenv("HOWTO_DEVICE", "cuda")
    assert [changed(topic) for topic in files.topics("mmdet2")] == [["device"]] * len(files.topics("mmdet2"))


def with_stand_ins(topic, **hosts):
    """Say that the page of a how-to has just run, with stand-ins for files of these hosts."""
    names = {f"{name}-0676ba61.pth": host for name, host in hosts.items()}
    write_json(files.records(MMDET2) / f"{topic}.json", {"weights": dict.fromkeys(names, "stand-in"), "hosts": names})
    ran(HowTo(MMDET2, topic))


def test_a_host_that_answers_makes_the_pages_stale_that_had_stand_ins_for_its_files(checkout, monkeypatch):
    with_stand_ins("timm_backbone", efficientnet_b1="github.com")
    with_stand_ins("mosaic", resnet50="download.pytorch.org")
    assert (changed("timm_backbone"), changed("mosaic")) == ([], [])
    monkeypatch.setattr(weights, "reachable", lambda host: host == "github.com")
    assert (changed("timm_backbone"), changed("mosaic")) == (["weights"], [])


def test_the_hosts_are_asked_side_by_side_so_that_three_that_stall_cost_no_more_than_one(checkout, monkeypatch):
    with_stand_ins("mosaic", resnet50="one", resnet18="two", resnet34="three")
    together = threading.Barrier(3, timeout=2)
    monkeypatch.setattr(weights, "reachable", lambda host: together.wait() >= 0)
    assert fingerprint.fingerprint(MOSAIC)["weights"] == "one,three,two"


def test_a_real_checkpoint_in_the_cache_makes_the_page_that_ran_with_a_stand_in_stale(checkout, tmp_path):
    record = {"status": "passed", "weights": {"resnet50-0676ba61.pth": "stand-in"}}
    write_json(files.records(MMDET2) / "mosaic.json", record)
    ran(MOSAIC)
    cached = tmp_path / "torch/hub/checkpoints/resnet50-0676ba61.pth"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert changed("mosaic") == ["weights"]


def test_another_coco_makes_a_page_stale(checkout, monkeypatch):
    monkeypatch.setenv("HOWTO_COCO", "/some/coco")
    assert len(changed("mosaic")) == 1


def test_another_installed_version_makes_every_page_stale(checkout, monkeypatch, tmp_path):
    (tmp_path / "timm-0.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert changed("mosaic") == ["packages"]


def test_a_package_edited_in_place_makes_every_page_stale(checkout, monkeypatch, tmp_path):
    package = tmp_path / "patched" / "__init__.py"
    package.parent.mkdir()
    package.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fingerprint, "_edited_by_hand", lambda stack: ("patched",))
    fingerprint._packages.cache_clear()
    ran(MOSAIC)
    append(package)
    assert changed("mosaic") == ["packages"]


def test_a_fingerprint_holds_no_path_of_this_machine(checkout):
    assert str(checkout.root) not in json.dumps(fingerprint.fingerprint(MOSAIC))


@pytest.mark.parametrize("stack", ["mmdet2", "mmdet3"])  # the page about drift shows the records of all stacks
def test_a_record_that_changed_calls_for_another_site(checkout, stack):
    before = fingerprint.built(MMDET2)
    assert fingerprint.built(MMDET2) == before
    write_json(files.records(STACKS[stack]) / "mosaic.json", {"weights": {"a": "real"}})
    assert fingerprint.built(MMDET2) != before


def site():
    fingerprint._packages.cache_clear()
    return fingerprint.site(MMDET2)


def committed(checkout):
    git = ["git", "-c", "user.name=one", "-c", "user.email=one@example.org"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *command], cwd=checkout.root, check=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda checkout: append(checkout.root / "snippets/mmdet3/mosaic/faster-rcnn_r50_fpn_mosaic_1x_coco.py"),
        lambda checkout: (checkout.root / "docs/_static/more.css").touch(),
        lambda checkout: (checkout.root / "docs/install.md").rename(checkout.root / "docs/_templates/install.md"),
        lambda checkout: write_json(files.mutations(MMDET2), {}),
        committed,
    ],
    ids=["another family's snippet", "a new file", "a file elsewhere", "mutations", "a commit"],
)
def test_the_site_is_made_of_more_than_its_pages_execute(checkout, change):
    before = site()
    assert site() == before
    change(checkout)
    assert site() != before


def test_what_the_site_is_not_made_of_leaves_it(checkout):
    before = site()
    append(checkout.root / "README.md")
    (checkout.root / "docs/_build/leftover").touch()
    (checkout.root / "docs/how-to/leftover").touch()
    for path in checkout.root.rglob("*.md"):
        os.utime(path, (0, 0))
    assert site() == before
