"""
How do I unfreeze the backbone after some epochs?
=================================================

Frozen, a backbone keeps its pretrained weights while a new head learns; later it learns too.
``frozen_stages=4`` freezes all of a ResNet, and a hook lifts it when the epoch has come.
Two files do it, and nothing in MMDetection is edited.
"""

# %%
# .. index:: ! frozen_stages
#
# .. snippet:: unfreeze_backbone/faster_rcnn_r50_fpn_unfreeze_1x_coco.py
#
# .. snippet:: unfreeze_backbone/unfreeze_backbone_epoch_based_hook.py
#
# .. include:: ../../gallery/words/unfreeze_backbone_root.rst
#
# .. code-block:: console
#
#    $ PYTHONPATH=. python tools/train.py configs/unfreeze_backbone/faster_rcnn_r50_fpn_unfreeze_1x_coco.py --auto-scale-lr
#
# On several GPUs, here eight:
#
# .. code-block:: console
#
#    $ PYTHONPATH=. torchrun --nproc_per_node=8 tools/train.py configs/unfreeze_backbone/faster_rcnn_r50_fpn_unfreeze_1x_coco.py --launcher pytorch --auto-scale-lr --no-validate
#
# .. include:: ../../gallery/words/learning_rate.rst
#
# .. include:: ../../gallery/words/several_gpus.rst
#
# The config is for MMDetection 2.9 or newer: ``custom_hooks`` came with 2.3, ``custom_imports``
# with 2.4 and ``NumClassCheckHook`` with 2.9. So its changelog says; this page ran on 2.28.

# %%
# What each value freezes
# -----------------------
# .. include:: ../../gallery/words/unfreeze_backbone_stages.rst
from howto import Workspace
from howto.checkout.measure import kept_for_backward, levels, millions
from howto.figures.show import Table

checkout = Workspace("unfreeze_backbone")
config = "faster_rcnn_r50_fpn_unfreeze_1x_coco.py"
cfg = checkout.config(config)
stock = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
checkout.check("stock frozen_stages", stock.model.backbone.frozen_stages, 1)


# %%
def rests(module):
    """Whether a module has weights and none of them trains."""
    trains = [value.requires_grad for value in module.parameters()]
    return bool(trains) and not any(trains)


def frozen(stages):
    """What one value freezes of the config's backbone, and what its training keeps."""
    backbone = checkout.backbone(**{**cfg.model.backbone, "frozen_stages": stages})
    backbone.train()
    names = [name for name, child in backbone.named_children() if rests(child)]
    norms = [module for module in backbone.modules() if hasattr(module, "running_mean")]
    weights = sum(millions(getattr(backbone, name)) for name in names)
    memory = round(kept_for_backward(backbone.to("meta"), 800, 1344))
    return stages, ", ".join(names), weights, sum(map(rests, norms)), memory


# %%
rows = [frozen(stages) for stages in range(-1, 5)]
checkout.check("4 freezes", rows[5][1], "conv1, bn1, layer1, layer2, layer3, layer4")
checkout.check("1 freezes", rows[2][1], "conv1, bn1, layer1")
trains = 1 - rows[2][2] / rows[5][2]
checkout.check("share of the weights that trains with 1", round(trains, 2), 0.99)
memory = {row[0]: row[4] for row in rows}
kept = [memory[4], memory[1], memory[-1]]
checkout.check("MiB kept with 4, with 1, unfrozen", kept, [0, 972, 1756])

# %%
head = "frozen_stages", "Frozen", "Weights, million", "Batch norms", "MiB for an image"
Table(head, rows)

# %%
# Two epochs, and what each stage did
# -----------------------------------
# A ``Workspace`` is an MMDetection checkout with a small COCO in it; the files above
# lie in it unchanged. A list in a config replaces the one it inherits, so the stock
# config's own hook is named again beside the new one.
checkout.check("stock hooks", cfg.custom_hooks[:-1], stock.custom_hooks)

# %%
from howto.figures.diagram import draw_detector

model = checkout.build(cfg)
draw_detector(model, cfg, stock, frozen="does not train before unfreeze_epoch")

# %%
# ``trains`` asks of a stage whether its weights could move and did.
run = checkout.train(config, epochs=2, evaluate=False)
stages = ("stem", "layer1", "layer2", "layer3", "layer4")
for stage in stages:
    checkout.check(f"{stage} trains", run.trains(stage), [False, True])
checkout.check("the neck, never frozen, trains", run.trains("neck"), [True, True])

# %%
# The hook says what it did.
message = "Epoch 1: unfroze conv1, norm1, layer1, layer2, layer3, layer4 of ResNet"
checkout.check("what the hook logs", run.logged("unfroze"), [message])

# %%
# The optimizer has known the frozen weights from the start; SGD gives them their
# momentum once they get gradients.
weights = list(run.model.backbone.parameters())
state = run.optimizer.state
moving = [weight for weight in weights if "momentum_buffer" in state[weight]]
checkout.check("parameters with momentum", len(moving), len(weights))

# %%
# Three epochs at the full rate
# -----------------------------
# .. include:: ../../gallery/words/unfreeze_backbone_rate.rst
import statistics

small = dict(model__backbone__depth=18, model__neck__in_channels=[64, 128, 256, 512])
small["model__backbone__init_cfg__checkpoint"] = "torchvision://resnet18"
run = checkout.train(config, epochs=3, warmed_up=True, evaluation__interval=2, **small)
checkout.check("layer1 stays unfrozen", run.trains("layer1"), [False, True, True])
checkout.check("what the hook logs, once", run.logged("unfroze"), [message])
checkout.check("evaluations", run.evaluations, 1)
checkout.check("learning rates", set(run.rates), {0.02 * run.images_per_step / 16})

# %%
first, *_, last = [statistics.mean(epoch.losses) for epoch in run.epochs.values()]
checkout.check("loss in the last epoch over the first's", last / first, at_most=0.9)

# %%
# The published hook unfreezes for one epoch
# ------------------------------------------
# It asks whether the epoch *is* ``unfreeze_epoch``, sets the stages to training one by
# one, and leaves ``frozen_stages`` as it is. But ``ResNet.train()``, which every epoch
# begins with, freezes those stages again. These changes make the same of the hook
# above.
hook = "unfreeze_backbone_epoch_based_hook"
changes = {
    "runner.epoch < self": "runner.epoch != self",
    "backbone.frozen_stages = -1": """for name in names:
            stage = getattr(backbone, name).train()
            for param in stage.parameters():
                param.requires_grad = True
        return""",
}
once = checkout.edit(f"{hook}.py", changes)
naive = checkout.edit(config, {hook: once.removesuffix(".py")})

# %%
keys = dict(evaluate=False, warmed_up=True, **small)
published = checkout.train(naive, epochs=3, **keys)
checkout.check("layer1 trains", published.trains("layer1"), [False, True, False])

# %%
from howto.figures.show import draw_stages

titled = {"this page's hook": run, "unfreezing once only": published}
figure = draw_stages(titled, stages)

# %%
# The same epoch by epoch: how far the weights moved, as a share of them.
from howto.figures.diagram import draw_epochs

draw_epochs(titled, stages)

# %%
# It also lets the batch norms of those stages use each batch's own statistics, against
# ``norm_eval=True``.
norms = [epoch.norms_training["layer1"] for epoch in published.epochs.values()]
checkout.check("its batch norms in training mode", norms, [False, True, False])

# %%
# A resumed run is unfrozen too
# -----------------------------
# Resuming builds the model anew, frozen. The hook asks whether the epoch has *passed*,
# so it unfreezes at once.
resumed = checkout.train(config, epochs=4, resume_from=run.checkpoint, **keys)
checkout.check("epochs that ran", list(resumed.epochs), [3])
checkout.check("layer1 trains", resumed.trains("layer1"), [True])

# %%
# Batch norms stay as the config wants them
# -----------------------------------------
# ``norm_eval=True`` is the stock setting: batch norms keep the checkpoint's statistics.
# Unfreezing must not change that. Their weights do train.
norms = [epoch.norms_training["layer1"] for epoch in run.epochs.values()]
checkout.check("layer1's batch norms in training mode", norms, [False, False, False])


# %%
# With ``norm_eval=False`` they use each batch's own statistics, from the epoch on that
# unfreezes them. (What else this run has is the next section's.)
short = dict(epochs=2, evaluate=False, warmed_up=True, **small)
together = dict(
    optimizer_config=dict(type="GradientCumulativeOptimizerHook", cumulative_iters=2),
    custom_hooks=[*cfg.custom_hooks, dict(type="ExpMomentumEMAHook")],
    model__backbone__norm_cfg=dict(_delete_=True, type="SyncBN"),
)


# %%
def first_layers(run, stage="layer1"):
    """Whether a stage's first convolution and batch norm train."""
    block = getattr(run.model.backbone, stage)[0]
    return [weight.requires_grad for weight in (block.conv1.weight, block.bn1.weight)]


other = checkout.train(config, model__backbone__norm_eval=False, **together, **short)
norms = [epoch.norms_training["layer1"] for epoch in other.epochs.values()]
checkout.check("with norm_eval=False", norms, [False, True])
checkout.check("convolution and batch norm train", first_layers(other), [True, True])

# %%
# ``norm_cfg`` may keep their weights from training, with ``requires_grad=False``. A
# stage that is unfrozen then trains its convolutions alone, as the run under
# ``paramwise_cfg`` shows.

# %%
# Together with what else a config may have
# -----------------------------------------
# .. include:: ../../gallery/words/unfreeze_backbone_together.rst
checkout.check("layer1 trains", other.trains("layer1"), [False, True])

# %%
# After an epoch the detector has the averages, and the buffers beside them the weights.
average = other.model.backbone.layer1[0].conv1.weight
before = checkout.checkpoint("resnet18")["layer1.0.conv1.weight"]
checkout.check("the average is the checkpoint's", average.cpu().allclose(before), False)

# %%
# Learning rates of their own: ``paramwise_cfg``
# ----------------------------------------------
# MMCV builds the optimizer while the backbone is frozen, and gives its special settings
# to weights that train. Asked for a tenth of the learning rate in the backbone, ``layer1``
# gets the whole, and would train with it once it is unfrozen.
from mmcv.runner import build_optimizer

tenth = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))


def rates(model, optimizer):
    """Learning rates of ``layer1``, as the config has them."""
    groups = optimizer.param_groups
    rate = {
        group["params"][0]: group.get("initial_lr", group["lr"]) for group in groups
    }
    return {round(rate[weight], 6) for weight in model.backbone.layer1.parameters()}


optimizer = build_optimizer(model, dict(**cfg.optimizer, paramwise_cfg=tenth))
checkout.check("learning rate of layer1", rates(model, optimizer), {0.02})

# %%
# So the hook stops such a run before it begins, and names the constructor that comes with
# it. It gives the same settings to what is frozen, and leaves it frozen. Here they make a
# tenth of the rate for one GPU.
short["optimizer__paramwise_cfg"] = tenth
failure = checkout.fails(checkout.train, config, **short)
message = "TypeError: paramwise_cfg skips what is frozen"
checkout.check(f"it says: {message}", failure.message.startswith(message), True)

# %%
line = "# Epochs count from 0"
constructor = "optimizer = dict(constructor='FrozenTooOptimizerConstructor')"
variant = checkout.edit(config, {line: f"{constructor}\n\n{line}"})
keys = dict(model__backbone__frozen_stages=1, **short)
keys["model__backbone__norm_cfg__requires_grad"] = False
other = checkout.train(variant, **keys)
checkout.check("layer1 trains", other.trains("layer1"), [False, True])
checkout.check(
    "learning rate of layer1", rates(other.model, other.optimizer), {0.00025}
)
checkout.check("convolution and batch norm train", first_layers(other), [True, False])
checkout.check(
    "and in layer4, never frozen", first_layers(other, "layer4"), [True, False]
)
del short["optimizer__paramwise_cfg"]

# %%
# Several GPUs
# ------------
# .. include:: ../../gallery/words/unfreeze_backbone_gpus.rst
words = 'what required them when it wrapped."""'
alone = checkout.edit(f"{hook}.py", {words: f"{words}\n        return model"})
variant = checkout.edit(config, {hook: alone.removesuffix(".py")})

# %%
small["custom_hooks__1__unfreeze_epoch"] = 0
equal, apart = checkout.train_in_two_processes([config, variant], **small)
for stage in ("stem", "layer1", "layer4", "neck"):
    checkout.check(f"difference in {stage}", equal[stage], 0.0)
checkout.check("layer1 differs without wrapping again", apart["layer1"] > 0, True)

# %%
Table(
    ("Stage", "Wrapped again", "Not wrapped again"),
    [(stage, equal[stage], apart[stage]) for stage in (*stages, "neck")],
)

# %%
# Pitfall: memory runs out at the epoch that unfreezes
# ----------------------------------------------------
# .. include:: ../../gallery/words/unfreeze_backbone_memory.rst
other.model.train()
backbone = other.model.backbone
kept = kept_for_backward(backbone, 128, 128)
for block in (*backbone.layer1, *backbone.layer2, *backbone.layer3, *backbone.layer4):
    block.with_cp = True
share = kept_for_backward(backbone, 128, 128) / kept
checkout.check("share that with_cp=True keeps", share, at_most=0.6)

# %%
# Pitfall: ``PYTHONPATH=.`` is left out
# -------------------------------------
path = f"configs/unfreeze_backbone/{config}"
message = "ModuleNotFoundError: No module named 'configs'"
tested = f"tools/test.py {path} work_dirs/{run.checkpoint.parent.name}/epoch_3.pth --eval bbox"
for command in (f"tools/train.py {path}", tested):
    output = checkout.shell(f"python {command} {{fit}}", succeeds=False)
    script = command.partition(" ")[0]
    checkout.check(f"what {script} misses", message in output.splitlines(), True)
print(message)

# %%
# Pitfall: the hook is not imported
# ---------------------------------
# A file that nobody imports registers nothing. ``custom_imports`` is what imports it.
lines = "custom_imports = dict(\n    imports=['configs.unfreeze_backbone.unfreeze_backbone_epoch_based_hook'],\n"
variant = checkout.edit(config, {lines + "    allow_failed_imports=False)\n": ""})
failure = checkout.fails(checkout.train, variant)
checkout.check(
    "what is missing",
    "UnfreezeBackboneEpochBasedHook is not in the hook registry" in failure.message,
    True,
)

# %%
# Pitfall: the run counts iterations
# ----------------------------------
# In an ``IterBasedRunner`` no epoch begins, so a hook that waits for one would never do
# anything. This one stops the run before its first iteration.
by_iteration = dict(_delete_=True, type="IterBasedRunner", max_iters=4)
failure = checkout.fails(checkout.train, config, runner=by_iteration, **small)
message = "TypeError: IterBasedRunner has no epochs to wait for"
checkout.check(f"it says: {message}", failure.message.startswith(message), True)

# %%
# Pitfall: the backbone is no ResNet
# ----------------------------------
# The stages have the names that MMDetection's ``ResNet`` gives them. With another
# backbone the hook stops the run before its first epoch.
other = dict(type="MobileNetV2", out_indices=(1, 2, 4, 6))
channels, _ = levels(checkout.backbone(**other), 64)
checkout.check("channels of its levels", channels, [24, 32, 96, 320])

failure = checkout.fails(
    checkout.train,
    config,
    model__backbone=dict(_delete_=True, **other),
    model__neck__in_channels=channels,
)
message = "TypeError: MobileNetV2 has no ResNet stages to unfreeze"
checkout.check(f"it says: {message}", failure.message.startswith(message), True)
