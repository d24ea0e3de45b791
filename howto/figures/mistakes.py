"""Make mistakes in a good config, one at a time, and ask ``check_config.py`` what it finds."""

import copy
import importlib
import json
import sys

from howto.project import stacks

BUILDING = {"levels", "sizes", "weights", "step"}  # checks that build the detector
NAMES = ("kitten", "mug")
MODEL = """
model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')),
    neck=dict(in_channels=[64, 128, 256, 512]),
    roi_head=dict(bbox_head=dict(num_classes=2)))
"""
GOOD = {
    "mmdet2": """
_base_ = '../faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py'
classes, root = ('kitten', 'mug'), 'data/my_dataset/'
validation = dict(classes=classes, ann_file=root + 'annotations/val.json', img_prefix=root + 'val/')
data = dict(
    train=dict(classes=classes, ann_file=root + 'annotations/train.json', img_prefix=root + 'train/'),
    val=validation, test=validation)
optimizer = dict(lr=0.0025)
lr_config = dict(warmup_iters=1)
""",
    "mmdet3": """
_base_ = '../faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
own = dict(metainfo=dict(classes=('kitten', 'mug')), data_root='data/my_dataset/')
train_dataloader = dict(dataset=dict(own, ann_file='annotations/train.json', data_prefix=dict(img='train/')))
val_dataloader = dict(dataset=dict(own, ann_file='annotations/val.json', data_prefix=dict(img='val/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/my_dataset/annotations/val.json')
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=0.0025))
param_scheduler = [dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1),
                   dict(type='MultiStepLR', begin=0, end=12, by_epoch=True, milestones=[8, 11], gamma=0.1)]
""",
}
HEAD = "model__roi_head__bbox_head"


class Mistakes:
    """What the script in a checkout says of a good config with one mistake each.

    Args:
        checkout: A checkout of the how-to ``check_config``; ``good.py`` is written beside the script.
    """

    def __init__(self, checkout) -> None:
        self.checkout, self.family = checkout, stacks.current().family
        folder = self.checkout.root / "configs/check_config"
        (folder / "good.py").write_text(GOOD[self.family] + MODEL, "utf-8")
        with self.checkout.inside():
            sys.path.insert(0, str(folder))
            self.script = importlib.import_module("check_config")
        self._files = self.checkout.root / "data/my_dataset/annotations"
        self._train, self._val = (
            json.loads((self._files / f"{split}.json").read_text("utf-8")) for split in ("train", "val")
        )

    def found(self, cfg, *building: str) -> list[tuple[str, object]]:
        """The mistakes that the script finds in a config: the check and the finding.

        Args:
            cfg: A ``Config``.
            *building: Checks to run of those that build the detector.
        """
        skip = BUILDING - {*building}
        with self.checkout.inside(cfg if "weights" in building else None):
            report = [(name, each) for name, found in self.script.check(cfg, gpus=1, skip=skip) for each in found]
        return [(name, each) for name, each in report if each.mark == "✗"]

    def make(self, area: str) -> tuple[list[tuple[str, str, str]], list]:
        """Make each mistake of an area, and follow the advice where it is given as keys.

        Returns:
            Rows of what is wrong, what the script says and what it says to write; and what was not as it should be:
            mistakes that are missed, findings besides, and what is still found once the advice is followed.
        """
        rows, amiss = [], []
        for name, (expected, changes) in getattr(self, area)().items():
            cfg, checks = self.checkout.config("good.py", **copy.deepcopy(changes)), expected.split()
            found = self.found(cfg, *checks)
            told = next((each for check, each in found if check == checks[0]), None)
            if {check for check, _ in found} != {*checks}:
                amiss.append((name, sorted({check for check, _ in found})))
            else:
                rows.append((name, told.what, advice(told)))
            for _ in range(2):  # what follows may show once the first is mended
                if found and all(each.fix for _, each in found):
                    cfg.merge_from_dict({key: value for _, each in found for key, value in each.fix.items()})
                    found = self.found(cfg, *checks)
                    amiss += [(name, "still", each.what) for _, each in found if not each.fix]
        return rows, amiss

    def keys(self) -> dict:
        """Keys of the other version, classes and arguments that do not exist, wrappers."""
        faults = {
            "A class is misspelled": ("types", dict(model__backbone__type="ResNett")),
            "A hook is not imported": ("types", dict(custom_hooks=[dict(type="OwnHook")])),
            "An argument is misspelled": ("arguments", {f"{HEAD}__reg_class_agnostik": True}),
            "A step has another one's argument": (
                "arguments",
                dict(train__pipeline__3__keep_ratio=True),
            ),
            "A wrapper over a plain dataset": ("arguments", dict(train__type="RepeatDataset")),
            "ConcatDataset over a plain dataset": (
                "arguments",
                dict(train__type="ConcatDataset"),
            ),
            "A plain dataset over a wrapper": (
                "arguments files num_classes splits",
                dict(train__dataset=dict(type="CocoDataset")),
            ),
        }
        if self.family == "mmdet2":
            faults |= {
                "train_dataloader, of 3.x": ("keys", dict(train_dataloader=dict(batch_size=4))),
                "optim_wrapper, of 3.x": (
                    "keys",
                    dict(optim_wrapper=dict(optimizer=dict(lr=0.001))),
                ),
                "train_cfg with a type, of 3.x": (
                    "keys",
                    dict(train_cfg=dict(type="EpochBasedTrainLoop")),
                ),
                "total_epochs beside a runner": ("keys", dict(total_epochs=14)),
                "A key is misspelled": ("keys", dict(evaluatio=dict(interval=2))),
            }
        else:
            faults |= {
                "data, of 2.x": ("keys", dict(data=dict(samples_per_gpu=4))),
                "lr_config, of 2.x": ("keys", dict(lr_config=dict(step=[8, 11]))),
                "evaluation, of 2.x": ("keys", dict(evaluation=dict(interval=2))),
                "total_epochs, of 2.x": ("keys", dict(total_epochs=14)),
                "A key is misspelled": ("keys", dict(optim_wraper=dict(accumulative_counts=2))),
                "data_prefix is a string": ("keys images items", dict(train__data_prefix="train/")),
                "CLASSES, as before 3.0": (
                    "keys classes items num_classes splits",
                    dict(train=dict(metainfo=dict(CLASSES=NAMES, _delete_=True))),
                ),
            }
        return faults

    def classes(self) -> dict:
        """The names of the classes, and their number."""
        faults = {
            "A string instead of a tuple": (
                "classes num_classes",
                dict(train=_named("kitten"), val=_named("kitten"), test=_named("kitten")),
            ),
            "A name that the file does not have": (
                "classes",
                {split: _named(("Kitten", "mug")) for split in ("train", "val", "test")},
            ),
            "Another order than the file's": (
                "classes",
                {split: _named(("mug", "kitten")) for split in ("train", "val", "test")},
            ),
            "val has other classes": ("splits", dict(val=_named(("kitten",)))),
            "test has another order": (
                "splits classes",
                dict(test=_named(("mug", "kitten"))),
            ),
            "num_classes is COCO's": ("num_classes", {f"{HEAD}__num_classes": 80}),
        }
        return faults

    def annotations(self) -> dict:
        """Annotation files as exporters write them."""
        content = self._train
        objects, images = content["annotations"], content["images"]

        def each(key, value):
            """The training file with a key of each object changed, or left out."""
            changed = [{k: v for k, v in one.items() if k != key} for one in objects]
            if value is not None:
                changed = [one | {key: value(old)} for one, old in zip(changed, objects)]
            return self._annotated("train", content | {"annotations": changed})

        def first(kind, **keys):
            """The training file with keys of its first image, object or category changed."""
            changed = [content[kind][0] | keys, *content[kind][1:]]
            return self._annotated("train", content | {kind: changed})

        def corners(one):
            """A box as two corners."""
            x, y, width, height = one["bbox"]
            return [x, y, x + width, y + height]

        rows = content["categories"]
        val = self._val
        numbered = [one | {"id": n} for n, one in enumerate(val["annotations"])]
        without = [{k: v for k, v in one.items() if k != "iscrowd"} for one in val["annotations"]]
        unused = {"categories": [{"id": 0, "name": "animals"}, *rows]}
        animals = {split: _named(("animals", "kitten", "mug")) for split in ("train", "val", "test")}
        animals |= self._annotated("train", content | unused) | self._annotated("val", val | unused)
        animals |= self._annotated("test", val | unused)
        animals[f"{HEAD}__num_classes"] = 3
        bare = [{"id": one["id"], "file_name": one["file_name"]} for one in images]
        turned = [one | {"width": one["height"], "height": one["width"] + 1} for one in images]
        faults = {
            "Annotation ids from 0": (
                "annotations",
                self._annotated("val", val | {"annotations": numbered}),
            ),
            "iscrowd is missing": (
                "annotations",
                self._annotated("val", val | {"annotations": without}),
            ),
            "iscrowd is 1 everywhere": ("annotations", each("iscrowd", lambda one: 1)),
            "area is missing": ("annotations items", each("area", None)),
            "area is 0 everywhere": ("annotations", each("area", lambda one: 0)),
            "Boxes from 0 to 1": (
                "annotations",
                each("bbox", lambda one: [0.2, 0.2, 0.4, 0.4]),
            ),
            "Boxes as two corners": ("annotations", each("bbox", corners)),
            "Boxes outside": ("annotations", first("annotations", bbox=[-90, -90, 60, 60])),
            "An empty box": ("annotations", first("annotations", bbox=[9, 9, 0, 0])),
            "A box of strings": (
                "annotations items",
                first("annotations", bbox=["9", "9", "60", "60"]),
            ),
            "An annotation id twice": (
                "annotations items",
                first("annotations", id=objects[-1]["id"]),
            ),
            "An image id twice": ("annotations", first("images", id=images[-1]["id"])),
            "category_id is a string": (
                "annotations items",
                each("category_id", lambda one: str(one["category_id"])),
            ),
            "image_id of no image": ("annotations", first("annotations", image_id=10**6)),
            "A category twice": (
                "annotations",
                self._annotated("train", content | {"categories": [{"id": 99, "name": "mug"}, *rows]}),
            ),
            "No categories": (
                "annotations items",
                self._annotated("train", content | {"categories": []}),
            ),
            "A first category without objects": ("annotations", animals),
            "No width and height": (
                "annotations items",
                self._annotated("train", content | {"images": bare}),
            ),
            "Width and height swapped": (
                "images annotations",
                self._annotated("train", content | {"images": turned}),
            ),
            "A backslash in file_name": (
                "annotations images",
                first("images", file_name="sub\\photo.jpg"),
            ),
            "A URL-encoded file_name": (
                "images",
                first("images", file_name="photo%201.jpg"),
            ),
        }
        return faults

    def pipelines(self) -> dict:
        """Steps in the wrong place, and pixels that the weights do not know."""
        caffe = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0])
        if self.family == "mmdet2":
            stock = self.checkout.config("good.py")
            loads, normalise = stock.train_pipeline[:2], stock.train_pipeline[4]
            mosaic = dict(type="Mosaic", img_scale=(640, 640))
            wrapper = dict(
                type="MultiImageMixDataset",
                _delete_=True,
                dataset=dict(stock.data.train, pipeline=loads),
            )
            rest = stock.train_pipeline[2:]

            def mixing(**keys):
                """The config's dataset with Mosaic in its wrapper."""
                return dict(train=dict(wrapper, pipeline=[dict(mosaic, **keys), *rest]))

            faults = {
                "Mosaic without its wrapper": (
                    "pipelines",
                    dict(train__pipeline=[*loads, mosaic, *rest]),
                ),
                "Mosaic's img_scale is a list": ("pipelines", mixing(img_scale=[640, 640])),
                "Mosaic's img_scale is (width, height)": (
                    "pipelines",
                    mixing(img_scale=(1333, 800)),
                ),
                "Annotations are loaded to validate": (
                    "pipelines",
                    dict(val__pipeline=stock.train_pipeline),
                ),
                "Normalised twice": (
                    "pipelines",
                    dict(
                        train__pipeline=[
                            *stock.train_pipeline[:5],
                            normalise,
                            *stock.train_pipeline[5:],
                        ]
                    ),
                ),
                "No DefaultFormatBundle": (
                    "pipelines",
                    dict(train__pipeline=[*stock.train_pipeline[:6], stock.train_pipeline[7]]),
                ),
                "Pixels as Caffe's weights want them": (
                    "pixels",
                    dict(train__pipeline__4=dict(caffe, to_rgb=False)),
                ),
                "Blue and red are swapped": ("pixels", dict(train__pipeline__4__to_rgb=False)),
                "Grey images for a backbone of three channels": (
                    "pixels items",
                    dict(train__pipeline__0__color_type="grayscale"),
                ),
            }
        else:
            stock = self.checkout.config("good.py").train_pipeline
            mosaic = dict(type="Mosaic", img_scale=(640, 640))
            wrapper = dict(self.checkout.config("good.py").train_dataloader.dataset, pipeline=stock[:2])
            wrapper = dict(type="MultiImageMixDataset", _delete_=True, dataset=wrapper)
            listed = dict(wrapper, pipeline=[dict(mosaic, img_scale=[640, 640]), *stock[2:]])
            normalise = dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
            pixels = "model__data_preprocessor"
            faults = {
                "Mosaic without its wrapper": (
                    "pipelines",
                    dict(train__pipeline=[*stock[:2], mosaic, *stock[2:]]),
                ),
                "Mosaic's img_scale is a list": ("pipelines", dict(train=listed)),
                "Normalised by a step and by the model": (
                    "pipelines",
                    dict(train__pipeline=[*stock[:3], normalise, *stock[3:]]),
                ),
                "Nothing is packed": ("pipelines", dict(train__pipeline=stock[:-1])),
                "Collect, of 2.x": (
                    "pipelines types",
                    dict(train__pipeline__4=dict(type="Collect", _delete_=True)),
                ),
                "Pixels as Caffe's weights want them": (
                    "pixels",
                    {pixels: dict(caffe, bgr_to_rgb=False)},
                ),
                "Blue and red are swapped": ("pixels", {f"{pixels}__bgr_to_rgb": False}),
                "Grey images for a backbone of three channels": (
                    "pixels",
                    dict(train__pipeline__0__color_type="grayscale"),
                ),
            }
        return faults

    def levels(self) -> dict:
        """Channels, strides, weights and masks."""
        import torch

        generator = "model__rpn_head__anchor_generator"
        extractor = "model__roi_head__bbox_roi_extractor"
        pretrained = "model__backbone__init_cfg"
        with self.checkout.inside(self.checkout.config("good.py")):
            tensors = self.script.Subject(self.checkout.config("good.py"), 1, 1).model.state_dict()
        backbone = {key: value for key, value in tensors.items() if key.startswith("backbone.")}
        torch.save({"state_dict": backbone}, self.checkout.root / "prefixed.pth")
        torch.save({"state_dict": {"encoder.weight": torch.zeros(3)}}, self.checkout.root / "other.pth")
        own = dict(type="Pretrained", checkpoint="prefixed.pth", _delete_=True)
        mask = dict(type="FCNMaskHead", num_classes=2)
        boxes = [{k: v for k, v in one.items() if k != "segmentation"} for one in self._train["annotations"]]
        faults = {
            "Channels of another ResNet": (
                "levels",
                dict(model__neck__in_channels=[256, 512, 1024, 2048]),
            ),
            "Strides halved for small objects": (
                "levels",
                {f"{generator}__strides": [2, 4, 8, 16, 32]},
            ),
            "A level less in the neck": ("levels", dict(model__neck__num_outs=4)),
            "RoIs cut from other strides": (
                "levels",
                {f"{extractor}__featmap_strides": [8, 16, 32, 64]},
            ),
            "Only three levels of the backbone": (
                "levels",
                dict(model__backbone__out_indices=(1, 2, 3)),
            ),
            "Weights under a prefix": ("weights", {pretrained: own}),
            "Weights of something else": (
                "weights",
                {pretrained: dict(own, checkpoint="other.pth")},
            ),
            "load_from of another detector": ("weights", dict(load_from="other.pth")),
            "Frozen, but never loaded": ("frozen", {pretrained: None}),
            "Masks are trained, and the file has none": (
                "masks",
                dict(
                    self._annotated("train", self._train | {"annotations": boxes}),
                    model__roi_head__mask_head=mask,
                ),
            ),
        }
        return faults

    def schedule(self) -> dict:
        """Rate, schedule and evaluation."""
        if self.family == "mmdet2":
            by_iteration = dict(type="IterBasedRunner", max_iters=1000, _delete_=True)
            faults = {
                "The rate of eight GPUs on one": ("rate", dict(optimizer__lr=0.02)),
                "SGD's rate for AdamW": (
                    "rate",
                    dict(optimizer=dict(type="AdamW", lr=0.02, _delete_=True)),
                ),
                "A rate lowered after the end": ("schedule", dict(lr_config__step=[16, 22])),
                "max_epochs changed alone": ("schedule", dict(runner__max_epochs=36)),
                "Iterations counted as epochs": (
                    "schedule",
                    dict(runner=by_iteration, lr_config=dict(by_epoch=True)),
                ),
                "An evaluation after the end": ("schedule", dict(evaluation__interval=20)),
                "A checkpoint after the end": ("schedule", dict(checkpoint_config__interval=20)),
                "YOLOX's last epochs in a short run": (
                    "schedule",
                    dict(custom_hooks=[dict(type="YOLOXModeSwitchHook", num_last_epochs=15)]),
                ),
                "A hook that waits for epochs": (
                    "schedule",
                    dict(
                        runner=by_iteration,
                        lr_config__step=[600, 900],
                        custom_hooks=[dict(type="YOLOXModeSwitchHook")],
                    ),
                ),
                "A warm-up longer than the training": ("warmup", dict(lr_config__warmup_iters=500)),
                "A metric that does not exist": ("evaluation", dict(evaluation__metric="mAP")),
                "segm without a mask head": ("evaluation", dict(evaluation__metric="segm")),
                "save_best of another name": (
                    "evaluation",
                    dict(evaluation__save_best="coco/bbox_mAP"),
                ),
                "SyncBN on one GPU": ("norms", dict(model__backbone__norm_cfg__type="SyncBN")),
                "Batch norms on one image": (
                    "norms",
                    dict(batch_size=1, model__backbone__norm_eval=False, optimizer__lr=0.00125),
                ),
            }
        else:
            by_iteration = dict(type="IterBasedTrainLoop", max_iters=1000, _delete_=True)
            save = "default_hooks__checkpoint"
            switch = [dict(type="YOLOXModeSwitchHook", num_last_epochs=15)]
            faults = {
                "The rate of eight GPUs on one": ("rate", dict(optimizer__lr=0.02)),
                "SGD's rate for AdamW": (
                    "rate",
                    dict(optimizer=dict(type="AdamW", lr=0.02, _delete_=True)),
                ),
                "A rate lowered after the end": (
                    "schedule",
                    dict(param_scheduler__1__milestones=[16, 22]),
                ),
                "max_epochs changed alone": ("schedule", dict(train_cfg__max_epochs=36)),
                "Epochs counted as iterations": (
                    "schedule",
                    dict(param_scheduler__1__by_epoch=False),
                ),
                "An evaluation after the end": ("schedule", dict(val_interval=20)),
                "A checkpoint after the end": ("schedule", {f"{save}__interval": 20}),
                "YOLOX's last epochs in a short run": ("schedule", dict(custom_hooks=switch)),
                "RTMDet's switch in a short run": (
                    "schedule",
                    dict(custom_hooks=[dict(type="PipelineSwitchHook", switch_epoch=280, switch_pipeline=[])]),
                ),
                "A hook that waits for epochs": (
                    "schedule",
                    dict(
                        train_cfg=by_iteration,
                        custom_hooks=switch,
                        param_scheduler__1=dict(milestones=[600, 900], by_epoch=False),
                    ),
                ),
                "A warm-up longer than the training": ("warmup", dict(param_scheduler__0__end=500)),
                "A metric that does not exist": ("evaluation", dict(val_evaluator__metric="mAP")),
                "segm without a mask head": ("evaluation", dict(val_evaluator__metric="segm")),
                "The evaluator reads COCO's file": (
                    "evaluation",
                    dict(val_evaluator__ann_file="data/coco/annotations/instances_val2017.json"),
                ),
                "save_best of another name": ("evaluation", {f"{save}__save_best": "bbox_mAP"}),
                "Batch norms on one image": (
                    "norms",
                    dict(batch_size=1, model__backbone__norm_eval=False, optimizer__lr=0.00125),
                ),
            }
        return faults

    def step(self) -> dict:
        """One step of training, on images 160 pixels wide."""
        if self.family == "mmdet2":
            small = dict(train__pipeline__2__img_scale=(160, 96), load_from=None)
        else:
            small = dict(train__pipeline__2__scale=(160, 96), load_from=None)
        faults = {
            "A loss weight that is not finite": (
                "step",
                dict(small, model__rpn_head__loss_cls__loss_weight=float("inf")),
            ),
        }
        return faults

    def _annotated(self, split: str, content: dict) -> dict:
        """The keys of a config whose annotation file for a split has this content."""
        path = self._files / f"{split}{len([*self._files.iterdir()])}.json"
        path.write_text(json.dumps(content), "utf-8")
        place = str(path.relative_to(self.checkout.root))
        if self.family == "mmdet2":
            return {f"{split}__ann_file": place}
        evaluator = {} if split == "train" else {f"{split}_evaluator__ann_file": place}
        return {f"{split}__ann_file": f"annotations/{path.name}", **evaluator}


def advice(finding) -> str:
    """What the script says to write."""
    return finding.write or " ".join(f"{key}={value!r}" for key, value in finding.fix.items())


def _named(names) -> dict:
    """A dataset's key for its classes."""
    return dict(classes=names) if stacks.current().family == "mmdet2" else dict(metainfo=dict(classes=names))
