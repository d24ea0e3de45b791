"""
How do I start from a COCO checkpoint with other classes?
=========================================================

Set ``load_from`` to the checkpoint, and ``num_classes`` to your number. All its weights are taken
over but those of the last two layers, whose shape depends on the classes.
"""

# %%
# .. index:: ! load_from
#
# .. snippet:: finetune/faster-rcnn_r50_fpn_finetune_my_dataset.py
#
# .. train:: finetune/faster-rcnn_r50_fpn_finetune_my_dataset.py
#
# .. include:: ../../gallery/words/finetune_start.rst

# %%
# Adapt it
# --------

# %%
# Another detector
# ~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_others.rst
from howto import Workspace
from howto.checkout import weights
from howto.checkout.family import api
from howto.figures import classes
from howto.figures.show import Table, Unfolds

checkout = Workspace("finetune")
config = "faster-rcnn_r50_fpn_finetune_my_dataset.py"
cfg = checkout.config(config)

# %%
package, _ = api().detectors()
published = {each["Config"]: each["Weights"] for each in weights.index(package)}
detectors = classes.standard()
lost = {name: classes.dependent(checkout, path) for name, path in detectors.items()}
rows = [
    (
        name,
        ", ".join(classes.layers(lost[name])),
        Unfolds("load_from", published[f"configs/{path}"]),
    )
    for name, path in detectors.items()
]
Table(("Detector", "Layers left out", "Checkpoint"), rows)

# %%
head = "roi_head.bbox_head."
four = [f"{head}fc_{of}.{kind}" for of in ("cls", "reg") for kind in ("weight", "bias")]
checkout.check("Weights that Faster R-CNN leaves out", lost["Faster R-CNN"], four)
stock = published[f"configs/{detectors['Faster R-CNN']}"]
checkout.check("The config's checkpoint is that of the table", cfg.load_from, stock)

# %%
# Learning rate
# ~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_rate.rst
cityscapes = checkout.config("cityscapes/faster-rcnn_r50_fpn_1x_cityscapes.py")
theirs, mine = (each.load_from.rpartition("/")[2] for each in (cityscapes, cfg))
checkout.check("Cityscapes loads the same checkpoint", theirs, mine)
of = [api().rate(cityscapes), api().images(cityscapes)]
checkout.check("Its learning rate, and images on each GPU", of, [0.01, 1])

# %%
# Keep the outputs of classes that COCO has too
# ---------------------------------------------
# .. include:: ../../gallery/words/finetune_keep.rst
#
# .. snippet:: finetune/keep_classes.py
#
# .. code-block:: console
#
#    $ python configs/finetune/keep_classes.py configs/finetune/faster-rcnn_r50_fpn_finetune_my_dataset.py kept.pth cat cup
script = "python configs/finetune/keep_classes.py"
printed = checkout.shell(f"{script} configs/finetune/{config} kept.pth cat cup")
kept = weights.load(checkout.root / "kept.pth")
source = checkout.checkpoint("faster_rcnn")
now = classes.origins(kept, source, f"{head}fc_cls")

# %%
import matplotlib.pyplot as plt
from mmdet.evaluation import get_classes

coco = [*get_classes("coco"), "background"]
outputs = [*checkout.dataset(cfg).metainfo["classes"], "background"]
figure, axes = plt.subplots(figsize=(5, 2))
classes.draw_origins(axes, outputs, now, coco)

# %%
# .. include:: ../../gallery/words/finetune_keep_train.rst
#
# .. code-block:: console
#
#    $ python tools/train.py configs/finetune/faster-rcnn_r50_fpn_finetune_my_dataset.py --auto-scale-lr --cfg-options load_from=kept.pth

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/finetune_log.rst
#
# Look for it on the terminal: MMEngine prints it, and its log file does not have it.
run = checkout.train(config, warmed_up=True)

# %%
import re

warning = "The model and loaded state dict do not match exactly"
said = re.split(r"\n\d\d/\d\d ", run.log.partition(warning)[2].lstrip())[0]
print(warning, "", said, *run.logged("Epoch(train)"), sep="\n")
named = [line.partition("mismatch for ")[2].split(":")[0] for line in said.splitlines()]
checkout.check("The warning names", [name for name in named if name], four)
(log,) = (checkout.root / "work_dirs").rglob("*.log")
checkout.check("Times that the log file has it", log.read_text().count(warning), 0)

# %%
# Pitfalls
# --------

# %%
# ``KeyError: 'message_hub'``: ``resume`` with a published checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``resume = True`` is for a run of your own that was interrupted. What is published has lost its
# ``message_hub`` and its optimizer: MMDetection's script for publishing keeps two keys.
failure = checkout.fails(checkout.train, config, resume=True)
checkout.check("It says", failure.message, "KeyError: 'message_hub'")
script = checkout.root / "tools/model_converters/publish_model.py"
keeps = "default=['meta', 'state_dict']" in script.read_text()
checkout.check("The script keeps meta and state_dict alone", keeps, True)

# %%
# Nothing is trained: ``resume`` after the last epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Training goes on after the checkpoint's last epoch, here 1 of 1. No line of an epoch stands in
# the log, and no error.
saved = str(run.checkpoint.relative_to(checkout.root))
resumed = checkout.train(config, resume=True, load_from=saved)
checkout.check("Epochs that ran", list(resumed.epochs), [])

# %%
# ``RuntimeError: The size of tensor a (3) must match the size of tensor b (2)``: it resumes
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_shapes.rst
one = checkout.edit(config, {"('kitten', 'mug')": "('mug', )"})
failure = checkout.fails(checkout.train, one, epochs=2, resume=True, load_from=saved)
reason = "RuntimeError: The size of tensor a (3) must match the size of tensor b (2)"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``unexpected key in source state_dict: conv1.weight``: it is a classifier's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_backbone.rst
asked = sorted(checkout.record.weights)
classifier = "torchvision://resnet50"
random = checkout.train(config, evaluate=False, load_from=classifier)
reason = "unexpected key in source state_dict: conv1.weight"
checkout.check(f"It says: {reason}", reason in random.log, True)
missing = random.log.partition("missing keys in source state_dict: ")[2]
missing = missing.splitlines()[0].split(", ")
names = [name for name in run.model.state_dict() if "num_batches" not in name]
found = [name for name in names if name not in missing]
checkout.check("Weights that it takes over", found, [])

# %%
# ``FileNotFoundError: kept.pth can not be found.``: the path is relative
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_missing.rst
away = checkout.root / "kept.pth"
away.rename(away.with_name("other.pth"))
failure = checkout.fails(checkout.train, config, load_from="kept.pth")
away.with_name("other.pth").rename(away)
reason = "FileNotFoundError: kept.pth can not be found."
checkout.check("It says", failure.message, reason)

# %%
# Kittens begin as horses: the category's id in the place of the output's number
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_ids.rst
checkout.check("Outputs 17 and 47", [coco[17], coco[47]], ["horse", "apple"])
labels = [coco.index("cat"), coco.index("cup")]
checkout.check("Those of a cat and a cup", labels, [15, 41])

# %%
# Random weights, and no error: ``--resume`` before there is a checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_resume.rst

# %%
# It hardly learns: the training ends within its warm-up
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_warm_up3.rst

# %%
# Proof
# -----

# %%
# What is taken over
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_taken.rst
import collections

import torch

still = checkout.train(config, evaluate=False, optim_wrapper__optimizer__lr=0)
state = still.model.state_dict()
equal = [name for name in state if torch.equal(state[name].cpu(), source[name])]

# %%
parts, same = (
    collections.Counter(name.partition(".")[0] for name in of) for of in (state, equal)
)
rows = [(part, parts[part], same[part]) for part in parts]
Table(("Part", "Weights and statistics", "Equal to the checkpoint's"), rows)

# %%
checkout.check("Not equal", [name for name in state if name not in equal], four)
checkout.check("In the checkpoint alone", sorted(source.keys() - state.keys()), [])
checkout.check("Checkpoints asked for", asked, [cfg.load_from.rpartition("/")[2]])

# %%
# Which outputs are kept
# ~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_kept.rst
still = checkout.train(
    config, evaluate=False, optim_wrapper__optimizer__lr=0, load_from="kept.pth"
)
checkout.check("Warnings in its log", still.log.count(warning), 0)
state = still.model.state_dict()
scores = classes.origins(state, source, f"{head}fc_cls")
boxes = classes.origins(state, source, f"{head}fc_reg", each=4)
checkout.check("Outputs of the scores were", scores, [*labels, 80])
checkout.check("Outputs of the boxes were", boxes, labels)

# %%
# It trains, at a tenth of the rate
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_rates.rst
checkout.check("Learning rate, for 16 images", api().rate(cfg), 0.002)
checkout.check("Images a step on one GPU", run.images_per_step, 2)
checkout.check("Learning rates of the run", set(run.rates), {0.00025})
stages = ["layer2", "layer3", "layer4", "neck", "rpn_head", "roi_head"]
trained = [stage for stage in stages if run.trains(stage) == [True]]
checkout.check("Stages that train", trained, stages)

# %%
# It trains on your data, and is evaluated on it
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
data, evaluated = checkout.dataset(cfg), checkout.dataset(cfg, "val")
checkout.check("Classes", data.metainfo["classes"], ("kitten", "mug"))
checkout.check("Images trained on, of 10 in the file", len(data), 4)
checkout.check(
    "Classes in the evaluation", evaluated.metainfo["classes"], data.metainfo["classes"]
)
checkout.check("Evaluations of the run above", run.evaluations, 1)
checkout.check("Its box mAP is a share", 0 <= run.metrics["bbox_mAP"] <= 1, True)
differ = [cfg.test_dataloader != cfg.val_dataloader]
differ.append(cfg.test_evaluator != cfg.val_evaluator)
checkout.check("The test differs: in its data, its evaluator", differ, [False] * 2)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/custom_classes_gpus.rst
printed = checkout.launch(config)
checkout.check("Two processes trained", "Epoch(train) [1]" in printed, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/finetune_not_tried.rst
