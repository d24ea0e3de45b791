"""
How do I keep the best checkpoint, and stop early?
==================================================

# {% if mmdet2 %}
``save_best`` keeps the checkpoint whose evaluation was the best. A hook of some lines ends the
# {% else %}
``save_best`` keeps the checkpoint whose evaluation was the best. ``EarlyStoppingHook`` ends the
# {% endif %}
training when no evaluation has been better for a while.
"""

# %%
# {% if mmdet2 %}
# .. index:: ! save_best, ! early stopping, max_keep_ckpts
# {% else %}
# .. index:: ! save_best, ! early stopping, EarlyStoppingHook, max_keep_ckpts
# {% endif %}
#
# .. snippet:: retinanet_r50_fpn_best_coco.py
#
# .. train:: retinanet_r50_fpn_best_coco.py
# {% if mmdet2 %}
#
# .. snippet:: early_stopping.py
# {% endif %}

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
config = "retinanet_r50_fpn_best_coco.py"
content = checkout.annotations("train")
first, *_, last = [each["image_id"] for each in content["annotations"]]
path = checkout.root / "data/two.json"
path.write_text(json.dumps(coco.subset(content, [first, last])))

# %%
# {% if mmdet2 %}
small = dict(
    **fit.RESNET18,
    data__train__ann_file="data/two.json",
    data__val__ann_file="data/two.json",
    data__val__img_prefix="data/coco/train2017/",
    checkpoint_config__interval=1,
)
# {% else %}
small = dict(
    **fit.RESNET18,
    train_dataloader__dataset__ann_file="../two.json",
    val_dataloader__dataset__ann_file="../two.json",
    val_dataloader__dataset__data_prefix__img="train2017/",
    val_evaluator__ann_file="data/two.json",
    default_hooks__checkpoint__interval=1,
)
# {% endif %}
real = checkout.train(config, **small, model__test_cfg__score_thr=0.0)
# {% if mmdet2 %}
names = [name for name in real.metrics if not name.endswith("copypaste")]
# {% else %}
names = [f"coco/{name}" for name in real.metrics]
# {% endif %}
print(*names, sep="\n")
# {% if mmdet2 %}
checkout.check("The config's is one of them", "bbox_mAP" in names, True)
# {% else %}
checkout.check("The config's is one of them", "coco/bbox_mAP" in names, True)
# {% endif %}

# %%
# The best one alone, without an early end
# {% if mmdet2 %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave out ``custom_imports`` and ``custom_hooks``, and the file with the hook.
# {% else %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave out ``custom_hooks``.
# {% endif %}

# %%
# Your log should say
# -------------------
# Which checkpoint is the best so far, and why training ends. So that a few images have a score that
# rises and falls, the scores of this run are made up; all else is as always.
from unittest.mock import patch

from howto.figures.scores import checkpoints, draw

# {% if mmdet2 %}
from mmdet.datasets import CocoDataset

# {% else %}
from mmdet.evaluation import CocoMetric
# {% endif %}


# {% if mmdet2 %}
def scores(told, name=config, **changes):
    """Train epochs whose evaluations give these scores, whatever was learnt."""
    results = [{"bbox_mAP": score} for score in told]
    with patch.object(CocoDataset, "evaluate", side_effect=results):
        return checkout.train(name, **{"epochs": len(told), **small, **changes})


# {% else %}
def scores(told, name=config, **changes):
    """Train epochs whose evaluations give these scores, whatever was learnt."""
    results = [{"bbox_mAP": score} for score in told]
    with patch.object(CocoMetric, "compute_metrics", side_effect=results):
        return checkout.train(name, **{"epochs": len(told), **small, **changes})


# {% endif %}


# %%
checkpoints(checkout, config, remove=True)
# {% if mmdet2 %}
told = [0.2, 0.1, 0.3, 0.3, 0.25, 0.28, 0.5]
# {% else %}
told = [0.2, 0.1, 0.3, 0.3008, 0.3012, 0.25, 0.28, 0.3, 0.5]
# {% endif %}
run = scores(told)
# {% if mmdet2 %}
lines = [
    line for line in run.logged("") if "Now best" in line or "training ends" in line
]
# {% else %}
said = ("The best checkpoint", "did not improve")
lines = [line for line in run.logged("") if any(map(line.count, said))]
# {% endif %}
print(*lines, sep="\n")
# {% if mmdet2 %}
last = "bbox_mAP was 0.3000 and did not rise in 3 evaluations: training ends"
checkout.check("It says", lines[-1], last)
checkout.check("Epochs that ran", len(run.epochs), 6)
checkout.check(
    "Checkpoints at the end",
    checkpoints(checkout, config),
    ["best_bbox_mAP_epoch_3.pth", "epoch_6.pth"],
)
# {% else %}
last = "the monitored metric did not improve in the last 3 records"
checkout.check(f"It says: {last}", last in lines[-1], True)
checkout.check("Epochs that ran", len(run.epochs), 8)
checkout.check(
    "Checkpoints at the end",
    checkpoints(checkout, config),
    ["best_coco_bbox_mAP_epoch_5.pth", "epoch_8.pth"],
)
# {% endif %}

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 2.6))
# {% if mmdet2 %}
draw(axes, told, ran=len(run.epochs), best=3)
axes.set_ylabel("bbox_mAP")
# {% else %}
draw(axes, told, ran=len(run.epochs), best=5)
axes.set_ylabel("coco/bbox_mAP")
# {% endif %}
axes.set_title("Which epoch is kept, and where training ends")

# %%
# Pitfalls
# --------

# %%
# {% if mmdet2 %}
# ``KeyError: 'mAP'`` after the first epoch: the metric is called otherwise
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The name is looked up when the first evaluation is through, after an epoch that may have taken
# hours. ``evaluation.start=0`` evaluates before the training, too:
short = checkout.edit(config, {"save_best='bbox_mAP'": "save_best='mAP'"})
for start, left in ({}, ["epoch_1.pth"]), ({"evaluation__start": 0}, []):
    checkpoints(checkout, short, remove=True)
    failure = checkout.fails(scores, [0.1], short, **start)
    checkout.check("It says", failure.message, "KeyError: 'mAP'")
    checkout.check("Checkpoints by then", checkpoints(checkout, short), left)
# {% else %}
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
# {% endif %}

# %%
# {% if mmdet2 %}
# It trains to the last epoch: the hook has no ``priority``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Without one it comes before the evaluation, and sees no metric.
right = "patience=3,  # evaluations without a new best\n        priority=80)"
wrong = checkout.edit(config, {right: "patience=3)"})
late = scores([0.5, 0.4, 0.3, 0.2], wrong)
checkout.check("Epochs that ran, without a better one for 3", len(late.epochs), 4)
# {% else %}
# It ends while the metric rises: ``min_delta`` is 0.1
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# mAP is a share of 1, so 0.1 is ten points of it. A smaller rise counts as none.
line = "        min_delta=0.001,  # what counts as better; its default is 0.1\n"
standard = checkout.edit(config, {line: ""})
rises = scores([0.1, 0.13, 0.16, 0.19, 0.5], standard)
checkout.check("Epochs that ran, each better than the last", len(rises.epochs), 4)
# {% endif %}

# %%
# {% if mmdet2 %}
# There is no best checkpoint: its score is 0
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# MMCV takes a score of 0 for none. The first epoch with a box that fits is kept.
# {% else %}
# It runs on after resuming: the hook has forgotten what it saw
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``EarlyStoppingHook`` keeps its count in no checkpoint. The best score is kept, and a worse checkpoint
# is not taken for the best one.
# {% endif %}
checkpoints(checkout, config, remove=True)
# {% if mmdet2 %}
nothing = scores([0.0])
checkout.check("Checkpoints", checkpoints(checkout, config), ["epoch_1.pth"])
# {% else %}
keep = dict(default_hooks__checkpoint__max_keep_ckpts=-1)
two = scores([0.1, 0.5], **keep)
again = scores([0.4, 0.3, 0.2, 0.1], epochs=6, resume_from=two.checkpoint, **keep)
checkout.check(
    "The last epoch, which had been 5 without resuming", max(again.epochs) + 1, 6
)
best = [name for name in checkpoints(checkout, config) if name.startswith("best")]
checkout.check("Best checkpoint", best, ["best_coco_bbox_mAP_epoch_2.pth"])
# {% endif %}

# %%
# {% if mmdet2 %}
# A worse one is kept after resuming: the last evaluation was forgotten
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# MMCV saves an epoch before it evaluates it. So the checkpoint does not know its own score, and what
# comes after it is compared with the best one before. The better file is left where it is: look up the
# scores in the log. The hook counts anew, too, and a training that it has ended goes on.
keep = dict(checkpoint_config__max_keep_ckpts=-1)
two = scores([0.1, 0.3], **keep)
resumed = scores([0.2, 0.25], epochs=4, resume_from=two.checkpoint, **keep)
best = [name for name in checkpoints(checkout, config) if name.startswith("best")]
both = ["best_bbox_mAP_epoch_2.pth", "best_bbox_mAP_epoch_4.pth"]
checkout.check("Best checkpoints after 0.1, 0.3, and resumed 0.2, 0.25", best, both)
# {% else %}
# The learning rate starts over: it resumed from the best checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The best checkpoint holds no state of the optimizer and of the schedules, and no error says so: epochs
# are counted on, and warm-up begins again. Resume from ``epoch_N.pth``, and keep the best one for
# ``load_from`` and for tests.
over = scores([0.1], epochs=3, resume_from=two.checkpoint.with_name(best[0]))
checkout.check("Its first epoch", min(over.epochs) + 1, 3)
checkout.check("Its first learning rate", over.rates[0], two.rates[0])
went_on = again.rates[0] > two.rates[-1] > two.rates[0]
checkout.check("From epoch_2.pth it went on rising", went_on, True)
# {% endif %}

# %%
# Proof
# -----

# %%
# The best checkpoint has the weights of its epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
import torch
from howto.checkout import weights

folder = two.checkpoint.parent
# {% if mmdet2 %}
kept = weights.load(folder / both[0])
# {% else %}
kept = weights.load(folder / best[0])
# {% endif %}
epochs = [weights.load(folder / f"epoch_{number}.pth") for number in (1, 2)]
equal = [all(torch.equal(kept[key], each[key]) for key in kept) for each in epochs]
checkout.check("Equal to those of epoch 1 and 2", equal, [False, True])

# %%
# {% if mmdet2 %}
# It can be resumed
# ~~~~~~~~~~~~~~~~~
saved = torch.load(folder / both[0], map_location="cpu")
checkout.check("Its epoch", saved["meta"]["epoch"], 2)
checkout.check("It has the state of the optimizer", "optimizer" in saved, True)

# %%
# Several GPUs end together
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes train, and evaluate together. The first alone has the metric, and tells the other when to
# end. At a rate of 0 no epoch is better than the first:
evaluates = dict(evaluate=True, model__test_cfg__score_thr=0.0)
waits = dict(custom_hooks__1__patience=1, optimizer__lr=0)
checkout.train_in_two_processes([config], epochs=4, **small, **evaluates, **waits)
left = checkout.root.glob("work_dirs/*_two_processes*/epoch_*.pth")
checkout.check("The last epoch", [path.name for path in left], ["epoch_2.pth"])
# {% else %}
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes train, and evaluate together:
any_box = dict(model__test_cfg__score_thr=0.0)
checkout.train_in_two_processes([config], evaluate=True, **small, **any_box)
left = checkout.root.glob("work_dirs/*_two_processes*/best*.pth")
names = [path.name for path in left]
checkout.check("Best checkpoints", names, ["best_coco_bbox_mAP_epoch_1.pth"])
# {% endif %}

# %%
# It is evaluated after each epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
cfg = checkout.config(config)
# {% if mmdet2 %}
checkout.check("Epochs between evaluations", cfg.evaluation.interval, 1)
checkout.check("Metric", cfg.evaluation.metric, "bbox")
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py").custom_hooks
checkout.check("Hooks of the standard config stay", cfg.custom_hooks[:1], stock)
# {% else %}
checkout.check("Epochs between evaluations", cfg.train_cfg.val_interval, 1)
checkout.check("Metric", cfg.val_evaluator.metric, "bbox")
# {% endif %}

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Whether an early end costs accuracy: the scores are made up.
# - Long trainings. Detection often gains at the drops of the learning rate, after epoch 8 and 11 of the
#   standard schedule; a patience that ends before them gives that away.
# - Runners that count iterations.
