import argparse
import contextlib
import gc
import hashlib
import io
import os
import re
import shutil

import pytest
from mmcv import Config, DictAction
from mmcv.runner.hooks import HOOKS

from howto import Workspace
from howto.checkout import coco
from howto.project import files
from howto.project.errors import HowtoError
from howto.project.howtos import HowTo
from howto.project.stacks import named

TOPICS = files.topics("mmdet2")
CONFIG = "retinanet_mobilenet_v3_small_fpn_1x_coco.py"


@pytest.fixture(scope="module")
def shared():
    """A checkout whose files no test changes."""
    return Workspace("mmcls_backbone")


@pytest.fixture
def checkout():
    return Workspace("mmcls_backbone")


def test_a_topic_is_a_name_and_no_path():
    for topic in ("nonsense", "", ".", "mosaic/", "../mmdet2/mosaic"):
        with pytest.raises(HowtoError, match=f"there is no how-to '{topic}'; there are: {', '.join(TOPICS)}$"):
            Workspace(topic)


def test_a_coco_of_the_users_own_is_used_and_left_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    coco.make_mini_coco(tmp_path / "coco")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "coco").rglob("*")}
    monkeypatch.setenv("HOWTO_COCO", os.path.relpath(tmp_path / "coco"))
    mine = Workspace("mosaic")
    assert mine.photograph().resolve().parent == tmp_path / "coco/val2017"
    assert mine.record.data.startswith("COCO 2017")
    del mine
    gc.collect()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "coco").rglob("*")} == before


def test_the_snippets_alone_lie_in_the_checkout_byte_for_byte_and_load_as_by_the_stock_script(shared):
    (laid,) = (shared.root / "configs/mmcls_backbone").iterdir()
    (snippet,) = HowTo(named("mmdet2"), "mmcls_backbone").snippets
    assert (laid.name, laid.read_bytes()) == (CONFIG, snippet.read_bytes())
    digest = hashlib.sha256(laid.read_bytes()).hexdigest()
    assert shared.record.snippets == {f"mmdet2/mmcls_backbone/{CONFIG}": digest}
    with shared.inside():
        assert shared.config(CONFIG)._cfg_dict == Config.fromfile(f"configs/mmcls_backbone/{CONFIG}")._cfg_dict


def test_a_checkout_is_gone_when_nobody_holds_it():
    folder = Workspace("mosaic").root
    gc.collect()
    assert not folder.exists()


def test_what_is_wrong_with_a_config_is_named_by_the_snippets_file_and_line(checkout):
    path = checkout.root / "configs/mmcls_backbone" / CONFIG
    text, place = path.read_text(), f"snippets/mmdet2/mmcls_backbone/{CONFIG}"
    line = len(text.splitlines()) + 1
    base = text.replace("../_base_/models/retinanet_r50_fpn.py", "../_base_/models/nothing.py")
    for wrong, said in (
        (f"{text}model = = 1\n", rf"^{place}:{line}: syntax error: "),
        (base, rf"^{place}: .*_base_/models/nothing\.py"),
        (f"{text}lr = 2 * rate\n", rf"name 'rate' is not defined.*{place}:{line}"),
    ):
        path.write_text(wrong)
        try:
            checkout.config(CONFIG)
        except (HowtoError, NameError) as error:
            found = " ".join([str(error), *getattr(error, "__notes__", [])])
        gc.collect()  # mmcv leaves a file open that it has deleted; its complaint must not come later
        assert re.search(said, found) and "\n" not in found, found
    with pytest.raises(HowtoError, match=f"^mmcls_backbone has no file nonsense.py; it has {CONFIG}$"):
        checkout.config("nonsense.py")


def test_an_error_in_a_hook_carries_its_file_and_line_and_leaves_nothing_registered(monkeypatch):
    monkeypatch.setattr(HOOKS, "_module_dict", dict(HOOKS.module_dict))
    laid = Workspace("unfreeze_backbone")
    name = "unfreeze_backbone_epoch_based_hook.py"
    path = laid.root / "configs/unfreeze_backbone" / name
    text = path.read_text() + "1 / 0\n"
    path.write_text(text)
    with pytest.raises(ZeroDivisionError) as error:
        laid.build(laid.config("faster_rcnn_r50_fpn_unfreeze_1x_coco.py"))
    assert error.value.__notes__ == [f"raised in snippets/mmdet2/unfreeze_backbone/{name}:{len(text.splitlines())}"]
    assert "UnfreezeBackboneEpochBasedHook" not in HOOKS


@pytest.mark.parametrize(("adapts", "signs"), [(False, ("large", "small")), (True, ("small", "large"))])
def test_a_variant_leaves_the_file_and_its_difference_ends_with_what_is_right_or_adapted(
    checkout, capsys, adapts, signs
):
    source = checkout.root / "configs/mmcls_backbone" / CONFIG
    before = source.read_text()
    variant, other = (checkout.edit(CONFIG, {"arch='small'": f"arch='{arch}'"}, adapts) for arch in ("large", "tiny"))
    assert source.read_text() == before
    assert source.with_name(variant).read_text() == before.replace("arch='small'", "arch='large'")
    assert variant != other
    shown = [line for line in capsys.readouterr().out.splitlines() if "arch=" in line][:2]
    assert shown == [f"{mark}        arch='{arch}'," for mark, arch in zip("-+", signs)]
    for old in ("nonsense", "dict("):
        with pytest.raises(HowtoError, match=f"occurs {before.count(old)} times, not once$"):
            checkout.edit(CONFIG, {old: ""})


def test_a_variant_of_what_a_mutation_has_changed_is_made_of_the_snippet_without_it(tmp_path, monkeypatch):
    folder = shutil.copytree(files.snippet_folder("mmdet2"), tmp_path / "mmdet2") / "mmcls_backbone"
    source = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text(source.replace("arch='small'", "arch='tiny'"))
    monkeypatch.setenv("HOWTO_SNIPPETS", str(tmp_path))
    checkout = Workspace("mmcls_backbone")
    variant = checkout.edit(CONFIG, {"arch='small'": "arch='large'"})
    configs = checkout.root / "configs/mmcls_backbone"
    assert "arch='tiny'" in (configs / CONFIG).read_text()
    assert (configs / variant).read_text() == source.replace("arch='small'", "arch='large'")


def test_fails_leaves_out_what_newer_pythons_guess_and_stops_when_nothing_fails(shared):
    def look(guess):
        raise AttributeError(f"no 'bbox_head'. {guess}")

    for guess in ("Did you mean: 'roi_head'?", "Did you forget to import 'roi_head'?"):
        assert shared.fails(look, guess).message == "AttributeError: no 'bbox_head'"
    with pytest.raises(HowtoError, match=r"^mmcls_backbone: print was to fail and did not$"):
        shared.fails(print)


def test_shell_runs_in_the_checkout_with_its_variables_and_stops_when_it_ends_otherwise_than_it_must(shared):
    said = shared.shell("WORD='two words' python -c 'import os; print(os.getcwd(), os.environ[\"WORD\"])'")
    assert said == f"{shared.root} two words\n"
    with pytest.raises(HowtoError, match=r"(?s)^mmcls_backbone: .* ended with exit code 1:\n.*ZeroDivisionError"):
        shared.shell("python -c '1 / 0'")
    with pytest.raises(HowtoError, match="ended with exit code 0"):
        shared.shell("python -c 'pass'", succeeds=False)


def test_a_command_has_its_own_module_path_and_not_that_of_the_build(shared, monkeypatch):
    folder = shared.root / "elsewhere"
    folder.mkdir()
    (folder / "only_there.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    assert "No module named 'only_there'" in shared.shell("python -c 'import only_there'", succeeds=False)
    shared.shell("PYTHONPATH=elsewhere python -c 'import only_there'")


@pytest.fixture(scope="module")
def trained():
    """A checkout, a run of one epoch in it, and what that printed."""
    checkout, printed = Workspace("mmcls_backbone"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        run = checkout.train(CONFIG, epochs=1)
    return checkout, run, printed.getvalue().splitlines()


def options(printed):
    return [line.strip() for line in printed if line.startswith("    ") and "=" in line]


def test_the_command_printed_trains_the_same_config(trained):
    checkout, run, printed = trained
    recorded = checkout.record.overrides[CONFIG]
    assert [f"{key}={value}".replace(" ", "") for key, value in recorded.items()] == options(printed)
    assert printed[0] == f"python tools/train.py configs/mmcls_backbone/{CONFIG} --cfg-options"
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    cfg = checkout.config(CONFIG)
    cfg.merge_from_dict(parser.parse_args(["--cfg-options", *options(printed)]).cfg_options)
    keys = ("data", "optimizer", "runner", "lr_config")
    assert {key: run.cfg[key] for key in keys} == {key: cfg[key] for key in keys}


def test_training_is_recorded_with_its_cost_and_weights(trained):
    checkout, *_ = trained
    checkout.check("one", 1, 1)
    assert checkout.record.seconds > 0
    assert checkout.record.peak_memory_mib > 100
    assert set(checkout.record.weights) == {"mobilenet_v3_small-8427ecf0.pth"}


@pytest.fixture(scope="module")
def again(trained):
    """A second run in the same workspace, without evaluation, and its output."""
    checkout, *_ = trained
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        run = checkout.train(CONFIG, epochs=1, evaluate=False, log_config__interval=7)
    return run, printed.getvalue().splitlines()


def test_the_same_run_gives_the_same_losses(trained, again):
    checkout, run, *_ = trained
    if checkout.device == "cpu":
        assert again[0].losses == run.losses


def test_of_a_second_run_only_the_options_are_shown_that_are_new(trained, again):
    _, _, printed = trained
    command, *shown = again[1]
    assert command == printed[0]
    assert shown == ["    log_config.interval=7", f"    and {len(options(printed)) - 1} options as before"]
