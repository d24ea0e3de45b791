"""
How do I unfreeze the backbone after some epochs?
=================================================

A frozen backbone gives a new head a quiet start; later it should learn too. A hook
lifts ``frozen_stages`` when the epoch has come. Two files do it, and nothing in
MMDetection is edited.
"""

# %%
# .. snippet:: unfreeze_backbone/faster-rcnn_r50_fpn_unfreeze_1x_coco.py
#
# .. snippet:: unfreeze_backbone/unfreeze_backbone_epoch_based_hook.py
#
# .. include:: ../../gallery/words/unfreeze_backbone_root.rst
#
# .. code-block:: console
#
#    $ PYTHONPATH=. python tools/train.py configs/unfreeze_backbone/faster-rcnn_r50_fpn_unfreeze_1x_coco.py
#
# ``tools/dist_train.sh`` adds the root by itself.

# %%
# Three epochs, and what each stage did
# -------------------------------------
# A ``Workspace`` is an MMDetection checkout with a small COCO in it; the files above
# lie in it unchanged. The run is evaluated after each epoch, and ``trains`` asks of a
# stage whether its weights could move and did.
from howto import Workspace

checkout = Workspace("unfreeze_backbone")
config = "faster-rcnn_r50_fpn_unfreeze_1x_coco.py"
cfg = checkout.config(config)
stock = checkout.config("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")

# %%
from howto.diagram import draw_detector

model = checkout.build(cfg)
draw_detector(model, cfg, stock, frozen="does not train before unfreeze_epoch")

# %%
run = checkout.train(config, epochs=3)
checkout.check("the stem trains", run.trains("stem"), [False, True, True])
checkout.check("layer1 trains", run.trains("layer1"), [False, True, True])
checkout.check("layer2, never frozen, trains", run.trains("layer2"), [True, True, True])
checkout.check("evaluations in between", run.evaluations, 3)

# %%
# The hook says what it did, once.
message = "Epoch 1: unfroze conv1, norm1, layer1 of ResNet"
checkout.check("what the hook logs", run.logged("unfroze"), [message])

# %%
# The published hook unfreezes nothing
# ------------------------------------
# It makes the stages' weights trainable and leaves ``frozen_stages`` as it is. But
# MMEngine's loop calls ``before_train_epoch`` first and ``model.train()`` after it, and
# ``ResNet.train()`` freezes those stages again, before the epoch's first image. These
# changes make the same of the hook above.
hook = "unfreeze_backbone_epoch_based_hook"
changes = {
    "runner.epoch < self": "runner.epoch != self",
    "backbone.frozen_stages = -1": "[getattr(backbone, name).train() for name in names]",
}
once = checkout.edit(f"{hook}.py", changes)
naive = checkout.edit(config, {hook: once.removesuffix(".py")})

# %%
published = checkout.train(naive, epochs=3)
checkout.check("layer1 trains", published.trains("layer1"), [False, False, False])

# %%
# Its log claims otherwise, so look at the weights.
checkout.check("what it logs", published.logged("unfroze"), [message])

# %%
from howto.show import draw_stages

stages = ("stem", "layer1", "layer2", "layer3", "layer4")
figure = draw_stages({"this page's hook": run, "published hook": published}, stages)

# %%
# The same epoch by epoch: how far the weights moved, as a share of them.
from howto.diagram import draw_epochs

draw_epochs({"this page's hook": run, "published hook": published}, stages)

# %%
# Batch norms stay as the config wants them
# -----------------------------------------
# ``norm_eval=True`` is the stock setting: batch norms keep the checkpoint's statistics.
# Unfreezing does not change that; their weights do train. With ``norm_eval=False``, the
# batch norms of a stage go into training mode when it is unfrozen.
norms = [epoch.norms_training["layer1"] for epoch in run.epochs.values()]
checkout.check("layer1's batch norms in training mode", norms, [False, False, False])

keys = dict(epochs=2, model__backbone__norm_cfg=dict(_delete_=True, type="BN"))
other = checkout.train(config, model__backbone__norm_eval=False, **keys)
norms = [epoch.norms_training["layer1"] for epoch in other.epochs.values()]
checkout.check("with norm_eval=False", norms, [False, True])


def first_layers(run):
    """Whether ``layer1``'s first convolution and batch norm train."""
    block = run.model.backbone.layer1[0]
    return [weight.requires_grad for weight in (block.conv1.weight, block.bn1.weight)]


checkout.check("convolution and batch norm train", first_layers(other), [True, True])

# %%
# ``norm_cfg`` may keep their weights from training, with ``requires_grad=False``. A
# stage that is unfrozen then trains its convolutions alone.
small = dict(model__backbone__depth=18, model__neck__in_channels=[64, 128, 256, 512])
small["model__backbone__init_cfg__checkpoint"] = "torchvision://resnet18"
keys = dict(epochs=2, evaluate=False, model__backbone__norm_cfg__requires_grad=False)
other = checkout.train(config, **keys, **small)
checkout.check("convolution and batch norm train", first_layers(other), [True, False])

# %%
# A resumed run is unfrozen too
# -----------------------------
# Resuming builds the model anew, frozen. The hook asks whether the epoch has *passed*,
# so it unfreezes at once.
resumed = checkout.train(config, epochs=4, resume_from=run.checkpoint)
checkout.check("epochs that ran", list(resumed.epochs), [3])
checkout.check("layer1 trains", resumed.trains("layer1"), [True])

# %%
# Several GPUs
# ------------
# .. include:: ../../gallery/words/unfreeze_backbone_gpus.rst
words = 'what required them when it wrapped."""'
alone = checkout.edit(f"{hook}.py", {words: f"{words}\n        return model"})
variant = checkout.edit(config, {hook: alone.removesuffix(".py")})

# %%
equal, apart = checkout.train_in_two_processes([config, variant], epochs=2, **small)
for stage in ("stem", "layer1", "layer4"):
    checkout.check(f"difference in {stage}", equal[stage], 0.0)
checkout.check("layer1 differs without wrapping again", apart["layer1"] > 0, True)
checkout.check(
    "difference in layer4, which trained when it was wrapped", apart["layer4"], 0.0
)

# %%
from howto.show import Table

Table(
    ("Stage", "Wrapped again", "Not wrapped again"),
    [(stage, equal[stage], apart[stage]) for stage in stages],
)

# %%
# Gradients accumulated over several batches
# ------------------------------------------
# ``accumulative_counts`` lets the optimizer step after every second batch. Unfreezing
# has nothing to do with it.
keys = dict(epochs=2, evaluate=False, auto_scale_lr__enable=True, **small)
run = checkout.train(config, **keys, optim_wrapper__accumulative_counts=2)
checkout.check("layer1 trains", run.trains("layer1"), [False, True])

# %%
# Learning rates of their own: ``paramwise_cfg``
# ----------------------------------------------
# Without it the optimizer knows the frozen weights from the start, and is built once.
# ``auto_scale_lr`` tells of each: it fits the learning rate to a batch of 2 images.
scaling = "Scaling the original LR by 0.125"
checkout.check("optimizers built", len(run.logged(scaling)), 1)

# %%
# With it MMEngine leaves them out of the optimizer, so that they would never train. The
# hook then builds the optimizer once more, before the run begins. Here the backbone
# gets a tenth of the learning rate, which ``auto_scale_lr`` divides by 8.
tenth = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))
keys["optim_wrapper__paramwise_cfg"] = tenth
run = checkout.train(config, **keys)
checkout.check("layer1 trains", run.trains("layer1"), [False, True])
checkout.check("optimizers built", len(run.logged(scaling)), 2)

# %%
rates = {
    group["params"][0]: group["initial_lr"] for group in run.optimizer.param_groups
}
weights = run.model.backbone.layer1.parameters()
checkout.check("its rates", {round(rates[weight], 6) for weight in weights}, {0.00025})

# %%
# Without that line of the hook:
left = checkout.edit(
    f"{hook}.py", {"self.build_optimizer_again(runner, params)": "pass"}
)
variant = checkout.edit(config, {hook: left.removesuffix(".py")})
without = checkout.train(variant, **keys)
checkout.check("layer1 trains", without.trains("layer1"), [False, False])

# %%
# Pitfall: ``PYTHONPATH=.`` is left out
# -------------------------------------
output = checkout.shell(
    f"python tools/train.py configs/unfreeze_backbone/{config} {{fit}}", succeeds=False
)
message = "ModuleNotFoundError: No module named 'configs'"
checkout.check("what is missing", message in output.splitlines(), True)
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
    "UnfreezeBackboneEpochBasedHook is not in the mmdet::hook registry"
    in failure.message,
    True,
)

# %%
# Pitfall: imports from ``mmcv.runner``
# -------------------------------------
# The hooks' registry was there in MMDetection 2. Runners and hooks are MMEngine's now.
old = "from mmdet.registry import HOOKS"
variant = checkout.edit(f"{hook}.py", {old: "from mmcv.runner.hooks import HOOKS"})
output = checkout.shell(f"python configs/unfreeze_backbone/{variant}", succeeds=False)
message = "ModuleNotFoundError: No module named 'mmcv.runner'"
checkout.check("what importing mmcv.runner says", output.splitlines()[-1], message)

# %%
# Pitfall: the backbone is no ResNet
# ----------------------------------
# The stages have the names that MMDetection's ``ResNet`` gives them. With another
# backbone the hook stops the run before its first epoch.
other = dict(_delete_=True, type="MobileNetV2", out_indices=(1, 2, 4, 6))
failure = checkout.fails(
    checkout.train,
    config,
    model__backbone=other,
    model__neck__in_channels=[24, 32, 96, 1280],
)
checkout.check(
    "error",
    failure.message.startswith(
        "TypeError: MobileNetV2 has no ResNet stages to unfreeze"
    ),
    True,
)
