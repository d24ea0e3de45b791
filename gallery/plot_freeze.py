"""
How do I freeze the backbone, or any part?
==========================================

``frozen_stages=4`` freezes a whole ResNet, and a learning rate of 0 freezes any part that you name. Here
the neck and the RPN are frozen, too, and only the box head trains.
"""

# %%
# .. index:: ! freeze, frozen_stages, ! lr_mult, paramwise_cfg, custom_keys
#
# .. snippet:: faster_rcnn_r50_fpn_box_head_only_coco.py
#
# .. train:: faster_rcnn_r50_fpn_box_head_only_coco.py

# %%
# Adapt it
# --------

# %%
# Other parts
# ~~~~~~~~~~~
# These are the detector's parts. Add a line with ``lr_mult=0`` for each one to freeze. Name a part of a
# part with a dot, as ``bbox_head.fc_reg``.
from howto import Workspace
from howto.checkout.family import api, stock
from howto.checkout import fit, weights
from howto.figures import classes, frozen
from howto.figures.show import Table

checkout = Workspace("freeze")
checkout.ask_python()
cfg = checkout.config()
detector = checkout.build(cfg)

# %%
rows = []
for name, part in detector.named_children():
    trains = [value.requires_grad for value in part.parameters()]
    names = ", ".join(child for child, _ in part.named_children())
    rows.append((name, names, f"{sum(trains)} of {len(trains)}"))
Table(("Part", "Parts of it", "Parameters with a gradient"), rows)

# %%
# Another backbone
# ~~~~~~~~~~~~~~~~
# ``frozen_stages`` also keeps the mean and variance of batch norms, which a rate of 0 does not. The number
# that freezes the whole backbone was found by trying, and some have none:
paths = stock(frozen.BACKBONES)
whole = {name: frozen.whole(checkout, path) for name, path in paths.items()}
told = {None: "a learning rate of 0"}
rows = [(name, told.get(it, f"frozen_stages={it}")) for name, it in whole.items()]
Table(("Backbone", "All of it"), rows)

# %%
checkout.check("ResNet and Swin", [whole["ResNet"], whole["Swin"]], [4, 4])
others = [whole["CSPDarknet"], whole["EfficientNet"]]
checkout.check("CSPDarknet, EfficientNet", others, [4, 6])

# %%
# Your log should say
# -------------------
# {% if mmdet2 %}
# The log does not show which parts are frozen.
# {% else %}
# The log shows which parameters have a rate of their own. ``lr`` is the rate of the first one that has a
# gradient, here 0. ``base_lr`` is the config's, without what ``--auto-scale-lr`` makes of it.
# {% endif %}
# This script shows what training changed: it compares a checkpoint with the ``load_from`` of its config.
#
# .. snippet:: what_moved.py
#
# .. code-block:: console
#
# {% if mmdet2 %}
#    $ python configs/freeze/what_moved.py configs/freeze/faster_rcnn_r50_fpn_box_head_only_coco.py work_dirs/faster_rcnn_r50_fpn_box_head_only_coco/epoch_12.pth
# {% else %}
#    $ python configs/freeze/what_moved.py configs/freeze/faster-rcnn_r50_fpn_box-head-only_coco.py work_dirs/faster-rcnn_r50_fpn_box-head-only_coco/epoch_12.pth
# {% endif %}
run = checkout.train(evaluate=False, warmed_up=True)
saved = run.checkpoint.relative_to(checkout.root)
script = "python configs/freeze/what_moved.py"
parts_moved = checkout.shell(f"{script} configs/freeze/{checkout.own} {saved}")
# {% if mmdet3 %}
told = run.logged("paramwise_options")
print(*told[:2], f"… {len(told)} such lines", *run.logged(api().TRAINED)[:1], sep="\n")
rates = "base_lr: 2.0000e-03 lr: 0.0000e+00"
checkout.check(f"Lines with {rates}", run.log.count(rates), len(run.losses))
# {% endif %}
print(parts_moved)

# %%
# How far each part moved in one epoch of a few images, beside the standard config from the same
# checkpoint at the same rate:
import matplotlib.pyplot as plt

standard = classes.standard()["Faster R-CNN"]
same = dict(load_from=cfg.load_from, optimizer__lr=0.002)
usual = checkout.train(standard, evaluate=False, warmed_up=True, **same)
figure, axes = plt.subplots(figsize=(6, 3.4))
axes.set_title("How far each part moves in an epoch")
frozen.draw(axes, {"standard config": usual, "this config": run})

# %%
# Pitfalls
# --------

# %%
# The neck trains all the same: a key that matches nothing is no error
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Run ``what_moved.py`` after the first epoch. A key is looked for in the names of the detector's
# parameters, and one that is in none changes nothing.
small = dict(load_from=None, **fit.RESNET18)
typo = checkout.edit(checkout.own, {"'neck'": "'fpn'"})
thawed = checkout.train(typo, evaluate=False, warmed_up=True, **small)
checkout.check("The neck moves", thawed.moved("neck")[0] > 0, True)

# %%
# The box head does not train either: a key matches anywhere in a name
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Name as much of a part as tells it from others: ``head`` is in ``rpn_head`` and in ``roi_head.bbox_head``.
wide = checkout.edit(checkout.own, {"'rpn_head'": "'head'"})
still = checkout.train(wide, evaluate=False, warmed_up=True, **small)
moves = [part for part in frozen.STAGES if still.moved(part)[0]]
checkout.check("All that moves", moves, [])

# %%
# The neck trains after all: the schedule has a least rate
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# For cosine annealing, use ``min_lr_ratio`` instead of ``min_lr``.
# {% else %}
# For cosine annealing, use ``eta_min_ratio`` instead of ``eta_min``.
# {% endif %}
# The ratio is a fraction of each part's own rate, so 0 stays 0. The other key is one lowest rate for every
# part, whatever its ``lr_mult``.

# %%
# The backbone's batch norms still change: a rate of 0 is for weights
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use ``frozen_stages``, or ``norm_eval=True``, which is standard for ResNet. Other batch norms take their
# mean and variance from each batch as long as they train, whatever the rate.
rate = {
    "frozen_stages=4": "frozen_stages=-1, norm_eval=False",
    "'neck'": "'backbone': dict(lr_mult=0), 'neck'",
}
counting = checkout.edit(checkout.own, rate)
counting = checkout.train(counting, evaluate=False, **small)
checkout.check("The backbone's weights moved by", counting.moved("backbone"), [0])
buffers = counting.model.backbone.named_buffers()
tracked = [int(value) for name, value in buffers if name.endswith("batches_tracked")]
steps = len(counting.losses)
checkout.check("Updates of its batch norms, at least", min(tracked), steps)

# %%
# ``RuntimeError: Expected to have finished reduction``: a hook freezes it
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use a learning rate of 0, not a hook that sets ``requires_grad``. When the hook runs on several GPUs, DDP
# has already wrapped the model, and waits for gradients that never come.
# {% if mmdet2 %}
imports = "from mmcv.runner import HOOKS, Hook"
# {% else %}
imports = "from mmdet.registry import HOOKS\nfrom mmengine.hooks import Hook"
# {% endif %}
hook = f"""{imports}


@HOOKS.register_module()
class FreezeNeckHook(Hook):

    def before_run(self, runner):
        runner.model.module.neck.requires_grad_(False)
"""
(checkout.root / "configs/freeze/late.py").write_text(hook, "utf-8")

# %%
late = dict(custom_imports=dict(imports=["configs.freeze.late"]))
late["custom_hooks"] = [dict(type="FreezeNeckHook")]
printed = checkout.launch(standard, succeeds=False, **late, **small)
reason = "RuntimeError: Expected to have finished reduction in the prior iteration"
print(reason)
checkout.check(f"It says: {reason}", reason in printed, True)

# %%
# ``AttributeError: 'ResNet' object has no attribute 'layer5'``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use 4 at most: a ResNet has four stages. Other backbones count otherwise, see *Another backbone* above.
five = checkout.config(model__backbone__frozen_stages=5)
failure = checkout.fails(checkout.build, five)
reason = "'ResNet' object has no attribute 'layer5'"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% if mmdet3 %}

# %%
# Random weights, and no error: ``--resume`` before there is a checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Add ``--resume`` from the second start on. It goes on with your own run in ``work_dirs/``, and drops
# ``load_from``. If that run has no checkpoint yet, nothing is loaded, and the log says ``Auto resumed from
# the latest checkpoint None``.
# {% endif %}

# %%
# Evidence
# --------

# %%
# Only the box head moves
# ~~~~~~~~~~~~~~~~~~~~~~~
# Of the config's own run, tensor by tensor, weights and statistics:
import torch

before, after = checkout.checkpoint("faster_rcnn"), run.model.state_dict()
moved = {name for name in after if not torch.equal(after[name].cpu(), before[name])}
head = {name for name in after if name.startswith("roi_head.")}
checkout.check("Other weights and statistics that moved", sorted(moved - head), [])
checkout.check("Weights of the box head that did not", sorted(head - moved), [])

# %%
said = [line for line in parts_moved.splitlines() if " moved" in line]
all_of_it = "roi_head: 8 of 8 weights moved"
checkout.check("The script says of the box head", said[-1], all_of_it)
rest = [line for line in said[:-1] if ": 0 of " not in line]
checkout.check("Its lines on other parts that moved", rest, [])

# %%
# Frozen stages need no gradient, a rate of 0 does
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Nothing is computed backwards through a frozen backbone, which saves memory and time. A part with a
# rate of 0 has gradients and momentum as if it trained. If a schedule raises its rate from 0, it starts
# with that momentum. If gradients are clipped, the norm counts those of that part, too.
trained = {name for name, value in run.model.named_parameters() if value.requires_grad}
parts = sorted({name.partition(".")[0] for name in trained})
checkout.check("Parts with gradients", parts, ["neck", "roi_head", "rpn_head"])
checkout.check("Parameters of theirs without one", checkout.unused_parameters(cfg), [])
buffers = run.optimizer.state
neck = [buffers[value]["momentum_buffer"] for value in run.model.neck.parameters()]
checkout.check("All of the neck has momentum", all(map(torch.any, neck)), True)

# %%
# Weight decay does not move it either
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# People add ``decay_mult=0`` to be sure. It changes nothing: SGD and AdamW multiply the decay by the
# learning rate.
decay = api().optimizer(cfg).weight_decay
checkout.check("The weight decay of the config", decay, 0.0001)
adam = dict(type="AdamW", lr=0.0001, weight_decay=0.05, _delete_=True)
# {% if mmdet2 %}
adam["paramwise_cfg"] = cfg.optimizer.paramwise_cfg
# {% endif %}
other = checkout.train(evaluate=False, warmed_up=True, optimizer=adam, **small)
checkout.check("With AdamW the neck moved by", other.moved("neck"), [0])
checkout.check("With AdamW the box head moves", other.trains("roi_head"), [True])

# %%
# It trains at a tenth of the rate, from COCO's checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
package, _ = api().detectors()
published = {each["Config"]: each["Weights"] for each in weights.index(package)}
checkout.check("Its checkpoint", cfg.load_from, published[f"configs/{standard}"])
checkout.check("Learning rate, for 16 images", api().rate(cfg), 0.002)
checkout.check("Learning rates of the run", set(run.rates), {0.00025})

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes average their gradients, as this command has them do:
printed = checkout.launch(iterations=2, **small)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the weights are random if the checkpoint was out of reach. So it is not shown how much is
#   lost, or gained, by freezing.
# - Memory and speed on a GPU, twelve epochs, and more than two GPUs.
# - Optimizers other than SGD and AdamW.
