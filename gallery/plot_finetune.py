"""
How do I start from a COCO checkpoint with other classes?
=========================================================

Set ``load_from`` to the checkpoint, and ``num_classes`` to your number. All weights are loaded except
those of the last two layers, whose shape depends on the classes.
"""

# %%
# .. index:: ! load_from
#
# .. snippet:: faster_rcnn_r50_fpn_finetune_my_dataset.py
#
# .. train:: faster_rcnn_r50_fpn_finetune_my_dataset.py
#
# ``load_from`` takes an address or a file. The address of every published checkpoint is in
# ``configs/*/metafile.yml``. Your own data is laid out as for :doc:`training on your own classes
# <plot_custom_classes>`.

# %%
# Adapt it
# --------

# %%
# Another detector
# ~~~~~~~~~~~~~~~~
# Take the ``load_from`` of your detector, and a tenth of its own learning rate: RetinaNet's is 0.01,
# Deformable DETR's 0.0002. Set ``num_classes`` wherever its config has one. The layers below are left out,
# and all others are loaded.
from howto import Workspace
from howto.checkout.family import api
from howto.checkout import weights
from howto.figures import classes
from howto.figures.show import Table, Unfolds

checkout = Workspace("finetune")
checkout.ask_python()
cfg = checkout.config()

# %%
package, _ = api().detectors()
published = {each["Config"]: each["Weights"] for each in weights.index(package)}
detectors = classes.standard()
lost = {name: classes.dependent(checkout, path) for name, path in detectors.items()}
rows = []
for name, path in detectors.items():
    address = Unfolds("load_from", published[f"configs/{path}"])
    rows.append((name, ", ".join(classes.layers(lost[name])), address))
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
# The usual advice is a tenth of the standard rate, so that a small dataset does not erase what COCO
# taught. MMDetection itself does not always: its config for Cityscapes loads the same
# checkpoint and keeps the standard rate, 0.01 for 8 GPUs with one image each. Try both.
cityscapes = checkout.config("cityscapes/faster_rcnn_r50_fpn_1x_cityscapes.py")
theirs, mine = (each.load_from.rpartition("/")[2] for each in (cityscapes, cfg))
checkout.check("Cityscapes loads the same checkpoint", theirs, mine)
of = [api().rate(cityscapes), api().images(cityscapes)]
checkout.check("Its learning rate, and images on each GPU", of, [0.01, 1])

# %%
# Keep the outputs of classes that COCO has too
# ---------------------------------------------
# COCO may know your classes, or some that look like them. This script keeps the outputs of the classes
# that you name, one for each of yours and in your order: a cat for a kitten, a cup for a mug. It works for
# every detector of the table above. First set ``load_from`` and ``num_classes`` in the detector's config.
#
# .. snippet:: keep_classes.py
#
# .. code-block:: console
#
# {% if mmdet2 %}
#    $ python configs/finetune/keep_classes.py configs/finetune/faster_rcnn_r50_fpn_finetune_my_dataset.py kept.pth cat cup
# {% else %}
#    $ python configs/finetune/keep_classes.py configs/finetune/faster-rcnn_r50_fpn_finetune_my_dataset.py kept.pth cat cup
# {% endif %}
script = f"python configs/finetune/keep_classes.py configs/finetune/{checkout.own}"
print(checkout.shell(f"{script} kept.pth cat cup"))
kept = weights.load(checkout.root / "kept.pth")
source = checkout.checkpoint("faster_rcnn")
now = classes.origins(kept, source, f"{head}fc_cls")

# %%
import matplotlib.pyplot as plt

stock = checkout.config(detectors["Faster R-CNN"])
coco = [*api().classes(checkout.dataset(stock)), "background"]
outputs = [*api().classes(checkout.dataset(cfg)), "background"]
figure, axes = plt.subplots(figsize=(5, 2))
classes.draw_origins(axes, outputs, now, coco)

# %%
# Then add ``--cfg-options load_from=kept.pth`` to the command for training. No weight is left out.

# %%
# Your log should say
# -------------------
# The warning is expected if it names only layers that depend on ``num_classes``. Any other name in
# it means that your model is not the one of the checkpoint.
# {% if mmdet3 %}
#
# Look for it on the terminal: MMEngine prints it, and its log file does not have it.
# {% endif %}
import re

run = checkout.train(warmed_up=True)
warning = "The model and loaded state dict do not match exactly"
said = run.log.partition(warning)[2].lstrip()
said = re.split(r"\n[\d/-]{5,10} ", said)[0]  # up to the next line's date
print(warning, "", said, *run.logged(api().TRAINED), sep="\n")
named = [line.partition("mismatch for ")[2].split(":")[0] for line in said.splitlines()]
checkout.check("The warning names", [name for name in named if name], four)
# {% if mmdet3 %}
(log,) = (checkout.root / "work_dirs").rglob("*.log")
checkout.check("The log file has it", warning in log.read_text("utf-8"), False)
# {% endif %}

# %%
# Pitfalls
# --------

# %%
# {% if mmdet2 %}
# Nothing is trained: ``resume_from`` instead of ``load_from``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use ``load_from``. With ``resume_from`` training goes on after the checkpoint's last epoch, which is 12 of
# 12. The log has no line of an epoch, and no error.
resumed = checkout.train(epochs=12, resume_from=cfg.load_from)
# {% else %}
# ``KeyError: 'message_hub'``: ``resume`` with a published checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave ``resume = True`` out: it is for a run of your own that was interrupted. A published checkpoint has
# no ``message_hub`` and no optimizer, as MMDetection's script for publishing keeps two keys. If it was trained
# on another number of GPUs and says so, the error is ``RuntimeError: Number of GPUs used for current
# experiment is not consistent``.
failure = checkout.fails(checkout.train, resume=True)
checkout.check("It says", failure.message, "KeyError: 'message_hub'")
script = checkout.root / "tools/model_converters/publish_model.py"
keeps = "default=['meta', 'state_dict']" in script.read_text("utf-8")
checkout.check("The script keeps meta and state_dict alone", keeps, True)

# %%
# Nothing is trained: ``resume`` after the last epoch
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use ``load_from`` alone, or raise ``train_cfg.max_epochs``. Training goes on after the checkpoint's last
# epoch, here 1 of 1. The log has no line of an epoch, and no error.
resumed = checkout.train(resume_from=run.checkpoint)
# {% endif %}
checkout.check("Epochs that ran", list(resumed.epochs), [])

# %%
# ``RuntimeError: The size of tensor a (3) must match the size of tensor b (2)``: it resumes
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use ``load_from`` to add or to drop a class. The checkpoint has another number of classes, and the state
# of its optimizer does not fit yours.
one = checkout.edit(checkout.own, {"('kitten', 'mug')": "('mug', )"})
failure = checkout.fails(checkout.train, one, epochs=2, resume_from=run.checkpoint)
reason = "RuntimeError: The size of tensor a (3) must match the size of tensor b (2)"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``unexpected key in source state_dict: conv1.weight``: it is a classifier's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Put a classifier's checkpoint in ``init_cfg`` of the backbone. ``load_from`` is for whole detectors,
# whose names begin with ``backbone.``, ``neck.`` and so on. From a classifier it loads nothing, and the
# detector trains from random weights.
asked = sorted(checkout.record.weights)
random = checkout.train(evaluate=False, load_from="torchvision://resnet50")
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
# Start the command in the folder from which the path counts, or write the whole path.
away = (checkout.root / "kept.pth").rename(checkout.root / "away.pth")
failure = checkout.fails(checkout.train, load_from="kept.pth")
away.rename(checkout.root / "kept.pth")
reason = "FileNotFoundError: kept.pth can not be found."
checkout.check("It says", failure.message, reason)

# %%
# Kittens begin as horses: the category's id instead of the output's number
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Look outputs up by name, as the script does. COCO's category ids have gaps, 17 is a cat's and 47 a
# cup's; a head's outputs have none. The outputs with these numbers are for other things:
checkout.check("Outputs 17 and 47", [coco[17], coco[47]], ["horse", "apple"])
labels = [coco.index("cat"), coco.index("cup")]
checkout.check("Those of a cat and a cup", labels, [15, 41])

# %%
# {% if mmdet3 %}
# Random weights, and no error: ``--resume`` before there is a checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Add ``--resume`` from the second start on. It goes on with your own run in ``work_dirs/``, and drops
# ``load_from``. If that run has no checkpoint yet, nothing is loaded, and the log says ``Auto resumed from
# the latest checkpoint None``.

# %%
# {% endif %}
# It hardly learns: the training ends within its warm-up
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Shorten the warm-up: ``lr_config = dict(warmup_iters=100)``.
# {% else %}
# Shorten the warm-up: ``param_scheduler = _base_.param_scheduler`` and ``param_scheduler[0].update(end=100)``,
# if that one is a ``LinearLR``.
# {% endif %}
# It takes 500 iterations, however small your data, and 600 images × 12 epochs at 16 images a step are 456.
# YOLOX's counts epochs, and DETR has none: change nothing for them.

# %%
# Evidence
# --------

# %%
# What is loaded
# ~~~~~~~~~~~~~~
# A run at a learning rate of 0 keeps what was loaded. These are its weights and statistics,
# compared with those of the checkpoint one by one:
import collections

import torch

still = checkout.train(evaluate=False, optimizer__lr=0)
state = still.model.state_dict()
equal = [name for name in state if torch.equal(state[name].cpu(), source[name])]

# %%
parts = collections.Counter(name.partition(".")[0] for name in state)
same = collections.Counter(name.partition(".")[0] for name in equal)
rows = [(part, parts[part], same[part]) for part in parts]
Table(("Part", "Weights and statistics", "Equal to the checkpoint's"), rows)

# %%
checkout.check("Not equal", [name for name in state if name not in equal], four)
checkout.check("In the checkpoint alone", sorted(source.keys() - state.keys()), [])
checkout.check("Checkpoints asked for", asked, [cfg.load_from.rpartition("/")[2]])

# %%
# Which outputs are kept
# ~~~~~~~~~~~~~~~~~~~~~~
# Trained from ``kept.pth`` at a rate of 0, the detector has these rows of COCO's last layers. Its log
# has no warning.
still = checkout.train(evaluate=False, optimizer__lr=0, load_from="kept.pth")
checkout.check("Warnings in its log", still.log.count(warning), 0)
state = still.model.state_dict()
scores = classes.origins(state, source, f"{head}fc_cls")
boxes = classes.origins(state, source, f"{head}fc_reg", each=4)
checkout.check("Outputs of the scores were", scores, [*labels, 80])
checkout.check("Outputs of the boxes were", boxes, labels)

# %%
# It trains, at a tenth of the rate
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Without the 500 iterations of warm-up, the run under *Your log should say* is at the rate to which
# the command above leads on one GPU.
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
checkout.check("Classes", api().classes(data), ("kitten", "mug"))
checkout.check("Images trained on, of 10 in the file", len(data), 4)
of = api().classes(evaluated)
checkout.check("Classes in the evaluation", of, api().classes(data))
same = api().split(cfg, "test") == api().split(cfg, "val")
same &= cfg.get("test_evaluator") == cfg.get("val_evaluator")
checkout.check("The test is as the evaluation", same, True)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes average their gradients, as this command has them do:
printed = checkout.launch()
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: if the checkpoint was out of reach, random weights were used in its place, with the
#   number of epochs that its metafile names. So it is not shown how much a checkpoint, kept outputs
#   or another learning rate gain.
# - Twelve epochs, and more than two GPUs.
