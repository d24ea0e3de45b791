"""
How do I freeze the backbone, or any part?
==========================================

``frozen_stages=4`` freezes a whole ResNet, and a learning rate of 0 any part that you name. Here
the neck and the RPN stay as they are, too, and only the box head trains.
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
# These are the detector's parts. Add a line with ``lr_mult=0`` for each that is not to train; a part
# of a part is named with a dot, as ``bbox_head.fc_reg``.
from howto import Workspace
from howto.checkout.family import api
from howto.checkout import fit, weights
from howto.figures import frozen
from howto.figures.show import Table

checkout = Workspace("freeze")
config = "faster_rcnn_r50_fpn_box_head_only_coco.py"
cfg = checkout.config(config)
detector = checkout.build(cfg)

# %%
rows = []
for name, part in detector.named_children():
    parameters = [value for _, value in part.named_parameters()]
    trains = sum(value.requires_grad for value in parameters)
    names = ", ".join(child for child, _ in part.named_children())
    rows.append((name, names, f"{trains} of {len(parameters)}"))
Table(("Part", "Parts of it", "Parameters with a gradient"), rows)

# %%
# Another backbone
# ~~~~~~~~~~~~~~~~
# ``frozen_stages`` also keeps the mean and variance of batch norms, which a rate of 0 does not. Which
# number freezes the whole backbone was tried on each; for some there is none:
whole = {
    name: frozen.whole(checkout, path) for name, path in frozen.backbones(checkout)
}
rows = [
    (name, "a learning rate of 0" if number is None else f"frozen_stages={number}")
    for name, number in whole.items()
]
Table(("Backbone", "All of it"), rows)

# %%
checkout.check("ResNet and Swin", [whole["ResNet"], whole["Swin"]], [4, 4])
checkout.check(
    "CSPDarknet, EfficientNet", [whole["CSPDarknet"], whole["EfficientNet"]], [4, 6]
)

# %%
# Your log should say
# {% if mmdet2 %}
# -------------------
# The log says nothing about it: no line names what rests. This script compares what you trained with the
# ``load_from`` of its config.
# {% else %}
# -------------------
# Which parameters have a rate of their own. ``lr`` is the rate of the first one that has a
# gradient, here 0. ``base_lr`` is the config's, without what ``--auto-scale-lr`` makes of it. What
# training changed this script says: it compares a checkpoint with the ``load_from`` of its config.
# {% endif %}
#
# .. snippet:: what_moved.py
#
# .. code-block:: console
#
# {% if mmdet2 %}
#    $ python configs/freeze/what_moved.py configs/freeze/faster_rcnn_r50_fpn_box_head_only_coco.py work_dirs/faster_rcnn_r50_fpn_box_head_only_coco/latest.pth
# {% else %}
#    $ python configs/freeze/what_moved.py configs/freeze/faster-rcnn_r50_fpn_box-head-only_coco.py work_dirs/faster-rcnn_r50_fpn_box-head-only_coco/epoch_12.pth
# {% endif %}
run = checkout.train(config, evaluate=False, warmed_up=True)
saved = run.checkpoint.relative_to(checkout.root)
script = "python configs/freeze/what_moved.py"
parts_moved = checkout.shell(f"{script} configs/freeze/{config} {saved}")
# {% if mmdet3 %}
told = run.logged("paramwise_options")
print(*told[:2], f"… {len(told)} such lines", *run.logged("Epoch(train)")[:1], sep="\n")
# {% endif %}
print(parts_moved)
# {% if mmdet3 %}
rates = "base_lr: 2.0000e-03 lr: 0.0000e+00"
checkout.check(f"Lines with {rates}", run.log.count(rates), len(run.losses))
# {% endif %}

# %%
# How far each part moved in one epoch of a few images, beside the standard config from the same
# checkpoint at the same rate:
import matplotlib.pyplot as plt

standard = "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py"
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
# A key is looked for in the names of the detector's parameters. Use ``what_moved.py`` after the
# first epoch.
small = dict(load_from=None, **fit.RESNET18)
typo = checkout.edit(config, {"'neck'": "'fpn'"})
thawed = checkout.train(typo, evaluate=False, warmed_up=True, **small)
checkout.check("The neck moves", thawed.moved("neck")[0] > 0, True)

# %%
# The box head does not train either: a key matches anywhere in a name
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``head`` is in ``rpn_head`` and in ``roi_head.bbox_head``. Name as much as tells them apart.
wide = checkout.edit(config, {"'rpn_head'": "'head'"})
still = checkout.train(wide, evaluate=False, warmed_up=True, **small)
checkout.check(
    "All that moves", [part for part in frozen.STAGES if still.moved(part)[0]], []
)

# %%
# The neck trains after all: the schedule has a least rate
# {% if mmdet2 %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``min_lr`` of cosine annealing holds for every part, whatever its ``lr_mult``. ``min_lr_ratio`` is a share
# of the part's own rate, and that of 0 is 0.
# {% else %}
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``eta_min`` of cosine annealing holds for every part, whatever its ``lr_mult``. ``eta_min_ratio`` is a share
# of the part's own rate, and that of 0 is 0.
# {% endif %}

# %%
# The backbone's batch norms still change: a rate of 0 is for weights
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Batch norms take their mean and variance from each batch as long as they train, whatever the
# rate. ``frozen_stages`` stops them, and so does ``norm_eval=True``, which is standard for ResNet.
# {% if mmdet2 %}
keys = {"backbone": dict(lr_mult=0)}
# {% endif %}
norms = dict(model__backbone__frozen_stages=-1, model__backbone__norm_eval=False)
# {% if mmdet2 %}
counting = checkout.train(
    config, evaluate=False, **small, **norms, optimizer__paramwise_cfg__custom_keys=keys
)
# {% else %}
keys = dict(custom_keys={"backbone": dict(lr_mult=0)})
keys = dict(optim_wrapper__paramwise_cfg=keys, **norms)
counting = checkout.train(config, evaluate=False, **small, **keys)
# {% endif %}
checkout.check("The backbone's weights moved by", counting.moved("backbone"), [0])
tracked = [
    int(module.num_batches_tracked)
    for module in counting.model.backbone.modules()
    if hasattr(module, "num_batches_tracked")
]
checkout.check(
    "Updates of its batch norms, at least", min(tracked), len(counting.losses)
)

# %%
# ``RuntimeError: Expected to have finished reduction``: a hook freezes it
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A hook that sets ``requires_grad`` comes too late on several GPUs: the model is wrapped by then, and
# the wrapper waits for gradients that never come.
# {% if mmdet2 %}
hook = """from mmcv.runner import HOOKS, Hook


@HOOKS.register_module()
class FreezeNeckHook(Hook):

    def before_run(self, runner):
        runner.model.module.neck.requires_grad_(False)
"""
# {% else %}
hook = """from mmdet.registry import HOOKS
from mmengine.hooks import Hook


@HOOKS.register_module()
class FreezeNeckHook(Hook):

    def before_train(self, runner):
        runner.model.module.neck.requires_grad_(False)
"""
# {% endif %}
(checkout.root / "configs/freeze/late.py").write_text(hook)

# %%
late = dict(
    custom_imports=dict(imports=["configs.freeze.late"], allow_failed_imports=False),
    custom_hooks=[dict(type="FreezeNeckHook")],
)
printed = checkout.launch(standard, succeeds=False, **late, **small)
reason = "RuntimeError: Expected to have finished reduction in the prior iteration"
print(reason)
checkout.check(f"It says: {reason}", reason in printed, True)

# %%
# ``AttributeError: 'ResNet' object has no attribute 'layer5'``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A ResNet has four stages. Other backbones count otherwise, see *Another backbone* above.
five = checkout.config(config, model__backbone__frozen_stages=5)
failure = checkout.fails(checkout.build, five)
reason = "'ResNet' object has no attribute 'layer5'"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% if mmdet3 %}

# %%
# Random weights, and no error: ``--resume`` before there is a checkpoint
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``--resume`` goes on with your own run in ``work_dirs/``, and drops ``load_from``. Where that run has no
# checkpoint yet, nothing is loaded, and the log says ``Auto resumed from the latest checkpoint None``. Add
# it from the second start on.
# {% endif %}

# %%
# Proof
# -----

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
checkout.check(
    "The script says of the box head", said[-1], "roi_head: 8 of 8 weights moved"
)
rest = [line for line in said[:-1] if ": 0 of " not in line]
checkout.check("Its lines on other parts that moved", rest, [])

# %%
# Frozen stages need no gradient, a rate of 0 does
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Nothing is computed backwards through a frozen backbone, which saves memory and time. A part with a
# rate of 0 has gradients and momentum as if it trained. Should a schedule raise its rate from 0, it
# would start with that momentum. Where gradients are clipped, its own count in the norm.
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
# {% if mmdet2 %}
adam = dict(type="AdamW", lr=0.0001, weight_decay=0.05)
adam["paramwise_cfg"] = cfg.optimizer.paramwise_cfg
adam = dict(optimizer=dict(adam, _delete_=True))
# {% else %}
adam = dict(type="AdamW", lr=0.0001, weight_decay=0.05, _delete_=True)
adam = dict(optim_wrapper=dict(optimizer=adam))
# {% endif %}
other = checkout.train(config, evaluate=False, warmed_up=True, **small, **adam)
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
# Two processes average their gradients, started by the command that you would use:
printed = checkout.launch(config, iterations=2, **small)
checkout.check("Two processes trained", api().FIRST_EPOCH in printed, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the weights are random where the checkpoint was out of reach. So it is not shown how much
#   is lost, or won, by freezing.
# - Memory and speed on a GPU, twelve epochs, and more than two GPUs.
# - Optimizers other than SGD and AdamW.
