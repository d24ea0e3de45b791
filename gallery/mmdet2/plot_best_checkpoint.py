"""
How do I keep the best checkpoint, and stop early?
==================================================

``save_best`` keeps the checkpoint whose evaluation was the best. A hook of some lines ends the
training when no evaluation has been better for a while.
"""

# %%
# .. index:: ! save_best, ! early stopping, max_keep_ckpts
#
# .. snippet:: best_checkpoint/retinanet_r50_fpn_best_coco.py
#
# .. train:: best_checkpoint/retinanet_r50_fpn_best_coco.py
#    :evaluates:
#
# .. snippet:: best_checkpoint/early_stopping.py

# %%
# Adapt it
# --------

# %%
# Another metric
# ~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/best_checkpoint_metrics.rst
import json

from howto import Workspace
from howto.checkout import coco, fit

checkout = Workspace("best_checkpoint")
config = "retinanet_r50_fpn_best_coco.py"
content = checkout.annotations("train")
first, *_, last = [each["image_id"] for each in content["annotations"]]
path = checkout.root / "data/two.json"
path.write_text(json.dumps(coco.subset(content, [first, last])))

# %%
small = dict(
    **fit.RESNET18,
    data__train__ann_file="data/two.json",
    data__val__ann_file="data/two.json",
    data__val__img_prefix="data/coco/train2017/",
    checkpoint_config__interval=1,
)
real = checkout.train(config, **small, model__test_cfg__score_thr=0.0)
names = [name for name in real.metrics if not name.endswith("copypaste")]
print(*names, sep="\n")
checkout.check("The config's is one of them", "bbox_mAP" in names, True)

# %%
# The best one alone, without an early end
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave out ``custom_imports`` and ``custom_hooks``, and the file with the hook.

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/best_checkpoint_log.rst
from unittest.mock import patch

from howto.figures.scores import checkpoints, draw
from mmdet.datasets import CocoDataset


def scores(told, name=config, **changes):
    """Train epochs whose evaluations give these scores, whatever was learnt."""
    results = [{"bbox_mAP": score} for score in told]
    with patch.object(CocoDataset, "evaluate", side_effect=results):
        return checkout.train(name, **{"epochs": len(told), **small, **changes})


# %%
checkpoints(checkout, config, remove=True)
told = [0.2, 0.1, 0.3, 0.3, 0.25, 0.28, 0.5]
run = scores(told)
lines = [
    line for line in run.logged("") if "Now best" in line or "training ends" in line
]
print(*lines, sep="\n")
last = "bbox_mAP was 0.3000 and did not rise in 3 evaluations: training ends"
checkout.check("It says", lines[-1], last)
checkout.check("Epochs that ran", len(run.epochs), 6)
checkout.check(
    "Checkpoints at the end",
    checkpoints(checkout, config),
    ["best_bbox_mAP_epoch_3.pth", "epoch_6.pth"],
)

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 2.6))
draw(axes, told, ran=len(run.epochs), best=3)
axes.set_ylabel("bbox_mAP")
axes.set_title("Which epoch is kept, and where training ends")

# %%
# Pitfalls
# --------

# %%
# ``KeyError: 'mAP'`` after the first epoch: the metric is called otherwise
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/best_checkpoint_key.rst
short = checkout.edit(config, {"save_best='bbox_mAP'": "save_best='mAP'"})
for start, left in ({}, ["epoch_1.pth"]), ({"evaluation__start": 0}, []):
    checkpoints(checkout, short, remove=True)
    failure = checkout.fails(scores, [0.1], short, **start)
    checkout.check("It says", failure.message, "KeyError: 'mAP'")
    checkout.check("Checkpoints by then", checkpoints(checkout, short), left)

# %%
# It trains to the last epoch: the hook has no ``priority``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Without one it comes before the evaluation, and sees no metric.
right = "patience=3,  # evaluations without a new best\n        priority=80)"
wrong = checkout.edit(config, {right: "patience=3)"})
late = scores([0.5, 0.4, 0.3, 0.2], wrong)
checkout.check("Epochs that ran, without a better one for 3", len(late.epochs), 4)

# %%
# There is no best checkpoint: its score is 0
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# MMCV takes a score of 0 for none. The first epoch with a box that fits is kept.
checkpoints(checkout, config, remove=True)
nothing = scores([0.0])
checkout.check("Checkpoints", checkpoints(checkout, config), ["epoch_1.pth"])

# %%
# A worse one is kept after resuming: the last evaluation was forgotten
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/best_checkpoint_resume2.rst
keep = dict(checkpoint_config__max_keep_ckpts=-1)
two = scores([0.1, 0.3], **keep)
resumed = scores([0.2, 0.25], epochs=4, resume_from=two.checkpoint, **keep)
best = [name for name in checkpoints(checkout, config) if name.startswith("best")]
both = ["best_bbox_mAP_epoch_2.pth", "best_bbox_mAP_epoch_4.pth"]
checkout.check("Best checkpoints after 0.1, 0.3, and resumed 0.2, 0.25", best, both)

# %%
# Proof
# -----

# %%
# The best checkpoint has the weights of its epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
import torch
from howto.checkout import weights

folder = two.checkpoint.parent
kept = weights.load(folder / both[0])
epochs = [weights.load(folder / f"epoch_{number}.pth") for number in (1, 2)]
equal = [all(torch.equal(kept[key], each[key]) for key in kept) for each in epochs]
checkout.check("Equal to those of epoch 1 and 2", equal, [False, True])

# %%
# It can be resumed
# ~~~~~~~~~~~~~~~~~
saved = torch.load(folder / both[0], map_location="cpu")
checkout.check("Its epoch", saved["meta"]["epoch"], 2)
checkout.check("It has the state of the optimizer", "optimizer" in saved, True)

# %%
# Several GPUs end together
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/best_checkpoint_gpus2.rst
evaluates = dict(evaluate=True, model__test_cfg__score_thr=0.0)
waits = dict(custom_hooks__1__patience=1, optimizer__lr=0)
checkout.train_in_two_processes([config], epochs=4, **small, **evaluates, **waits)
left = checkout.root.glob("work_dirs/*_two_processes*/epoch_*.pth")
checkout.check("The last epoch", [path.name for path in left], ["epoch_2.pth"])

# %%
# It is evaluated after each epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
cfg = checkout.config(config)
checkout.check("Epochs between evaluations", cfg.evaluation.interval, 1)
checkout.check("Metric", cfg.evaluation.metric, "bbox")
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py").custom_hooks
checkout.check("Hooks of the standard config stay", cfg.custom_hooks[:1], stock)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/best_checkpoint_not_tried.rst
