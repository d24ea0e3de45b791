"""What the harness does otherwise for MMDetection 3.x: overrides, stand-ins, what it puts back, versions."""

import logging
import re
from pathlib import Path

import mmdet
import pytest
from mmdet.registry import HOOKS
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from howto import Workspace
from howto.checkout.fit import LONG_SIDE, overrides
from howto.checkout.isolation import isolated

STOCK = Path(mmdet.__file__).parent / ".mim" / "configs"
MOBILENET = "https://download.openmmlab.com/mmclassification/v0/mobilenet_v3/convert/mobilenet_v3_small-8427ecf0.pth"


def stock(name):
    return Config.fromfile(STOCK / name)


def test_cuda_changes_the_number_of_epochs_and_what_is_logged_alone():
    changes = overrides(stock("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"), "cuda", 3)
    hooks = {"default_hooks.checkpoint.interval": 3, "default_hooks.logger.interval": 1}
    assert changes == {"train_cfg.max_epochs": 3, **hooks}
    of_detectron2 = stock("misc/d2_retinanet_r50-caffe_fpn_ms-90k_coco.py")
    assert overrides(of_detectron2, "cpu", 1)["model.detector.device"] == "cpu"
    assert "model.detector.device" not in overrides(of_detectron2, "cuda", 1)


@pytest.mark.parametrize(
    "name",
    [
        "faster_rcnn/faster-rcnn_r50_fpn_ms-3x_coco.py",  # two scales to draw between, inside RepeatDataset
        "detr/detr_r50_8xb2-150e_coco.py",  # lists of scales inside RandomChoice
        "yolox/yolox_s_8xb8-300e_coco.py",  # inside MultiImageMixDataset
        "rtmdet/rtmdet_s_8xb32-300e_coco.py",  # in the pipeline that a hook switches to
    ],
)
def test_every_image_scale_shrinks_on_the_cpu(name):
    cfg = stock(name)
    cfg.merge_from_dict(overrides(cfg, "cpu", 1))
    parts = ("train_dataloader", "val_dataloader", "test_dataloader", "custom_hooks")
    numbers = re.findall(r"scales?': .*?([\d][\d, ()\[\]]+)", str([cfg.get(part) for part in parts]))
    sides = [int(side) for each in numbers for side in re.findall(r"\d+", each)]
    assert 0 < max(sides) <= LONG_SIDE


def test_what_mmengine_keeps_by_name_is_forgotten(tmp_path):
    with isolated(tmp_path):
        logger = MMLogger.get_instance("howto_mess", log_file=str(tmp_path / "log"))
        DefaultScope.get_instance("howto_mess", scope_name="mmdet")
    assert [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)] == []
    assert not MMLogger.check_instance_created("howto_mess")
    assert DefaultScope.get_current_instance() is None


def test_colours_that_are_forced_on_everything_stay_out_of_what_a_page_prints(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a notebook's kernel does
    checkout = Workspace("unfreeze_backbone")
    run = checkout.train("faster-rcnn_r50_fpn_unfreeze_1x_coco.py", evaluate=False)
    assert "\x1b" not in run.log
    assert checkout.shell("""python -c 'from termcolor import colored; print(colored("INFO", "red"))'""") == "INFO\n"


def test_the_registries_are_put_back(tmp_path):
    hook = "from mmdet.registry import HOOKS\nfrom mmengine.hooks import Hook\n\n@HOOKS.register_module(force=True)\n"
    for file, name in (("mine", "MineHook"), ("theirs", "CheckpointHook")):
        (tmp_path / f"{file}.py").write_text(f"{hook}class {name}(Hook):\n    pass\n")
    with isolated(tmp_path):
        import mine
        import theirs

        assert [HOOKS.get("MineHook"), HOOKS.get("CheckpointHook")] == [mine.MineHook, theirs.CheckpointHook]
    assert [HOOKS.get("MineHook"), HOOKS.get("CheckpointHook")] == [None, CheckpointHook]


def test_what_a_config_raises_over_its_base_is_what_is_raised():
    checkout = Workspace("freeze")
    config = checkout.root / "configs/freeze/wrong.py"
    config.write_text(
        "_base_ = '../retinanet/retinanet_r50_fpn_1x_coco.py'\nmodel = dict(neck=_base_.model['nonsense'])\n"
    )
    with pytest.raises(KeyError, match="nonsense"):
        checkout.config("wrong.py")
