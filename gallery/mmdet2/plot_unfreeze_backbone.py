"""
How do I unfreeze the backbone after some epochs?
=================================================

A frozen backbone gives a new head a quiet start; later it should learn too. A hook
lifts ``frozen_stages`` when the epoch has come. Two files do it, and nothing in
MMDetection is edited.
"""

# %%
# .. snippet:: unfreeze_backbone/faster_rcnn_r50_fpn_unfreeze_1x_coco.py
#
# .. snippet:: unfreeze_backbone/unfreeze_backbone_epoch_based_hook.py
#
# .. include:: ../../gallery/words/unfreeze_backbone_root.rst
#
# .. code-block:: console
#
#    $ PYTHONPATH=. python tools/train.py configs/unfreeze_backbone/faster_rcnn_r50_fpn_unfreeze_1x_coco.py
#
# ``tools/dist_train.sh`` adds the root by itself.

# %%
# Three epochs, and what each stage did
# -------------------------------------
# A ``Workspace`` is an MMDetection checkout with a small COCO in it; the files above
# lie in it unchanged. A list in a config replaces the one it inherits, so the stock
# config's own hook is named again beside the new one.
from howto import Workspace

checkout = Workspace("unfreeze_backbone")
config = "faster_rcnn_r50_fpn_unfreeze_1x_coco.py"
cfg = checkout.config(config)
stock = checkout.config("faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py")
checkout.check("stock hooks", cfg.custom_hooks[:-1], stock.custom_hooks)

# %%
from howto.diagram import draw_detector

model = checkout.build(cfg)
draw_detector(model, cfg, stock, frozen="does not train before unfreeze_epoch")

# %%
# The run is evaluated after each epoch, and ``trains`` asks of a stage whether its
# weights could move and did.
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
# The optimizer has known the frozen weights from the start; SGD gives them their
# momentum once they get gradients.
weights = list(run.model.backbone.parameters())
state = run.optimizer.state
moving = [weight for weight in weights if "momentum_buffer" in state[weight]]
checkout.check("parameters with momentum", len(moving), len(weights))

# %%
# Batch norms stay as the config wants them
# -----------------------------------------
# ``norm_eval=True`` is the stock setting: batch norms keep the checkpoint's statistics.
# Unfreezing must not change that. Their weights do train.
norms = [epoch.norms_training["layer1"] for epoch in run.epochs.values()]
checkout.check("layer1's batch norms in training mode", norms, [False, False, False])


# %%
# ``norm_cfg`` may keep their weights from training, with ``requires_grad=False``. A
# stage that is unfrozen then trains its convolutions alone.
def first_layers(keys):
    """``layer1``'s first convolution and batch norm after an epoch that trained it."""
    changes = {"frozen_stages=1)": f"frozen_stages=1, {keys})"}
    variant = checkout.edit(config, {**changes, "unfreeze_epoch=1": "unfreeze_epoch=0"})
    trained = checkout.train(variant, evaluate=False)
    block = trained.model.backbone.layer1[0]
    weights = block.conv1.weight, block.bn1.weight
    return [weight.requires_grad for weight in weights], trained.epochs[0]


frozen_norms, _ = first_layers("norm_cfg=dict(requires_grad=False)")
checkout.check("convolution and batch norm train", frozen_norms, [True, False])

# %%
# Without that key they train. ``norm_eval=False`` lets the batch norms use each batch's
# own statistics, those of the unfrozen stages like the others, from the same epoch on.
keys = "norm_eval=False, norm_cfg=dict(type='BN', _delete_=True)"
free_norms, epoch = first_layers(keys)
checkout.check("convolution and batch norm train", free_norms, [True, True])
checkout.check("in training mode", epoch.norms_training["layer1"], True)

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
    "backbone.frozen_stages = -1": "pass",
    "backbone.train()  # honours norm_eval": "[getattr(backbone, name).train() for name in names]",
}
once = checkout.edit(f"{hook}.py", changes)
naive = checkout.edit(config, {hook: once.removesuffix(".py")})

# %%
published = checkout.train(naive, epochs=3)
checkout.check("layer1 trains", published.trains("layer1"), [False, True, False])

# %%
from howto.show import draw_stages

stages = ("stem", "layer1", "layer2", "layer3", "layer4")
figure = draw_stages(
    {"this page's hook": run, "unfreezing once only": published}, stages
)

# %%
# The same epoch by epoch: how far the weights moved, as a share of them.
from howto.diagram import draw_epochs

draw_epochs({"this page's hook": run, "unfreezing once only": published}, stages)

# %%
# It also lets the batch norms of those stages use each batch's own statistics, against
# ``norm_eval=True``.
norms = [epoch.norms_training["layer1"] for epoch in published.epochs.values()]
checkout.check("its batch norms in training mode", norms, [False, True, False])

# %%
# A resumed run is unfrozen too
# -----------------------------
# Resuming builds the model anew, frozen. The hook asks whether the epoch has *passed*,
# so it unfreezes at once; a hook that waits for the one epoch never does.
resumed = checkout.train(config, epochs=4, resume_from=run.checkpoint)
checkout.check("epochs that ran", list(resumed.epochs), [3])
checkout.check("layer1 trains", resumed.trains("layer1"), [True])

resumed = checkout.train(naive, epochs=4, resume_from=run.checkpoint)
checkout.check("layer1 trains with the other hook", resumed.trains("layer1"), [False])

# %%
# Several GPUs
# ------------
# .. include:: ../../gallery/words/unfreeze_backbone_gpus.rst
words = 'what required them when it wrapped."""'
alone = checkout.edit(f"{hook}.py", {words: f"{words}\n        return model"})
variant = checkout.edit(config, {hook: alone.removesuffix(".py")})

# %%
small = dict(model__backbone__depth=18, model__neck__in_channels=[64, 128, 256, 512])
small["model__backbone__init_cfg__checkpoint"] = "torchvision://resnet18"
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
    "UnfreezeBackboneEpochBasedHook is not in the hook registry" in failure.message,
    True,
)

# %%
# Pitfall: ``paramwise_cfg`` passes the frozen stages over
# --------------------------------------------------------
# The optimizer is built while they are frozen, and MMCV gives its special settings to
# weights that train. Asked for a tenth of the learning rate in the backbone, the stem
# and ``layer1`` get the whole, and train with it once they are unfrozen.
from mmcv.runner import build_optimizer

tenth = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))
model = checkout.build(cfg)
optimizer = build_optimizer(model, dict(**cfg.optimizer, paramwise_cfg=tenth))
rate = {group["params"][0]: group["lr"] for group in optimizer.param_groups}
checkout.check(
    "learning rate of layer1", rate[model.backbone.layer1[0].conv1.weight], 0.02
)
checkout.check(
    "of layer2", round(rate[model.backbone.layer2[0].conv1.weight], 6), 0.002
)

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
