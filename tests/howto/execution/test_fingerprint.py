import os
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
SNIPPET = "snippets/mmdet2/mosaic/faster_rcnn_r50_fpn_mosaic_1x_coco.py"


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
    monkeypatch.setattr(files, "BUILD", project.root / "docs" / "_build")
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


def stale():
    return {topic: parts for topic in files.topics("mmdet2") if (parts := changed(topic))}


def append(path):
    with path.open("a") as file:
        file.write("\nEDITED = 1\n" if "/howto/" in str(path) else "\n# edited\n")


def test_a_page_is_fresh_once_it_has_passed_and_before_not(checkout):
    for path in checkout.root.rglob("*.py"):
        os.utime(path, (0, 0))  # a file that was only touched changes nothing
    assert stale() == {}
    assert str(checkout.root) not in repr(fingerprint.fingerprint(MOSAIC))  # whoever builds elsewhere has the same
    for state in ("begun", "failed"):
        PageState(state, fingerprint.fingerprint(MOSAIC)).keep(MOSAIC)
        assert set(changed("mosaic")) == set(fingerprint.fingerprint(MOSAIC))
    MOSAIC.state.unlink()
    assert set(changed("mosaic")) == set(fingerprint.fingerprint(MOSAIC))


EDITS = {
    "gallery/plot_mosaic.py": ["script"],
    SNIPPET: ["snippets"],
    "howto/figures/mosaic.py": ["howto"],
    "howto/checkout/workspace.py": ["howto"],
    "howto/__init__.py": ["howto"],
    "howto/project/record.py": ["howto"],  # which another module imports
    "howto/checkout/mini_coco.json": ["howto"],
    "howto/checkout/simulated_gpu.py": ["howto"],  # in the processes that it starts
    "howto/execution/page.py": ["howto"],  # how a page draws
    "howto/execution/limits.py": ["howto"],
    "requirements/mmdet2.txt": ["packages"],
}
OTHERS = [
    "gallery/plot_unfreeze_backbone.py",
    "snippets/mmdet2/unfreeze_backbone/unfreeze_backbone_epoch_based_hook.py",
    "howto/figures/scores.py",  # which another page uses
    "howto/checkout/mmdet3.py",
    "howto/site/html_output.py",  # works on pages that have run
    "howto/execution/verify.py",
    "howto/publish/build.py",
    "howto/setup/install.py",
    "howto/commands/mutate.py",
    "docs/install.md",
    "README.md",
]


def test_an_edit_makes_a_page_stale_if_it_depends_on_the_file_and_no_other_does(checkout):
    for path in OTHERS:
        append(checkout.root / path)
    assert changed("mosaic") == []
    assert stale() == {"unfreeze_backbone": ["script", "snippets"], "best_checkpoint": ["howto"]}
    found = {}
    for path in EDITS:
        before = (checkout.root / path).read_bytes()
        append(checkout.root / path)
        found[path] = changed("mosaic")
        (checkout.root / path).write_bytes(before)
    assert found == EDITS


def test_a_comment_or_a_docstring_of_a_module_makes_no_page_stale(checkout):
    module = checkout.root / "howto/checkout/workspace.py"
    text = module.read_text("utf-8").replace('"""Give the snippets', '"""Offer the snippets')
    module.write_text(f"{text}\n# edited\n", "utf-8")
    assert stale() == {}


def test_a_snippet_more_or_of_another_name_makes_its_page_stale(checkout):
    second = checkout.root / "snippets/mmdet2/mosaic/second.py"
    second.touch()
    assert changed("mosaic") == ["snippets"]
    second.unlink()
    (checkout.root / SNIPPET).rename(second)
    assert changed("mosaic") == ["snippets"]


def test_what_mutations_found_holds_while_words_alone_change(checkout):
    before = fingerprint.sources(MOSAIC)
    checkout.edit("gallery/plot_mosaic.py", "How do I train with Mosaic?", "How do I use Mosaic for training?")
    assert fingerprint.sources(MOSAIC) == before
    checkout.edit("gallery/plot_mosaic.py", 'Workspace("mosaic")', 'Workspace("mosaic_off")')
    changed = fingerprint.sources(MOSAIC)
    checkout.edit(SNIPPET, "_base_ =", "# edited\n_base_ =")
    assert len({before, changed, fingerprint.sources(MOSAIC)}) == 3


def test_another_device_coco_or_package_makes_every_page_stale(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("HOWTO_DEVICE", "cuda")
    monkeypatch.setenv("HOWTO_COCO", "/some/coco")
    (tmp_path / "timm-0.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert stale() == {each: ["packages", "device", "data"] for each in files.topics("mmdet2")}


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


def with_stand_ins(topic, **hosts):
    """Say that the page of a how-to has just run, with stand-ins for files of these hosts."""
    names = {f"{name}-0676ba61.pth": host for name, host in hosts.items()}
    write_json(files.records(MMDET2) / f"{topic}.json", {"weights": dict.fromkeys(names, "stand-in"), "hosts": names})
    ran(HowTo(MMDET2, topic))


def test_weights_that_can_be_had_make_the_pages_stale_that_had_stand_ins_for_them(checkout, monkeypatch, tmp_path):
    with_stand_ins("timm_backbone", efficientnet_b1="github.com")
    with_stand_ins("mosaic", resnet50="download.pytorch.org")
    assert stale() == {}
    monkeypatch.setattr(weights, "reachable", lambda host: host == "github.com")
    assert stale() == {"timm_backbone": ["weights"]}
    cached = tmp_path / "torch/hub/checkpoints/resnet50-0676ba61.pth"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert changed("mosaic") == ["weights"]


def test_the_hosts_are_asked_side_by_side_so_that_three_that_stall_cost_no_more_than_one(checkout, monkeypatch):
    with_stand_ins("mosaic", resnet50="one", resnet18="two", resnet34="three")
    together = threading.Barrier(3, timeout=2)
    monkeypatch.setattr(weights, "reachable", lambda host: together.wait() >= 0)
    assert fingerprint.fingerprint(MOSAIC)["weights"] == "one,three,two"
