"""Tell what the published tutorial's statements do on each stack, from the records of what was executed."""

import json
from dataclasses import dataclass

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from howto import files, stacks
from howto.stacks import STACKS, Stack


@dataclass(frozen=True)
class Found:
    """What a statement did on the stacks of a family, and the check that saw it.

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
SAVED = "the script saved a checkpoint"
SCALE = "image after RandomAffine: height, width"
LAYER1 = "layer1 trains"
SHAPES = repr("(1, 64, 8, 8)\n(1, 128, 4, 4)\n(1, 256, 2, 2)\n(1, 512, 1, 1)\n")
STATEMENTS = {
    "custom_imports of mmcls.models": {
        "mmdet2": Found(WORKS, "mmcls_backbone", SAVED, "True"),
        "mmdet3": Found(
            LOUD,
            "mmcls_backbone",
            "what importing mmcls.models says",
            '"ImportError: Failed to import custom modules from '
            "{'imports': ['mmcls.models'], 'allow_failed_imports': False}\"",
        ),
    },
    "optimizer = dict(type='SGD', lr=0.01, …) at the top of a config": {
        "mmdet2": Found(
            WORKS, "timm_backbone", "its settings", "{'initial_lr': 0.01, 'momentum': 0.9, 'weight_decay': 0.0001}"
        ),
        "mmdet3": Found(IGNORED, "timm_backbone", "learning rate", "0.02"),
    },
    "data = dict(train=…) with Mosaic": {
        "mmdet2": Found(WORKS, "mosaic", "canvas after Mosaic: height, width", "(1600, 2666)"),
        "mmdet3": Found(IGNORED, "mosaic", "Mosaic is among its steps", "False"),
    },
    "img_scale = (1333, 800) for Mosaic": {
        "mmdet2": Found(WRONG, "mosaic", SCALE, "(1332, 800)"),
        "mmdet3": Found(WORKS, "mosaic", SCALE, "(800, 1332)"),
    },
    "the hook that unfreezes the backbone": {
        "mmdet2": Found(WRONG, "unfreeze_backbone", LAYER1, "[False, True, False]"),
        "mmdet3": Found(WRONG, "unfreeze_backbone", LAYER1, "[False, False, False]"),
    },
    "from mmcv.runner.hooks import HOOKS, Hook": {
        "mmdet2": Found(
            WORKS, "unfreeze_backbone", "what the hook logs", "['Epoch 1: unfroze conv1, norm1, layer1 of ResNet']"
        ),
        "mmdet3": Found(
            LOUD,
            "unfreeze_backbone",
            "what importing mmcv.runner says",
            "\"ModuleNotFoundError: No module named 'mmcv.runner'\"",
        ),
    },
    "the script that prints a backbone's channels": {
        family: Found(WORKS, "backbone_channels", "what the script prints", SHAPES) for family in ("mmdet2", "mmdet3")
    },
}


class DriftTable(SphinxDirective):
    """``.. drift-table::``: each statement of the published tutorial, on each stack whose pages were executed."""

    def run(self) -> list[nodes.Node]:
        """The table, and which stacks are not in it."""
        from howto.sphinx_ext import note, table  # which registers this directive

        executed = [stack for stack in STACKS.values() if any(files.records(stack).glob("*.json"))]
        rows = []
        for stack in STACKS.values():  # those that are executed later, too
            for families in STATEMENTS.values():
                note(self.env, files.records(stack) / f"{families[stack.family].topic}.json")
        for statement, families in STATEMENTS.items():
            rows.append(([statement], *(self.cell(stack, families[stack.family]) for stack in executed)))
        missing = ", ".join(stack.title for stack in STACKS.values() if stack not in executed)
        note = [nodes.paragraph("", f"Not executed where this site was built: {missing}.")] if missing else []
        return [table(("The tutorial says", *(stack.title for stack in executed)), rows), *note]

    def cell(self, stack: Stack, found: Found) -> nodes.Node:
        """The verdict, linked to the how-to that does it right, and what was measured."""
        path = files.records(stack) / f"{found.topic}.json"
        record = json.loads(path.read_text()) if path.exists() else {}
        if record.get("status") != "passed":
            return nodes.Text("not executed")
        if not any((item["name"], item["measured"]) == (found.check, found.measured) for item in record["checks"]):
            raise self.error(f"{stack.name}/{found.topic} has no check {found.check!r} that measured {found.measured}")
        verdict = nodes.strong("", found.verdict)
        if stack == stacks.current():
            target = dict(refdomain="std", reftype="doc", refexplicit=True, refwarn=True, refdoc=self.env.docname)
            verdict = addnodes.pending_xref("", verdict, reftarget=f"/{files.GALLERY}/plot_{found.topic}", **target)
        evidence = nodes.literal("", found.measured)
        return nodes.inline("", "", verdict, nodes.Text(f"; {found.check}: "), evidence)
