"""Tell what the published tutorial's statements do on each stack, from the records of what was executed."""

import json
from dataclasses import dataclass

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from howto.project import files, stacks
from howto.project.howtos import HowTo
from howto.project.stacks import STACKS, Stack
from howto.site.parts import in_words, note, table


@dataclass(frozen=True)
class Verdict:
    """What a statement does on the stacks that it is for, and the check that saw it.

    Attributes:
        verdict: In two or three words.
        topic: The how-to whose record has the check.
        check: Its name.
        measured: The value in the record; without a check that measured it, the table is not built.
    """

    verdict: str
    topic: str
    check: str
    measured: str


IGNORED, LOUD, WRONG, WORKS = "silently ignored", "fails loudly", "wrong result", "works"
SAVED = "Two processes train it, and save a checkpoint"
UNUSED = repr([f"backbone.layer12.{name}" for name in ("conv.weight", "bn.weight", "bn.bias")])
SEEDS = "The second epoch mixes in the images of the first"
PORTRAIT = "Images become portraits: height, width"
RESTORED = "RandomAffine restores the size: height, width"
LAYER1 = "With the published hook layer1 trains"
LOGGED = repr(["Epoch 1: unfroze conv1, norm1, layer1, layer2, layer3, layer4 of ResNet"])
D2 = "It says: unexpected keyword argument 'd2_detector'"
SHAPES = repr("(1, 64, 8, 8)\n(1, 128, 4, 4)\n(1, 256, 2, 2)\n(1, 512, 1, 1)\n")

# What both editions say in the same words, and what comes of it everywhere.
ON_SEVERAL_GPUS = Verdict(LOUD, "mmcls_backbone", "Parameters without a gradient", UNUSED)
RATE = Verdict("twice RetinaNet's", "mmcls_backbone", "Without the line the learning rate is", "0.02")
CHANNELS = Verdict(WORKS, "timm_backbone", "The neck expects", "[24, 40, 112, 320]")
WRAPPER = Verdict(WORKS, "mosaic", "Without the wrapper it stops at", repr("assert 'mix_results' in results"))
SCRIPT = Verdict(WORKS, "backbone_channels", "The script prints", SHAPES)

# For each edition of the tutorial, named after the family that it is for: what it says, in its order.
STATEMENTS = {
    "mmdet2": {
        "custom_imports of mmcls.models": Verdict(WORKS, "mmcls_backbone", SAVED, "True"),
        "MobileNetV3 with out_indices=(3, 8, 11), on several GPUs": ON_SEVERAL_GPUS,
        "the learning rate of schedule_1x for MobileNetV3": RATE,
        "in_channels=[24, 40, 112, 320] for EfficientNet-B1": CHANNELS,
        "optimizer = dict(type='SGD', lr=0.01, …) at the top of a config": Verdict(
            WORKS, "timm_backbone", "The optimizer has", "{'initial_lr': 0.01, 'momentum': 0.9, 'weight_decay': 0.0001}"
        ),
        "use MultiImageMixDataset with Mosaic": WRAPPER,
        "img_scale = (1333, 800) for Mosaic": Verdict(WRONG, "mosaic", PORTRAIT, "(1332, 800)"),
        "a negative border to restore the size": Verdict(WORKS, "mosaic", RESTORED, "(800, 1332)"),
        "filter_empty_gt=False": Verdict(WORKS, "mosaic", "The fewest boxes of the four images", "0"),
        "data = dict(train=train_dataset)": Verdict(
            WORKS, "mosaic", "Mosaic doubles the canvas: height, width", "(1600, 2666)"
        ),
        "the same, for more than one epoch": Verdict("the same mosaics again", "mosaic", SEEDS, "True"),
        "from mmcv.runner.hooks import HOOKS, Hook": Verdict(WORKS, "unfreeze_backbone", "The hook logs, once", LOGGED),
        "the hook that unfreezes the backbone": Verdict(WRONG, "unfreeze_backbone", LAYER1, "[True, False]"),
        "the script that prints a backbone's channels": SCRIPT,
    },
    "mmdet3": {
        "custom_imports of mmpretrain.models": Verdict(WORKS, "mmcls_backbone", SAVED, "True"),
        "MobileNetV3 with out_indices=(3, 8, 11), on several GPUs": ON_SEVERAL_GPUS,
        "the learning rate of schedule_1x for MobileNetV3": RATE,
        "in_channels=[24, 40, 112, 320] for EfficientNet-B1": CHANNELS,
        "optimizer = dict(type='SGD', lr=0.01, …) at the top of a config": Verdict(
            IGNORED, "timm_backbone", "It is ignored: the learning rate is", "0.02"
        ),
        "use MultiImageMixDataset with Mosaic": WRAPPER,
        "img_scale = (1333, 800) for Mosaic": Verdict(WORKS, "mosaic", RESTORED, "(800, 1332)"),
        "PackDetInputs at the end of the pipeline": Verdict(
            WORKS, "mosaic", "The steps from flipping on are the stock config's", "True"
        ),
        "img_prefix= and filter_empty_gt= beside the pipeline, once they are read": Verdict(
            LOUD, "mosaic", "CocoDataset refuses the keyword arguments", "['img_prefix', 'filter_empty_gt']"
        ),
        "data = dict(train=train_dataset)": Verdict(IGNORED, "mosaic", "The dataset in training", repr("CocoDataset")),
        "from mmengine.hooks import Hook": Verdict(WORKS, "unfreeze_backbone", "The hook logs, once", LOGGED),
        "the hook that unfreezes the backbone": Verdict(WRONG, "unfreeze_backbone", LAYER1, "[False]"),
        "the script that prints a backbone's channels": SCRIPT,
        "model.d2_detector for Detectron2": Verdict(LOUD, "detectron2", D2, "True"),
    },
}


class DriftTable(SphinxDirective):
    """``.. drift-table:: mmdet2``: what the tutorial's edition for a family says, on its stacks that were executed."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table, and which stacks are not in it."""
        family = self.arguments[0]
        named = [stack for stack in STACKS.values() if stack.family == family]
        executed = [stack for stack in named if any(files.records(stack).glob("*.json"))]
        for stack in named:  # those that are executed later, too
            for found in STATEMENTS[family].values():
                note(self.env, HowTo(stack, found.topic).record)
        rows = [
            ([statement], *(self.cell(stack, found) for stack in executed))
            for statement, found in STATEMENTS[family].items()
        ]
        missing = ", ".join(stack.title for stack in named if stack not in executed)
        left = [nodes.paragraph("", f"Not executed where this site was built: {missing}.")] if missing else []
        return [table(("The tutorial says", *(stack.title for stack in executed)), rows), *left]

    def cell(self, stack: Stack, found: Verdict) -> nodes.Node:
        """The verdict, linked to the how-to that does it right, and what was measured."""
        path = HowTo(stack, found.topic).record
        record = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if record.get("status") != "passed":
            return nodes.Text("not executed")
        if not any((item["name"], item["measured"]) == (found.check, found.measured) for item in record["checks"]):
            if stack != stacks.current():  # whose pages change with these, and run when their site is built
                return nodes.Text("not executed since this page changed")
            raise self.error(f"{stack.name}/{found.topic} has no check {found.check!r} that measured {found.measured}")
        verdict = nodes.strong("", found.verdict)
        if stack == stacks.current():
            target = dict(refdomain="std", reftype="doc", refexplicit=True, refwarn=True, refdoc=self.env.docname)
            verdict = addnodes.pending_xref("", verdict, reftarget=f"/{files.GALLERY}/plot_{found.topic}", **target)
        kind = "howto-works" if found.verdict == WORKS else "howto-fails"
        said = nodes.Text(f" ({found.check}: {in_words(found.measured)})")
        return nodes.inline("", "", verdict, said, classes=[kind])
