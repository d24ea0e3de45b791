"""
How do I unfreeze the backbone after some epochs?
=================================================

Freeze the whole ResNet with ``frozen_stages=4``, so that only the neck and the heads
learn at first, and let a hook unfreeze it at the epoch of your choice. You need two
files.
"""

# %%
# .. index:: ! unfreeze, ! frozen_stages
#
# .. snippet:: faster_rcnn_r50_fpn_unfreeze_1x_coco.py
#
# .. snippet:: unfreeze_backbone_epoch_based_hook.py
#
# .. train:: faster_rcnn_r50_fpn_unfreeze_1x_coco.py
#
# {% if mmdet2 %}
# It needs MMDetection 2.9 or newer (tested on 2.28).
# {% else %}
# Other releases of MMDetection 3 were not tried.
# {% endif %}

# %%
# Adapt it
# --------

# %%
# How much starts frozen
# ~~~~~~~~~~~~~~~~~~~~~~
# ``frozen_stages`` says how much of the backbone starts frozen. Standard configs have 1, and so has the
# published tutorial's: 99 % of the backbone's weights then train from the first iteration on. The last
# column is what the backbone keeps for the backward pass, for each image of 800 × 1344 pixels.
from howto import Workspace
from howto.checkout.family import api
from howto.checkout.measure import kept_for_backward, levels, millions
from howto.figures.show import Table

checkout = Workspace("unfreeze_backbone")
checkout.ask_python()
cfg = checkout.config()
stock = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
usual = stock.model.backbone.frozen_stages
checkout.check("The standard config's frozen_stages", usual, 1)


# %%
def is_frozen(module):
    """Whether a module has weights and none of them trains."""
    trains = [value.requires_grad for value in module.parameters()]
    return bool(trains) and not any(trains)


def frozen(stages):
    """What one value freezes of the config's backbone, and what its training keeps."""
    backbone = checkout.backbone(**{**cfg.model.backbone, "frozen_stages": stages})
    backbone.train()
    names = [name for name, child in backbone.named_children() if is_frozen(child)]
    norms = [module for module in backbone.modules() if hasattr(module, "running_mean")]
    weights = sum(millions(getattr(backbone, name)) for name in names)
    memory = round(kept_for_backward(backbone.to("meta"), 800, 1344))
    return stages, ", ".join(names), weights, sum(map(is_frozen, norms)), memory


# %%
rows = [frozen(stages) for stages in range(-1, 5)]
everything = "conv1, bn1, layer1, layer2, layer3, layer4"
checkout.check("frozen_stages=4 freezes", rows[5][1], everything)
checkout.check("frozen_stages=1 freezes", rows[2][1], "conv1, bn1, layer1")
trains = round(1 - rows[2][2] / rows[5][2], 2)
checkout.check("Share of the weights that trains with frozen_stages=1", trains, 0.99)
memory = {row[0]: row[4] for row in rows}
kept = [memory[4], memory[1], memory[-1]]
checkout.check("MiB kept with 4, with 1, unfrozen", kept, [0, 972, 1756])
head = "frozen_stages", "Frozen", "Weights, million", "Batch norms", "MiB for an image"
Table(head, rows)

# %%
# When it unfreezes
# ~~~~~~~~~~~~~~~~~
# ``unfreeze_epoch`` counts from 0, as the schedule does. The 1x schedule divides the learning
# rate by ten after 8 epochs and again after 11, so the later you unfreeze, the less of the full
# rate is left for the backbone: from 8 on nothing, and from 12 on it does not train at all.
from collections import Counter


def schedule(cfg, unfreeze_epoch):
    """The epoch, and for how many epochs the backbone then trains at each rate."""
    trains = Counter(api().rates(cfg)[unfreeze_epoch:])
    return unfreeze_epoch, *(trains[rate] for rate in (0.02, 0.002, 0.0002))


head = "unfreeze_epoch", "Epochs at the full rate", "at a tenth", "at a hundredth"
Table(head, [schedule(cfg, epoch) for epoch in (0, 1, 4, 8, 11, 12)])

# %%
checkout.check("Epochs at each rate, unfrozen at 1", schedule(cfg, 1)[1:], (7, 3, 1))
checkout.check("Epochs at each rate, unfrozen at 8", schedule(cfg, 8)[1:], (0, 3, 1))
checkout.check("Epochs at each rate, unfrozen at 12", schedule(cfg, 12)[1:], (0, 0, 0))


# %%
# To give the backbone all of the 1x schedule once it trains, make the run longer and move the
# drops by as many epochs. Put this into a config of your own:
def inherit(name, lines, base=checkout.own):
    """Write a config that inherits from another and changes these lines; print it."""
    text = f"_base_ = './{base}'\n{lines}"
    (checkout.root / "configs/unfreeze_backbone" / name).write_text(text, "utf-8")
    print(text)
    return name


# {% if mmdet2 %}
lines = """
custom_hooks = [
    dict(type='NumClassCheckHook'),
    dict(type='UnfreezeBackboneEpochBasedHook', unfreeze_epoch=4)
]
runner = dict(max_epochs=16)
lr_config = dict(step=[12, 15])"""
# {% else %}
lines = """
custom_hooks = [dict(type='UnfreezeBackboneEpochBasedHook', unfreeze_epoch=4)]
train_cfg = dict(max_epochs=16)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=16, milestones=[12, 15])"""
# {% endif %}
later = checkout.config(inherit("unfreeze_later.py", lines))

# %%
trained = schedule(later, later.custom_hooks[-1].unfreeze_epoch)[1:]
checkout.check("Epochs at each rate, unfrozen at 4 of 16", trained, (8, 3, 1))
usual = schedule(stock, 0)[1:]
checkout.check("They are the standard config's", trained == usual, True)

# %%
# Your own classes
# ~~~~~~~~~~~~~~~~
# Name your classes in each dataset, and their number in the box head. Where your images lie is
# set there, too. This config inherits from the one above, so the hook comes with it:
# {% if mmdet2 %}
lines = """
classes = ('person', 'cat')
data = dict(
    train=dict(classes=classes),
    val=dict(classes=classes),
    test=dict(classes=classes))
model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))"""
# {% else %}
lines = """
metainfo = dict(classes=('person', 'cat'))
train_dataloader = dict(dataset=dict(metainfo=metainfo))
val_dataloader = dict(dataset=dict(metainfo=metainfo))
test_dataloader = dict(dataset=dict(metainfo=metainfo))
model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))"""
# {% endif %}
mine = inherit("unfreeze_own_classes.py", lines)

# %%
small = dict(model__backbone__depth=18, model__neck__in_channels=[64, 128, 256, 512])
small["model__backbone__init_cfg__checkpoint"] = "torchvision://resnet18"
keys = dict(evaluate=False, warmed_up=True, **small)
own = checkout.train(mine, epochs=2, evaluate=False)
stages = ("stem", "layer1", "layer2", "layer3", "layer4")
trained = {tuple(own.trains(stage)) for stage in stages}
name = "The ResNet-50's stem and four layers train, epoch by epoch"
checkout.check(name, trained, {(False, True)})
checkout.check("The neck is never frozen and trains", own.trains("neck"), [True, True])
scores = own.model.roi_head.bbox_head.fc_cls.out_features
checkout.check("Scores of a box: two classes and the background", scores, 3)
images = len(checkout.dataset(own.cfg))
everything = len(checkout.annotations("train")["images"])
checkout.check("Images without them are left out", images < everything, True)

# %%
# Another base
# ~~~~~~~~~~~~
# Keep the hooks of the config that you start from: a list in a config replaces the one that it inherits.
# {% if mmdet2 %}
# So this page's config names the standard ``NumClassCheckHook`` again, which stops a run whose box head has
# another number of classes than the dataset. Repeat the base's entries of ``custom_imports``, too.
first = cfg.custom_hooks[:-1]
checkout.check("Hooks of the standard config stay", first, stock.custom_hooks)
eighty = dict(model__roi_head__bbox_head__num_classes=80, **small)
failure = checkout.fails(checkout.train, mine, **eighty)
reason = "The `num_classes` (80) in Shared2FCBBoxHead"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% else %}
# This page's config does it for ``_base_``: with that of YOLOX it has YOLOX's hooks, too. In a config that
# inherits from it, ``*_base_.custom_hooks`` repeats the hooks, ``*_base_.custom_imports.imports`` the imports:
yolox = "yolox/yolox_s_8xb8-300e_coco.py"
bases = (checkout.source / checkout.own).read_text("utf-8").partition("\n\n")[0]
moved = checkout.config(checkout.edit(checkout.own, {bases: f"_base_ = '../{yolox}'"}))
kept = moved.custom_hooks[:-1] == checkout.config(yolox).custom_hooks
checkout.check("The hooks of YOLOX stay", kept, True)
lines = """
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook')]
imports = [*_base_.custom_imports.imports, 'mmpretrain.models']
custom_imports = dict(imports=imports)"""
more = checkout.config(inherit("unfreeze_more.py", lines))
hooks = [*cfg.custom_hooks, dict(type="EMAHook")]
checkout.check("Hooks of the base, and one more", more.custom_hooks == hooks, True)
imports = [*cfg.custom_imports.imports, "mmpretrain.models"]
checkout.check("Its imports, too", more.custom_imports.imports == imports, True)
# {% endif %}

# %%
# A tenth of the learning rate for the backbone
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Name the constructor that comes with the hook. It gives the settings of ``paramwise_cfg`` to what is
# frozen, too, and leaves it frozen:
lines = """
optimizer = dict(
    constructor='FrozenTooOptimizerConstructor',
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))"""
# {% else %}
# Set ``paramwise_cfg``. MMEngine leaves what is frozen out of the optimizer then, so the hook builds the
# optimizer once more, before the run begins:
lines = """
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))"""
# {% endif %}
slower = inherit("unfreeze_slower_backbone.py", lines, base=mine)


# %%
# Two images a step lead to a rate of 0.0025, a tenth of which is 0.00025:
def rates(model, optimizer):
    """Learning rates of ``layer1``, as the config has them."""
    groups = optimizer.param_groups
    rate = {each["params"][0]: each.get("initial_lr", each["lr"]) for each in groups}
    known = [weight for weight in model.backbone.layer1.parameters() if weight in rate]
    return {round(rate[weight], 6) for weight in known}


norm = dict(model__backbone__norm_eval=False)
norm["model__backbone__norm_cfg__requires_grad"] = False
other = checkout.train(slower, epochs=2, **norm, **keys)
checkout.check("layer1 trains, epoch by epoch", other.trains("layer1"), [False, True])
rate = rates(other.model, other.optimizer)
checkout.check("A tenth of the rate for layer1", rate, {0.00025})

# %%
# Resume an interrupted training
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Add ``--resume-from`` and the last checkpoint to the command, as ``work_dirs/<config>/latest.pth``. After
# {% else %}
# Add ``--resume`` to the command: it finds the last checkpoint in ``work_dirs/<config>``. After
# {% endif %}
# ``unfreeze_epoch`` the backbone trains at once, see *A resumed run unfreezes at once* below.

# %%
# What trains, and from when on
# -----------------------------
# The detector is the standard one. Its backbone starts frozen.
from howto.figures.diagram import draw_detector

model = checkout.build(cfg)
draw_detector(model, cfg, stock, frozen="frozen before unfreeze_epoch")

# %%
# And this is what a run did, on the small COCO with a ResNet-18: how far the weights of each
# stage moved in each epoch, as a share of them.
from howto.figures.show import draw_stages

run = checkout.train(epochs=3, warmed_up=True, val_interval=2, **small)

# %%
figure = draw_stages({"unfreeze_epoch=1": run}, stages)

# %%
# Your log should say
# -------------------
# The hook writes one line when it unfreezes, with the names of what was frozen. Its epoch counts
# from 0 and those of the other lines from 1, so it stands where the second epoch begins.
message = "Epoch 1: unfroze conv1, norm1, layer1, layer2, layer3, layer4 of ResNet"
checkout.check("The hook logs, once", run.logged("unfroze"), [message])
begins = api().TRAINED, "Epoch 1:"
said = [line for line in run.logged("Epoch") if line.startswith(begins)]
at = said.index(message)
print(*said[at - 1 : at + 2], sep="\n")

# %%
around = [line.partition("[")[2][0] for line in (said[at - 1], said[at + 1])]
checkout.check("Epochs of the lines around it", around, ["1", "2"])

# %%
# Pitfalls
# --------

# %%
# {% if mmdet2 %}
# The backbone trains for one epoch and is frozen again: ``frozen_stages`` is still set
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Let the hook set ``frozen_stages`` to -1, in every epoch from the one that unfreezes. Every epoch begins
# with ``ResNet.train()``, which freezes as many stages as ``frozen_stages`` says, so a hook that only makes
# the weights trainable is undone in the next epoch. The published tutorial's is such a hook, and these
# changes make it of ours. It also lets the batch norms of those stages use each batch's own statistics,
# against ``norm_eval=True``.
epochs = 2
changes = {
    "runner.epoch < self": "runner.epoch != self",
    "backbone.frozen_stages = -1": """for name in names:
            stage = getattr(backbone, name).train()
            for param in stage.parameters():
                param.requires_grad = True
        return""",
}
# {% else %}
# The log says that it unfroze, and nothing trains: ``frozen_stages`` is still set
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Let the hook set ``frozen_stages`` to -1, in every epoch from the one that unfreezes. MMEngine's loop calls
# ``before_train_epoch`` first and ``model.train()`` after it, and ``ResNet.train()`` freezes as many stages
# as ``frozen_stages`` says, so a hook that only makes the weights trainable is undone before the epoch's
# first image. The published tutorial's is such a hook, and these changes make it of ours. Its log claims
# otherwise, so look at the weights.
epochs = 1
changes = {
    "runner.epoch < self": "runner.epoch != self",
    "backbone.frozen_stages = -1": "[getattr(backbone, n).train() for n in names]",
}
# {% endif %}

# %%
hook = "unfreeze_backbone_epoch_based_hook"
place = "configs.unfreeze_backbone"
at_once = {f"custom_hooks__{len(cfg.custom_hooks) - 1}__unfreeze_epoch": 0}


def importing(changes):
    """Override that imports a variant of the hook in its place."""
    variant = checkout.edit(f"{hook}.py", changes).removesuffix(".py")
    return dict(custom_imports__imports=[f"{place}.{variant}"])


# %%
imports = importing(changes)
published = checkout.train(mine, epochs=epochs, **keys, **at_once, **imports)
trained = published.trains("layer1")
# {% if mmdet2 %}
checkout.check("With the published hook layer1 trains", trained, [True, False])
norms = [epoch.norms_training["layer1"] for epoch in published.epochs.values()]
checkout.check("Batch norms that use the batch's statistics", norms, [True, False])

# %%
# ``TypeError: paramwise_cfg skips what is frozen``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``constructor='FrozenTooOptimizerConstructor'``, see *A tenth of the learning rate* above. MMCV builds
# the optimizer while the backbone is frozen, and gives the settings of ``paramwise_cfg`` only to weights
# that train. Without the constructor ``layer1`` would train with the whole learning rate once it is
# unfrozen, so the hook stops such a run before it begins.
line = "    constructor='FrozenTooOptimizerConstructor',\n"
failure = checkout.fails(checkout.train, checkout.edit(slower, {line: ""}), **keys)
message = "TypeError: paramwise_cfg skips what is frozen"
checkout.check(f"It says: {message}", failure.message.startswith(message), True)
from mmcv.runner import build_optimizer

tenth = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))
optimizer = build_optimizer(model, dict(**cfg.optimizer, paramwise_cfg=tenth))
rate = rates(model, optimizer)
checkout.check("Without the stop, layer1's learning rate", rate, {0.02})
# {% else %}
checkout.check("With the published hook layer1 trains", trained, [False])
claimed = [message.replace("Epoch 1", "Epoch 0")]
checkout.check("The published hook logs", published.logged("unfroze"), claimed)
# {% endif %}

# %%
# ``CUDA out of memory`` at the epoch that unfreezes
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Train fewer images on each GPU, or set ``with_cp=True`` in the backbone: it then computes much a second
# time instead of keeping it. Try the memory before the run, with ``unfreeze_epoch=0`` for some iterations.
# A frozen backbone keeps nothing for the backward pass. Once it trains it keeps what the table under *Adapt
# it* says for each image, and each of its weights gets a gradient and, with SGD, a momentum.
own.model.train()
backbone = own.model.backbone
kept = kept_for_backward(backbone, 128, 128)
for block in (*backbone.layer1, *backbone.layer2, *backbone.layer3, *backbone.layer4):
    block.with_cp = True
share = kept_for_backward(backbone, 128, 128) / kept
checkout.check("Share that with_cp=True keeps", share, at_most=0.6)

# %%
# ``ModuleNotFoundError: No module named 'configs'``: the root is not on the path
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write ``PYTHONPATH=.`` before the command, as in the one above. The config imports the hook by its place
# in the repository, but ``tools/train.py`` and ``tools/test.py`` look for modules beside themselves.
path = f"configs/unfreeze_backbone/{checkout.own}"
saved = run.checkpoint.relative_to(checkout.root)
message = "ModuleNotFoundError: No module named 'configs'"
tested = f"tools/test.py {path} {saved} {api().evaluating()}"
for command in (f"tools/train.py {path}", tested):
    output = checkout.shell(f"python {command} {{fit}}", succeeds=False)
    script = command.partition(" ")[0]
    said = message in output.splitlines()
    checkout.check(f"{script} without PYTHONPATH=. says so", said, True)

# %%
# {% if mmdet2 %}
# ``UnfreezeBackboneEpochBasedHook is not in the hook registry``: not imported
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% else %}
# ``UnfreezeBackboneEpochBasedHook is not in the mmdet::hook registry``: not imported
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# {% endif %}
# Keep ``custom_imports``. Only an import of the file registers the hook.
lines = """custom_imports = dict(
    imports=['configs.unfreeze_backbone.unfreeze_backbone_epoch_based_hook'],
    allow_failed_imports=False)
"""
variant = checkout.edit(checkout.own, {lines: ""})
failure = checkout.fails(checkout.train, variant, **small)
reason = "UnfreezeBackboneEpochBasedHook is not in the"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``has no epochs to wait for``: the run counts iterations
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Train by epochs. A run that counts iterations never begins another epoch, so a hook that waits for one
# would never act. This one stops the run before its first iteration.
# {% if mmdet2 %}
by_iteration = dict(runner=dict(_delete_=True, type="IterBasedRunner", max_iters=4))
# {% else %}
loop = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=4)
by_iteration = dict(train_cfg=loop)
# {% endif %}
failure = checkout.fails(checkout.train, **by_iteration, **small)
message = "has no epochs to wait for"
checkout.check(f"It says: {message}", message in failure.message, True)

# %%
# ``TypeError: MobileNetV2 has no ResNet stages to unfreeze``: another backbone
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use MMDetection's ``ResNet`` or a backbone built on it: ResNeXt, Res2Net, RegNet, ResNeSt. The hook looks
# for the names of their stages, and stops a run with another backbone before its first epoch.
mobile = dict(type="MobileNetV2", out_indices=(1, 2, 4, 6))
channels, _ = levels(checkout.backbone(**mobile), 64)
checkout.check("Channels of MobileNetV2's levels", channels, [24, 32, 96, 320])
instead = dict(model__backbone=dict(_delete_=True, **mobile))
instead["model__neck__in_channels"] = channels
failure = checkout.fails(checkout.train, **instead)
message = "TypeError: MobileNetV2 has no ResNet stages to unfreeze"
checkout.check(f"It says: {message}", failure.message.startswith(message), True)

# %%
# {% if mmdet3 %}
# ``ModuleNotFoundError: No module named 'mmcv.runner'``: a hook for MMDetection 2
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Use the hook of this page. The registry of hooks was in ``mmcv.runner`` in MMDetection 2; runners and hooks
# are MMEngine's now.
import runpy

old = "from mmdet.registry import HOOKS"
variant = checkout.edit(f"{hook}.py", {old: "from mmcv.runner.hooks import HOOKS"})
path = checkout.root / "configs/unfreeze_backbone" / variant
failure = checkout.fails(runpy.run_path, str(path))
message = "ModuleNotFoundError: No module named 'mmcv.runner'"
checkout.check("It says", failure.message, message)

# %%
# {% endif %}
# Evidence
# --------

# %%
# It unfreezes once, and for good
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# In the run of the map above, which was evaluated between the second epoch and the third.
trained = {tuple(run.trains(stage)) for stage in stages}
name = "The ResNet-18's stem and four layers train, epoch by epoch"
checkout.check(name, trained, {(False, True, True)})
checkout.check("The run was evaluated", run.evaluations > 0, True)

# %%
# The optimizer has known the frozen weights from the start; SGD gives them their
# momentum once they get gradients.
weights = list(run.model.backbone.parameters())
state = run.optimizer.state
moving = [weight for weight in weights if "momentum_buffer" in state[weight]]
checkout.check("Parameters of the backbone with momentum", len(moving), len(weights))

# %%
# It trains at the full learning rate, and the loss falls
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The run above leaves out the warm-up, in which a run as short as this would lie, and has the
# rate to which the command for one GPU leads. Its ResNet-18 starts from random weights where the
# published ones were out of reach.
import statistics

full = 0.02 * run.images_per_step / 16
checkout.check("Learning rates of the run", set(run.rates), {full})
first, *_, last = [statistics.mean(epoch.losses) for epoch in run.epochs.values()]
checkout.check("The loss falls: third epoch over first", last / first, at_most=0.9)

# %%
# A resumed run unfreezes at once, together with what else a config may have
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Resuming builds the model anew, frozen. The hook asks whether the epoch has *passed*, so it
# unfreezes at once. This run goes on where the one above ended, and has more on top:
# accumulated gradients, averaged weights (EMA) and synchronized batch norms. Each refers to
# weights or layers of the model; those stay the same objects, so nothing is lost.
# {% if mmdet2 %}
average = dict(type="ExpMomentumEMAHook")
together = dict(optimizer_config__type="GradientCumulativeOptimizerHook")
# {% else %}
average, together = dict(type="EMAHook", momentum=0.1), {}
# {% endif %}
together |= dict(
    accumulate=2,
    custom_hooks=[*cfg.custom_hooks, average],
    model__backbone__norm_cfg=dict(_delete_=True, type="SyncBN"),
    model__backbone__norm_eval=False,
)
resumed = checkout.train(epochs=4, resume_from=run.checkpoint, **together, **keys)
checkout.check("Epochs that ran", list(resumed.epochs), [3])
checkout.check("Resumed, layer1 trains", resumed.trains("layer1"), [True])

# %%
# {% if mmdet2 %}
# After an epoch the detector has the averages, and the buffers beside them the weights.
average = resumed.model.backbone.layer1[0].conv1.weight.cpu()
# {% else %}
# The checkpoint has the averages where the weights would be.
from howto.checkout import weights

average = weights.load(resumed.checkpoint)["backbone.layer1.0.conv1.weight"]
# {% endif %}
before = run.model.backbone.layer1[0].conv1.weight.cpu()
checkout.check("The average moves with layer1", not average.allclose(before), True)
# {% if mmdet3 %}

# %%
# The optimizer is built once, or twice with ``paramwise_cfg``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``auto_scale_lr`` logs each time that it fits the learning rate to a batch of 2 images.
scaling = "Scaling the original LR by 0.125"
built = len(run.logged(scaling))
checkout.check("Optimizers built without paramwise_cfg", built, 1)
built = len(other.logged(scaling))
checkout.check("Optimizers built with paramwise_cfg", built, 2)

# %%
# Without that line of the hook the first optimizer stays, and ``layer1`` never trains:
imports = importing({"self.build_optimizer_again(runner, params)": "pass"})
without = checkout.train(slower, **keys, **at_once, **imports)
trained = without.trains("layer1")
checkout.check("layer1 trains with the one built first", trained, [False])
# {% endif %}

# %%
# Batch norms stay as the config wants them
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``norm_eval=True`` is the standard setting: batch norms keep the checkpoint's statistics.
# Unfreezing leaves it so, and trains their weights.
norms = [epoch.norms_training["layer1"] for epoch in run.epochs.values()]
checkout.check("norm_eval=True: the batch's statistics in layer1", norms, [False] * 3)


def first_layers(backbone, stage="layer1"):
    """Whether a stage's first convolution and batch norm train."""
    block = getattr(backbone, stage)[0]
    return [weight.requires_grad for weight in (block.conv1.weight, block.bn1.weight)]


trains = first_layers(run.model.backbone)
checkout.check("layer1's convolution and batch norm train", trains, [True, True])

# %%
# With ``norm_eval=False`` they use each batch's own statistics, from the epoch on that
# unfreezes them; the synchronized ones, too.
norms = [epoch.norms_training["layer1"] for epoch in other.epochs.values()]
checkout.check("norm_eval=False: the batch's statistics", norms, [False, True])
norms = [epoch.norms_training["layer1"] for epoch in resumed.epochs.values()]
checkout.check("SyncBN: the batch's statistics", norms, [True])
trains = first_layers(resumed.model.backbone)
checkout.check("SyncBN: layer1's convolution and norm train", trains, [True, True])

# %%
# ``norm_cfg`` with ``requires_grad=False`` keeps their weights from training. A stage that is unfrozen
# then trains its convolutions alone, like one that was never frozen.
trains = first_layers(other.model.backbone)
checkout.check("requires_grad=False: layer1 trains", trains, [True, False])
trains = first_layers(other.model.backbone, "layer4")
checkout.check("requires_grad=False: layer4, never frozen", trains, [True, False])

# %%
# Several GPUs
# ~~~~~~~~~~~~
# DistributedDataParallel averages the gradients of the parameters that needed them when the
# model was wrapped. Those unfrozen later are not among them, so each process would train its
# own; the hook therefore wraps the model again. ``tools/train.py`` trained a ResNet-18 in two
# processes, unfrozen in the first epoch, with this hook and with one that leaves the model as it
# was wrapped. The numbers are the largest difference of any weight between the two copies at the
# end. Where there are no two GPUs, the processes are on the CPU and average by gloo instead of
# NCCL.
words = 'what required them when it wrapped."""'
imports = importing({words: f"{words}\n        return model"})
both = dict(**small, **at_once)
(equal,) = checkout.train_in_two_processes([checkout.own], **both)
(apart,) = checkout.train_in_two_processes([checkout.own], **both, **imports)
for stage in ("stem", "layer1", "layer4", "neck"):
    checkout.check(f"{stage} is the same in both, difference", equal[stage], 0.0)
checkout.check("layer1 differs if it is not wrapped again", apart["layer1"] > 0, True)
head = "Stage", "Wrapped again", "Not wrapped again"
Table(head, [(stage, equal[stage], apart[stage]) for stage in (*stages, "neck")])

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the weights are random where the real ones were out of reach, and the small COCO is
#   too small to tell whether a frozen start helps.
# - The config's ResNet-50 at the full learning rate, twelve epochs on COCO, and eight GPUs.
# - Mixed precision, and synchronized batch norms that train in several processes.
# - A GPU that runs out of memory: the table says what is kept, not when it is too much.
