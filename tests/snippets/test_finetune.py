"""The config that starts from COCO's checkpoint, trained from its zip by the stock script."""

import functools
import types

import numpy
import pytest
import torch

from howto.checkout.family import api
from howto.figures import classes
from howto.project import howtos, stacks

LAYERS = [f"roi_head.bbox_head.fc_{of}.{kind}" for of in ("cls", "reg") for kind in ("weight", "bias")]


def test_a_class_may_be_kept_twice_and_the_order_is_that_of_the_names(checkout):
    three = checkout.edit(checkout.own, {"('kitten', 'mug')": "('mug', 'kitten', 'cup')"})
    script = f"python configs/finetune/keep_classes.py configs/finetune/{three}"
    checkout.shell(f"{script} new/kept.pth cup 'traffic light' cup")
    kept = torch.load(checkout.root / "new/kept.pth")["state_dict"]
    coco = checkout.checkpoint("faster_rcnn")
    scores, boxes = "roi_head.bbox_head.fc_cls.bias", "roi_head.bbox_head.fc_reg.bias"
    assert torch.equal(kept[scores], coco[scores][[41, 9, 41, 80]])
    assert torch.equal(kept[boxes], torch.cat([coco[boxes][4 * n : 4 * n + 4] for n in (41, 9, 41)]))
    assert {name for name in coco if not torch.equal(kept[name], coco[name])} == set(LAYERS)


@pytest.fixture(scope="module")
def keep(checkout):
    """Run the script for two classes of COCO on any detector; what it printed, and the state dict if it succeeds."""

    def run(name, state, names="cat cup", out="of_any.pth", succeeds=True, whole=True, **changes):
        cfg = checkout.config(name, **changes)
        cfg.load_from = "before.pth"
        cfg.dump(str(checkout.root / "any.py"))
        torch.save({"meta": {}, "state_dict": state} if whole else state, checkout.root / cfg.load_from)
        (checkout.root / out).unlink(missing_ok=True)
        said = checkout.shell(f"python configs/finetune/keep_classes.py any.py {out} {names}", succeeds=succeeds)
        return said, torch.load(checkout.root / out)["state_dict"] if succeeds else None

    return run


def two(checkout, path):
    """The ``num_classes`` of a detector's config, set to two, as changes."""
    return {key.replace(".", "__") + "__num_classes": 2 for key in classes.numbers(checkout.config(path).model)}


def model(checkout, path, **changes):
    """A detector with random weights, in evaluation mode."""
    torch.manual_seed(0)
    cfg = checkout.config(path, **changes)
    with checkout.inside():
        found = api().detectors()[1](cfg).eval()
    for name, weight in found.named_parameters():
        if "l2_norm" in name:  # SSD's, which holds whatever was in memory
            torch.nn.init.ones_(weight)
    return found


def scores(detector):
    """What its heads say of random features, with the classes in the last dimension; boxes are left out."""
    generator = torch.Generator().manual_seed(0)
    if hasattr(detector, "roi_head"):
        heads, masks = detector.roi_head.bbox_head, getattr(detector.roi_head, "mask_head", None)
        features, found = torch.rand(3, 256, 7, 7, generator=generator), []
        for head in heads if isinstance(heads, torch.nn.ModuleList) else [heads]:
            score, box = head(features)
            found += [score] if head.reg_class_agnostic else [score, box.reshape(3, -1, 4).transpose(1, 2)]
        return found + ([masks(features).movedim(1, -1)] if masks else [])
    head, neck = detector.bbox_head, detector.neck
    features = neck(detector.backbone(torch.rand(1, 3, 320, 320, generator=generator)))
    maps = head(features)[0]
    return [each.permute(0, 2, 3, 1).reshape(-1, head.cls_out_channels) for each in maps]


@pytest.mark.parametrize("name", ["Mask R-CNN", "Cascade R-CNN", "SSD", "YOLOX"])  # Faster R-CNN is the page's
def test_what_is_kept_of_each_detector_scores_as_before(checkout, keep, name):
    path = classes.standard()[name]
    changes = two(checkout, path)
    before, after = model(checkout, path), model(checkout, path, **changes)
    said, state = keep(path, before.state_dict(), **changes)
    assert {line.split(":")[0] for line in said.splitlines() if " outputs" in line} == set(
        classes.dependent(checkout, path)
    )
    after.load_state_dict(state)
    with torch.no_grad():
        pairs = zip(scores(before), scores(after), strict=True)
    for mine, kept in pairs:
        labels = [15, 41, 80][: kept.shape[-1]] if mine.shape[-1] != 4 else ...
        assert torch.allclose(mine[..., labels], kept, atol=1e-5)


def test_of_a_transformer_it_keeps_the_rows_of_the_classes(checkout, keep):
    path = next(path for name, path in classes.standard().items() if name in ("DINO", "Deformable DETR"))
    changes, before = two(checkout, path), model(checkout, path).state_dict()
    _, state = keep(path, before, whole=False, **changes)  # the weights alone, as some publish them
    for each in classes.dependent(checkout, path):
        assert torch.equal(state[each], before[each][[15, 41]])


@pytest.mark.parametrize(
    ("names", "state", "reason"),
    [
        ("kitten", None, "kitten is no class of COCO. These are: person, bicycle, car"),
        ("cat cup dog", None, "3 classes make 4 outputs, and your detector has 3. Name one class of COCO for each"),
        ("cat cup", {"conv1.weight": torch.zeros(1)}, "No layer of before.pth has other outputs than your detector"),
        ("cat cup", {LAYERS[0]: torch.zeros(91, 1024)}, "91 outputs are not some for each class of COCO"),
    ],
)
def test_what_cannot_be_kept_is_one_clear_line_and_no_file(checkout, keep, names, state, reason):
    state = state or {name: torch.zeros(81 if "cls" in name else 320, 1024) for name in LAYERS[::2]}
    said, _ = keep(checkout.own, state, names, succeeds=False)
    assert reason in said and "Traceback" not in said
    assert not list(checkout.root.glob("of_any.pth*"))


def test_a_file_that_exists_is_not_written_over_and_a_config_without_a_checkpoint_is_named(checkout, keep):
    for path in ("before.pth", "any.py"):  # what it reads
        keep(checkout.own, {}, succeeds=False)
        content = (checkout.root / path).read_bytes()
        said = checkout.shell(f"python configs/finetune/keep_classes.py any.py {path} cat cup", succeeds=False)
        assert f"{path} exists. Choose another name" in said
        assert (checkout.root / path).read_bytes() == content
    name = classes.standard()["Faster R-CNN"]
    said = checkout.shell(f"python configs/finetune/keep_classes.py configs/{name} new.pth cat cup", succeeds=False)
    assert "has no load_from" in said and "Traceback" not in said


def test_600_images_end_within_the_warm_up_and_the_pages_lines_shorten_it(checkout):
    if stacks.current().family == "mmdet2":
        from mmdet.datasets.samplers import DistributedGroupSampler

        images = types.SimpleNamespace(flag=numpy.zeros(600, dtype=int))  # all of them upright
        steps = len(DistributedGroupSampler(images, samples_per_gpu=2, num_replicas=8, rank=0)) // 2
        lines, stands = "lr_config = dict(warmup_iters=100)", ("lr_config", "warmup_iters")
    else:
        from mmengine.dataset import sampler

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sampler, "get_dist_info", lambda: (0, 8))
            steps = -(-len(sampler.DefaultSampler(range(600))) // 2)
        lines = "param_scheduler = _base_.param_scheduler\nparam_scheduler[0].update(end=100)"
        stands = ("param_scheduler", 0, "end")
    line = "data_root = 'data/my_dataset/'\n"
    own, shorter = checkout.config(), checkout.config(checkout.edit(checkout.own, {line: f"{line}{lines}\n"}, True))
    before, after = (functools.reduce(lambda node, key: node[key], stands, cfg) for cfg in (own, shorter))
    assert (steps * 12, before, after) == (456, 500, 100)
    page = howtos.by_topic(stacks.current(), checkout.topic).text
    assert all(f"``{each}``" in page for each in lines.splitlines())


def test_a_config_or_checkpoint_that_is_missing_or_broken_is_one_clear_line(checkout):
    cfg = checkout.config()
    cfg.load_from = "broken.pth"
    cfg.dump(str(checkout.root / "any.py"))
    (checkout.root / "broken.pth").write_bytes(b"not what it says")
    for config, reason in (("any.py", "broken.pth: "), ("nowhere.py", "nowhere.py: FileNotFoundError: ")):
        said = checkout.shell(f"python configs/finetune/keep_classes.py {config} new.pth cat cup", succeeds=False)
        assert reason in said and "Traceback" not in said
    assert not list(checkout.root.glob("new.pth*"))


@pytest.mark.skipif(stacks.current().family == "mmdet2", reason="it resumes there")
def test_a_checkpoint_that_names_another_number_of_gpus_is_refused_first(checkout):
    meta = {"epoch": 12, "iter": 24, "config": "gpu_ids = range(0, 8)"}
    path = checkout.root / "of_eight.pth"
    torch.save({"meta": meta, "state_dict": {}}, path)
    failure = checkout.fails(checkout.train, resume_from=path)
    assert failure.message.startswith("RuntimeError: Number of GPUs used for current experiment is not consistent")
