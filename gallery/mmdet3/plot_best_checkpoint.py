"""
How do I keep the best checkpoint, and stop early?
==================================================

``save_best`` keeps the checkpoint whose evaluation was the best. ``EarlyStoppingHook`` ends the
training when no evaluation has been better for a while.
"""

# %%
# .. index:: ! save_best, ! early stopping, EarlyStoppingHook, max_keep_ckpts
#
# .. snippet:: best_checkpoint/retinanet_r50_fpn_best_coco.py
#
# .. train:: best_checkpoint/retinanet_r50_fpn_best_coco.py

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
    train_dataloader__dataset__ann_file="../two.json",
    val_dataloader__dataset__ann_file="../two.json",
    val_dataloader__dataset__data_prefix__img="train2017/",
    val_evaluator__ann_file="data/two.json",
    default_hooks__checkpoint__interval=1,
)
real = checkout.train(config, **small, model__test_cfg__score_thr=0.0)
names = [f"coco/{name}" for name in real.metrics]
print(*names, sep="\n")
checkout.check("The config's is one of them", "coco/bbox_mAP" in names, True)

# %%
# The best one alone, without an early end
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave out ``custom_hooks``.

# %%
# Your log should say
# -------------------
# .. include:: ../../gallery/words/best_checkpoint_log.rst
from unittest.mock import patch

from howto.figures.scores import checkpoints, draw
from mmdet.evaluation import CocoMetric


def scores(told, name=config, **changes):
    """Train epochs whose evaluations give these scores, whatever was learnt."""
    results = [{"bbox_mAP": score} for score in told]
    with patch.object(CocoMetric, "compute_metrics", side_effect=results):
        return checkout.train(name, **{"epochs": len(told), **small, **changes})


# %%
checkpoints(checkout, config, remove=True)
told = [0.2, 0.1, 0.3, 0.3008, 0.3012, 0.25, 0.28, 0.3, 0.5]
run = scores(told)
said = ("The best checkpoint", "did not improve")
lines = [line for line in run.logged("") if any(map(line.count, said))]
print(*lines, sep="\n")
last = "the monitored metric did not improve in the last 3 records"
checkout.check(f"It says: {last}", last in lines[-1], True)
checkout.check("Epochs that ran", len(run.epochs), 8)
checkout.check(
    "Checkpoints at the end",
    checkpoints(checkout, config),
    ["best_coco_bbox_mAP_epoch_5.pth", "epoch_8.pth"],
)

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 2.6))
draw(axes, told, ran=len(run.epochs), best=5)
axes.set_ylabel("coco/bbox_mAP")
axes.set_title("Which epoch is kept, and where training ends")

# %%
# Pitfalls
# --------

# %%
# ``KeyError: 'bbox_mAP'`` after the first epoch: the metric's name has a prefix
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The name is looked up when the first evaluation is through, after an epoch that may have taken
# hours. A wrong ``monitor`` is only warned of, and the training runs to its end; with ``strict=True``
# it stops there, too.
short = checkout.edit(config, {"save_best='coco/bbox_mAP'": "save_best='bbox_mAP'"})
checkpoints(checkout, short, remove=True)
failure = checkout.fails(scores, [0.1], short)
checkout.check("It says", failure.message, "KeyError: 'bbox_mAP'")
checkout.check("Checkpoints by then", checkpoints(checkout, short), ["epoch_1.pth"])

# %%
# It ends while the metric rises: ``min_delta`` is 0.1
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/best_checkpoint_delta.rst
line = "        min_delta=0.001,  # what counts as better; its default is 0.1\n"
standard = checkout.edit(config, {line: ""})
rises = scores([0.1, 0.13, 0.16, 0.19, 0.5], standard)
checkout.check("Epochs that ran, each better than the last", len(rises.epochs), 4)

# %%
# It runs on after resuming: the hook has forgotten what it saw
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/best_checkpoint_resume3.rst
checkpoints(checkout, config, remove=True)
keep = dict(default_hooks__checkpoint__max_keep_ckpts=-1)
two = scores([0.1, 0.5], **keep)
again = scores([0.4, 0.3, 0.2, 0.1], epochs=6, resume_from=two.checkpoint, **keep)
checkout.check(
    "The last epoch, which had been 5 without resuming", max(again.epochs) + 1, 6
)
best = [name for name in checkpoints(checkout, config) if name.startswith("best")]
checkout.check("Best checkpoint", best, ["best_coco_bbox_mAP_epoch_2.pth"])

# %%
# The learning rate starts over: it resumed from the best checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/best_checkpoint_over.rst
over = scores([0.1], epochs=3, resume_from=two.checkpoint.with_name(best[0]))
checkout.check("Its first epoch", min(over.epochs) + 1, 3)
checkout.check("Its first learning rate", over.rates[0], two.rates[0])
went_on = again.rates[0] > two.rates[-1] > two.rates[0]
checkout.check("From epoch_2.pth it went on rising", went_on, True)

# %%
# Proof
# -----

# %%
# The best checkpoint has the weights of its epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
import torch
from howto.checkout import weights

folder = two.checkpoint.parent
kept = weights.load(folder / best[0])
epochs = [weights.load(folder / f"epoch_{number}.pth") for number in (1, 2)]
equal = [all(torch.equal(kept[key], each[key]) for key in kept) for each in epochs]
checkout.check("Equal to those of epoch 1 and 2", equal, [False, True])

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes train, and evaluate together:
any_box = dict(model__test_cfg__score_thr=0.0)
checkout.train_in_two_processes([config], evaluate=True, **small, **any_box)
left = checkout.root.glob("work_dirs/*_two_processes*/best*.pth")
names = [path.name for path in left]
checkout.check("Best checkpoints", names, ["best_coco_bbox_mAP_epoch_1.pth"])

# %%
# It is evaluated after each epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
cfg = checkout.config(config)
checkout.check("Epochs between evaluations", cfg.train_cfg.val_interval, 1)
checkout.check("Metric", cfg.val_evaluator.metric, "bbox")

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/best_checkpoint_not_tried.rst
