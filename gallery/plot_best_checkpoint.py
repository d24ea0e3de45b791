"""
How do I keep the best checkpoint, and stop early?
==================================================

``save_best`` keeps the checkpoint whose evaluation was the best. ``EarlyStoppingHook`` ends the
training when no evaluation has been better for a while.
"""

# %%
# .. index:: ! save_best, ! early stopping, EarlyStoppingHook, max_keep_ckpts
#
# .. snippet:: retinanet_r50_fpn_best_coco.py
#
# {% if mmdet2 %}
# .. snippet:: early_stopping.py
#
# {% endif %}
# .. train:: retinanet_r50_fpn_best_coco.py

# %%
# Adapt it
# --------

# %%
# Another metric
# ~~~~~~~~~~~~~~
# These are the metrics of an evaluation of boxes.
import json

from howto import Workspace
from howto.checkout import coco, fit

checkout = Workspace("best_checkpoint")
checkout.ask_python()
content = checkout.annotations("train")
first, *_, last = [each["image_id"] for each in content["annotations"]]
path = checkout.root / "data/two.json"
path.write_text(json.dumps(coco.subset(content, [first, last])), "utf-8")
two = dict(train__ann_file=str(path), val__ann_file=str(path))
small = dict(**two, **fit.RESNET18, checkpoint_interval=1)

# %%
# {% if mmdet2 %}
metric, small["val__img_prefix"] = "bbox_mAP", "data/coco/train2017/"
# {% else %}
metric, small["val__data_prefix__img"] = "coco/bbox_mAP", "train2017/"
small["val_evaluator__ann_file"] = str(path)
# {% endif %}
prefix = metric.removesuffix("bbox_mAP")
any_box = dict(model__test_cfg__score_thr=0.0)
real = checkout.train(**small, **any_box)
names = [prefix + name for name in real.metrics if not name.endswith("copypaste")]
print(*names, sep="\n")
checkout.check("The config's is one of them", metric in names, True)

# %%
# Another detector
# ~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Change ``_base_``, and copy the entries of its ``custom_hooks`` and ``custom_imports`` into yours: a list in
# a config replaces the one that it inherits. YOLOX has three hooks, and needs them. ``patience`` counts
# evaluations, and YOLOX has one every 10 epochs.
yolox, own_hooks = (
    "yolox/yolox_s_8x8_300e_coco.py",
    """dict(type='YOLOXModeSwitchHook', num_last_epochs=15, priority=48),
    dict(type='SyncNormHook', num_last_epochs=15, interval=10, priority=48),
    dict(
        type='ExpMomentumEMAHook',
        resume_from=None,
        momentum=0.0001,
        priority=49),""",
)
change = {"dict(type='NumClassCheckHook'),": own_hooks}
# {% else %}
# Change ``_base_``. The config repeats its hooks, which YOLOX needs. ``patience`` counts evaluations, and
# YOLOX has one every 10 epochs.
yolox, change = "yolox/yolox_s_8xb8-300e_coco.py", {}
# {% endif %}

# %%
change["retinanet/retinanet_r50_fpn_1x_coco.py"] = yolox
other = checkout.config(checkout.edit(checkout.own, change, adapts=True))
stock = checkout.config(yolox)
kept = other.custom_hooks[:-1] == stock.custom_hooks
checkout.check("The hooks of YOLOX stay", kept, True)
added = other.custom_hooks[-1].type
checkout.check("And after them comes", added, "EarlyStoppingHook")
hooks = checkout.config().custom_hooks
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
checkout.check("Those of RetinaNet stay", hooks[:-1], stock.get("custom_hooks", []))

# %%
# The best one alone, without an early end
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Leave out ``custom_imports`` and ``custom_hooks``, and the file with the hook.
# {% else %}
# Leave out ``custom_hooks``.
# {% endif %}

# %%
# Your log should say
# -------------------
# The log names the best checkpoint so far, and why training ends. The scores in this example are
# invented, because so few images would all score 0.
from unittest.mock import patch

from howto.figures.scores import checkpoints, draw

# {% if mmdet2 %}
from mmdet.datasets import CocoDataset

evaluates = CocoDataset, "evaluate"
# {% else %}
from mmdet.evaluation import CocoMetric

evaluates = CocoMetric, "compute_metrics"
# {% endif %}


def scores(told, name=None, **changes):
    """Train epochs whose evaluations give these scores, whatever was learnt."""
    if "resume_from" not in changes:
        checkpoints(checkout, name or checkout.own, remove=True)
    results = [{"bbox_mAP": score} for score in told]
    with patch.object(*evaluates, side_effect=results):
        return checkout.train(name, **{"epochs": len(told), **small, **changes})


# %%
told = [0.2, 0.1, 0.3, 0.3008, 0.3012, 0.25, 0.28, 0.3012, 0.5]
run = scores(told)
said = "Now best", "The best checkpoint", "not improve", "not rise"
lines = [line for line in run.logged("") if any(map(line.count, said))]
print(*lines, sep="\n")
# {% if mmdet2 %}
last = "bbox_mAP was 0.3012 and did not rise in 3 evaluations: training ends"
# {% else %}
last = "the monitored metric did not improve in the last 3 records"
# {% endif %}
checkout.check(f"It says: {last}", last in lines[-1], True)

# %%
checkout.check("Epochs that ran", len(run.epochs), 8)
left = checkpoints(checkout, checkout.own)
best = f"best_{metric.replace('/', '_')}_epoch_{{}}.pth"
checkout.check("Checkpoints at the end", left, [best.format(5), "epoch_8.pth"])

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 2.6))
draw(axes, told, ran=len(run.epochs), best=5)
axes.set_ylabel(metric)
axes.set_title("Which epoch is kept, and where training ends")

# %%
# Pitfalls
# --------

# %%
# {% if mmdet2 %}
# ``KeyError: 'mAP'`` after the first epoch: the metric is called otherwise
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Take a name from the list under *Another metric*, and set ``evaluation.start=0``, which evaluates
# before the training, too. Without it MMDetection looks the name up only after the first epoch, perhaps
# hours into the run.
short = checkout.edit(checkout.own, {"save_best='bbox_mAP'": "save_best='mAP'"})
for start, left in ({}, ["epoch_1.pth"]), ({"evaluation__start": 0}, []):
    failure = checkout.fails(scores, [0.1], short, **start)
    checkout.check("It says", failure.message, "KeyError: 'mAP'")
    checkout.check("Checkpoints by then", checkpoints(checkout, short), left)
# {% else %}
# ``KeyError: 'bbox_mAP'`` after the first epoch: the metric's name has a prefix
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Take a name from the list under *Another metric*. MMDetection looks it up only after the first
# evaluation, perhaps hours into the run. With a wrong ``monitor`` ``EarlyStoppingHook`` only warns, and
# training runs to its end. ``strict=True`` stops it, but also where an evaluation finds no box at all.
short = checkout.edit(checkout.own, {"best='coco/bbox_mAP'": "best='bbox_mAP'"})
failure = checkout.fails(scores, [0.1], short)
checkout.check("It says", failure.message, "KeyError: 'bbox_mAP'")
checkout.check("Checkpoints by then", checkpoints(checkout, short), ["epoch_1.pth"])
# {% endif %}

# %%
# {% if mmdet2 %}
# It trains to the last epoch: the hook has no ``priority``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``priority=80``. Without it the hook comes before the evaluation, and sees no metric.
right = "patience=3,  # evaluations without a new best\n        priority=80)"
wrong = checkout.edit(checkout.own, {right: "patience=3)"})
late = scores([0.5, 0.4, 0.3, 0.2], wrong)
checkout.check("Epochs that ran, without a better one for 3", len(late.epochs), 4)
# {% else %}
# It ends while the metric rises: ``min_delta`` is 0.1
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``min_delta=0.001``. The default is 0.1, which is ten points of mAP, and a smaller rise does not
# count.
line = "        min_delta=0.001,  # what counts as better; its default is 0.1\n"
standard = checkout.edit(checkout.own, {line: ""})
rises = scores([0.1, 0.13, 0.16, 0.19, 0.5], standard)
checkout.check("Epochs that ran, each better than the last", len(rises.epochs), 4)
# {% endif %}

# %%
# {% if mmdet2 %}
# ``TypeError: IterBasedRunner has no epochs to end``: the run counts iterations
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Train by epochs, or leave the hook out. It would never act there, so it stops the run before its first
# iteration. ``save_best`` keeps the best checkpoint there, too. Set ``evaluation.interval`` and
# ``checkpoint_config.interval``: they count iterations, and the standard 1 evaluates and saves after each.
by_iteration = dict(_delete_=True, type="IterBasedRunner", max_iters=3)
failure = checkout.fails(checkout.train, runner=dict(by_iteration), **small)
message = "TypeError: IterBasedRunner has no epochs to end"
checkout.check(f"It says: {message}", failure.message.startswith(message), True)
scores([0.1, 0.3, 0.2], runner=dict(by_iteration), custom_hooks=[])
kept = ["best_bbox_mAP_iter_2.pth", "iter_3.pth"]
# {% else %}
# The best checkpoint is called ``…_epoch_0.pth``: the run counts iterations
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``by_epoch=False`` in ``default_hooks.checkpoint``, and its ``interval`` in iterations: the standard 1
# saves after each. ``IterBasedTrainLoop`` stays in epoch 0, so that every best checkpoint would get this
# name. ``EarlyStoppingHook`` needs no change.
loop = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=9, val_interval=1)
by_iteration = dict(train_cfg=loop, default_hooks__checkpoint__by_epoch=False)
early = scores([0.1, 0.3, 0.2, 0.2, 0.2, 0.5], **by_iteration)
checkout.check("Iterations that ran", len(early.losses), 5)
kept = ["best_coco_bbox_mAP_iter_2.pth", "iter_5.pth"]
# {% endif %}
checkout.check("Checkpoints", checkpoints(checkout, checkout.own), kept)

# %%
# {% if mmdet2 %}
# There is no best checkpoint: its score is 0
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Train on until an epoch scores above 0. MMCV ignores a score of exactly 0, so until then only
# ``epoch_N.pth`` is saved.
scores([0.0])
checkout.check("Checkpoints", checkpoints(checkout, checkout.own), ["epoch_1.pth"])

# %%
# A worse one is kept after resuming: the last evaluation was forgotten
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Compare the scores in the log, and keep the better of the two files: both are left. MMCV saves an epoch
# before it evaluates it, so the checkpoint does not know its own score, and what comes after it is
# compared with the best one before. The hook counts anew, too, and a training that it has ended goes on.
keep = dict(checkpoint_config__max_keep_ckpts=-1)
two = scores([0.1, 0.3], **keep)
resumed = scores([0.2, 0.25], epochs=4, resume_from=two.checkpoint, **keep)
both = [name for name in checkpoints(checkout, checkout.own) if "best" in name]
said = "Best checkpoints after 0.1, 0.3, and resumed 0.2, 0.25"
checkout.check(said, both, [best.format(2), best.format(4)])
# {% else %}
# It runs on after resuming: the hook has forgotten what it saw
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Stop such a run yourself. ``EarlyStoppingHook`` saves its count in no checkpoint, so it counts anew. The
# best score is saved, and a worse checkpoint does not replace the best one.
keep = dict(default_hooks__checkpoint__max_keep_ckpts=-1)
two = scores([0.1, 0.5], **keep)
resumed = scores([0.4, 0.3, 0.2, 0.1], epochs=6, resume_from=two.checkpoint, **keep)
last = max(resumed.epochs) + 1
checkout.check("The last epoch, which had been 5 without resuming", last, 6)
both = [name for name in checkpoints(checkout, checkout.own) if "best" in name]
checkout.check("Best checkpoint", both, [best.format(2)])
# {% endif %}

# %%
best_one = two.checkpoint.with_name(both[0])
# {% if mmdet3 %}

# %%
# The learning rate starts over: it resumed from the best checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Resume from ``epoch_N.pth``, and keep the best one for ``load_from`` and for tests. It holds no state of
# the optimizer and of the schedules, and no error says so: epochs are counted on, and warm-up begins
# again.
over = scores([0.1], epochs=3, resume_from=best_one)
checkout.check("Its first epoch", min(over.epochs) + 1, 3)
checkout.check("Its first learning rate", over.rates[0], two.rates[0])
went_on = resumed.rates[0] > two.rates[-1] > two.rates[0]
checkout.check("From epoch_2.pth it went on rising", went_on, True)
# {% endif %}

# %%
# Evidence
# --------
# {% if mmdet2 %}

# %%
# It can be resumed
# ~~~~~~~~~~~~~~~~~
# MMCV saves the state of the optimizer in the best checkpoint, too. Resumed from it, the third epoch is
# the one that follows ``epoch_2.pth``.
again = scores([0.2], epochs=3, resume_from=best_one, **keep)
checkout.check("Epochs that ran", [epoch + 1 for epoch in again.epochs], [3])
same = again.losses == resumed.epochs[2].losses and again.rates[0] == resumed.rates[0]
checkout.check("Its losses and learning rate are the same", same, True)
# {% endif %}

# %%
# The best checkpoint has the weights of its epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
import torch
from howto.checkout import weights

names = best_one.name, "epoch_1.pth", "epoch_2.pth"
kept, *epochs = [weights.load(best_one.with_name(name)) for name in names]
equal = [all(torch.equal(kept[key], each[key]) for key in kept) for each in epochs]
checkout.check("Equal to those of epoch 1 and 2", equal, [False, True])

# %%
# Several GPUs end together
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes train, and evaluate together. At a rate of 0 no epoch is better than the first:
waits = dict(epochs=4, evaluate=True, optimizer__lr=0)
waits[f"custom_hooks__{len(hooks) - 1}__patience"] = 1
checkout.train_in_two_processes([checkout.own], **small, **any_box, **waits)
left = checkout.root.glob("work_dirs/*_two_processes*/epoch_*.pth")
checkout.check("The last epoch", [path.name for path in left], ["epoch_2.pth"])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Whether an early end costs accuracy: the scores are invented.
# - Long trainings. Detection often gains at the drops of the learning rate, after epoch 8 and 11 of the
#   standard schedule; a patience that ends before them gives that away.
