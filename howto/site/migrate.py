"""Set the snippets of two stacks side by side, line by line."""

import difflib
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from howto.project import files, howtos
from howto.project.howtos import HowTo
from howto.project.stacks import Stack, named
from howto.site.parts import table

FROM, TO = "mmdet2", "mmdet3"  # what the page compares
# Keys that were renamed; a test looks for each in the snippets of its side.
RENAMED = [
    ("mmcls", "mmpretrain", "the package of the classifiers' backbones, and the scope of their names"),
    ("mmcv.runner.hooks", "mmengine.hooks", "where Hook is"),
    ("is_module_wrapper", "is_model_wrapper", "asks whether a model is inside DDP"),
    ("optimizer = dict(type='SGD', lr=0.01", "optim_wrapper = dict(optimizer=dict(lr=0.01", "the optimizer"),
    ("data = dict(train=", "train_dataloader = dict(dataset=", "the training data"),
    ("img_prefix=", "data_prefix=dict(img=", "the folder of the images, below data_root now"),
    (
        "filter_empty_gt=False",
        "filter_cfg=dict(filter_empty_gt=False",
        "whether images without objects are left out; where nothing is said, True has become False",
    ),
    ("flip_ratio=0.5", "prob=0.5", "the share of flipped images"),
    (
        "img_scale = (800, 1333)",
        "img_scale = (1333, 800)",
        "the size for Mosaic and MixUp: (height, width), now (width, height)",
    ),
    ("dict(type='Collect'", "dict(type='PackDetInputs'", "the end of a pipeline"),
    ("classes=classes", "metainfo=metainfo", "the names of your classes, in each dataset: metainfo=dict(classes=…)"),
    ("from mmcv import Config", "from mmengine.config import Config", "where Config is"),
    ("mmcv.runner import CheckpointLoader", "mmengine.runner import CheckpointLoader", "what reads a checkpoint"),
    ("from mmdet.core import get_classes", "from mmdet.evaluation import get_classes", "the names of COCO's classes"),
    ("inference_detector(model, files)", "DetInferencer(config, checkpoint", "detection in batches"),
    ("model.show_result(", "visualizer.add_datasample(", "drawing what was detected"),
    ("cumulative_iters=accumulate", "accumulative_counts=accumulate", "iterations whose gradients are added up"),
    ("lr_config = dict(warmup_iters=", "param_scheduler[0].update(end=", "the length of the warm-up, in iterations"),
    ("save_best='bbox_mAP'", "save_best='coco/bbox_mAP'", "the metric of the best checkpoint, now a key of its hook"),
    ("checkpoint_config = dict(max_keep_ckpts=1)", "checkpoint=dict(", "saving checkpoints, in default_hooks"),
    ("optimizer = dict(lr=0.002", "optim_wrapper = dict(optimizer=dict(lr=0.002", "the learning rate"),
    ("faster_rcnn_r50_fpn", "faster-rcnn_r50_fpn", "names of config files"),
]


def differences(topic: str, one: Stack, other: Stack) -> list[tuple[str, str]]:
    """For each pair of a how-to's files the path of the second, and the whole of both as a diff, empty if they agree.

    A file that the other stack does not have, or does not need, is a diff that leads from nothing or to nothing.

    Raises:
        HowtoError: The families of the stacks have no such how-to.
    """
    found = []
    for pair in pairs(*(compared(howtos.by_topic(stack, topic)) for stack in (one, other))):
        lines = [path.read_text("utf-8").splitlines() if path else [] for path in pair]
        names = [path.name if path else "/dev/null" for path in pair]
        diff = list(difflib.unified_diff(*lines, *names, "", "", n=1000, lineterm=""))
        path = pair[1] or pair[0]
        found.append((f"configs/{topic}/{path.name}", "\n".join(diff[:2] + diff[3:])))
    return found


def pairs(ones: list[Path], others: list[Path]) -> list[tuple[Path | None, Path | None]]:
    """Which file of one list becomes which of the other: in their order, or, if these are not as many, by name."""
    if len(ones) == len(others):
        return list(zip(ones, others, strict=True))
    named_so = [{path.name: path for path in paths} for paths in (ones, others)]
    return [tuple(each.get(name) for each in named_so) for name in sorted(named_so[0] | named_so[1])]


def compared(howto: HowTo) -> list[Path]:
    """The files of a how-to but for its pure-Python configs, which 2.x cannot have."""
    return [path for path in howto.snippets if "read_base()" not in path.read_text("utf-8")]


class Migrations(SphinxDirective):
    """``.. migrations::``: each how-to's files for 2.x and for 3.x as one text each, differences marked."""

    def run(self) -> list[nodes.Node]:
        """A section for each how-to that both have."""
        both = files.topics(TO)
        return [self.section(topic) for topic in files.topics(FROM) if topic in both]

    def section(self, topic: str) -> nodes.section:
        """A diff for each file, or the words that it is the same."""
        title = nodes.title("", HowTo(named(TO), topic).question)
        section = nodes.section("", title, ids=[nodes.make_id(topic)], classes=["howto-fold"])
        for path, diff in differences(topic, named(FROM), named(TO)):
            same = nodes.paragraph("", "", nodes.literal("", path), nodes.Text(" is the same for both."))
            section += nodes.literal_block(diff, diff, language="diff") if diff else same
        for stack in (FROM, TO):
            for file in HowTo(named(stack), topic).snippets:
                self.env.note_dependency(str(file))
        return section


class Renamed(SphinxDirective):
    """``.. renamed::``: keys that were renamed."""

    def run(self) -> list[nodes.Node]:
        """The table of :data:`RENAMED`."""
        rows = [([_closed(old)], [_closed(new)], what) for old, new, what in RENAMED]
        return [table(("MMDetection 2.x", "3.x", "What it is"), rows)]


def _closed(beginning: str) -> str:
    """The beginning of an assignment or call with an ellipsis for what is left out, and its brackets closed."""
    missing = beginning.count("(") - beginning.count(")")
    if not missing and not beginning.endswith("="):
        return beginning
    return beginning + ("…" if beginning[-1] in "=(" else ", …") + ")" * missing
