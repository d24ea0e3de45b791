"""
How do I train a Detectron2 model?
==================================

Wrap it in ``Detectron2Wrapper`` and describe it by the keys of Detectron2's own config,
in lower case. MMDetection brings the data, the optimizer, the hooks and the evaluation.

.. needs:: detectron2

Install Detectron2 from its sources, against the torch that you have:

.. code-block:: console

   $ python -m pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'
"""

# %%
# This is Detectron2's RetinaNet with a ResNet-50:
#
# .. snippet:: d2-retinanet_r50_fpn_1x_coco.py
#
# .. train:: d2-retinanet_r50_fpn_1x_coco.py
#
# For MMDetection 3.0 or newer, the first with ``Detectron2Wrapper``.

# %%
# Adapt it
# --------
# - **Another model**: ``detector`` takes the keys below ``MODEL`` of a config in Detectron2's
#   model zoo, in lower case. What you leave out keeps Detectron2's default.
# - **Your own classes**: set ``num_classes`` in ``retinanet``, and the names of your classes in
#   the ``metainfo`` of MMDetection's datasets.
# - **The schedule**: change ``optim_wrapper``, ``param_scheduler`` and ``train_cfg``, as for any
#   detector of MMDetection. Detectron2's ``SOLVER`` is not read; the rate, 0.01, is that of
#   MMDetection's own RetinaNet.
#
# Here it is with a ResNet-101 and three classes:
from detectron2 import model_zoo
from howto import Workspace
from howto.checkout.family import api

checkout = Workspace("detectron2")
checkout.ask_python()
config = checkout.own
changes = {
    "MSRA/R-50.pkl": "MSRA/R-101.pkl",
    "resnets=dict(depth=50": "resnets=dict(depth=101",
    "retinanet=dict(": "retinanet=dict(num_classes=3, ",
}
larger = checkout.config(checkout.edit(config, changes, adapts=True))
larger.model.detector.device = checkout.device

# %%
# Detectron2 puts every model on a GPU. Where there is none, set ``device='cpu'`` in ``detector``. This page
# sets it to the device that it was built on.
built = checkout.build(larger).cfg.MODEL.clone()
own = model_zoo.get_config("COCO-Detection/retinanet_R_101_FPN_3x.yaml").MODEL
own.DEVICE, own.RETINANET.NUM_CLASSES = checkout.device, 3
checkout.check("Without the classes it is the model zoo's", built == own, True)

# %%
# Your log should say
# -------------------
# MMDetection's log has the losses of Detectron2's model in each line, and after each epoch the COCO
# evaluation.
run = checkout.train(config, epochs=2, warmed_up=True)

# %%
print(*run.logged(api().TRAINED)[:4], *run.logged("Epoch(val)")[-1:], sep="\n")

# %%
# Pitfalls
# --------

# %%
# ``got an unexpected keyword argument 'd2_detector'``: the key is ``detector``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Write ``detector``. MMDetection's tutorial has ``model.d2_detector``, an older name of the key.
variant = checkout.edit(config, {"    detector=dict(": "    d2_detector=dict("})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "unexpected keyword argument 'd2_detector'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# ``AssertionError: Non-existent key: MODEL.RETINANET.…``: a key is misspelt
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Look the name up in Detectron2's config reference, and write it in lower case. Detectron2 stops at a key
# that it does not know.
variant = checkout.edit(config, {"smooth_l1_loss_beta": "smooth_l1_beta"})
failure = checkout.fails(checkout.build, checkout.config(variant))
unknown = "AssertionError: Non-existent key: MODEL.RETINANET.SMOOTH_L1_BETA"
checkout.check("It says", failure.message, unknown)

# %%
# The second model in a notebook has keys of the first
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Build each model in a process of its own, as ``tools/train.py`` does, or write out each key in which
# they differ. ``Detectron2Wrapper`` keeps the keys of every config that it has built, and uses them for
# the next one. Without its last key this config should have Detectron2's default, 0.1.
from mmdet.registry import MODELS

line = ",\n        retinanet=dict(smooth_l1_loss_beta=0.0)"
other = checkout.config(checkout.edit(config, {line: ""}))
other.model.detector.device = checkout.device
cfg = checkout.config(config)
cfg.model.detector.device = checkout.device
with checkout.inside():
    MODELS.build(cfg.model)
    second = MODELS.build(other.model)
beta = second.cfg.MODEL.RETINANET.SMOOTH_L1_LOSS_BETA
checkout.check("The second model's smooth_l1_loss_beta", beta, 0.0)

# %%
# Built by itself it has the default.
alone = checkout.build(other).cfg.MODEL.RETINANET.SMOOTH_L1_LOSS_BETA
checkout.check("The same model by itself has", alone, 0.1)

# %%
# Evidence
# --------

# %%
# The levels have RetinaNet's strides
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# RetinaNet lays its anchors on the levels of the feature pyramid.
import torch

model = checkout.build(cfg)
pixels = torch.rand(1, 3, 256, 256, device=checkout.device)
with torch.no_grad():
    levels = model.d2_model.backbone(pixels).values()
strides = [256 // level.shape[-1] for level in levels]
checkout.check("Strides of the levels in pixels", strides, [8, 16, 32, 64, 128])

# %%
# It is Detectron2's own RetinaNet
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Detectron2 builds the model from its defaults and the keys of ``detector``. The result is what
# its model zoo has under ``COCO-Detection/retinanet_R_50_FPN_1x.yaml``.
built = model.cfg.MODEL.clone()
own = model_zoo.get_config("COCO-Detection/retinanet_R_50_FPN_1x.yaml").MODEL
own.DEVICE = checkout.device
checkout.check("The model's config is the model zoo's", built == own, True)

# %%
# Every convolution of the backbone is the checkpoint's
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Detectron2 loads ``weights`` itself, and keeps them in a cache of its own.
checkpoint = checkout.checkpoint("R-50.pkl")
bottom = model.d2_model.backbone.bottom_up
loaded = bottom.state_dict()
convolutions = [key for key, value in loaded.items() if value.ndim == 4]
equal = [key for key in convolutions if torch.equal(loaded[key].cpu(), checkpoint[key])]
checkout.check("Convolutions of a ResNet-50", len(convolutions), 53)
checkout.check("Convolutions equal to the checkpoint's", len(equal), 53)

# %%
# The stem and the first stage do not train. That is Detectron2's default, ``freeze_at=2``.
still = [key for key, value in bottom.named_parameters() if not value.requires_grad]
frozen = {key.partition(".")[0] for key in still}
checkout.check("Frozen stages", sorted(frozen), ["res2", "stem"])

# %%
# It trains, with MMDetection's optimizer and evaluation
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The run of *Your log should say*, at the rate that ``--auto-scale-lr`` sets:
import math

finite = all(map(math.isfinite, run.losses))
checkout.check("Every loss is finite", finite, True)
moved = run.trains("d2_model")
checkout.check("The model's weights move in each epoch", moved, [True, True])
checkout.check("It is evaluated after each epoch, times", run.evaluations, 2)
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
rates = [api().rate(each) for each in (cfg, stock)]
checkout.check("Its rate and MMDetection's own RetinaNet's", rates, [0.01] * 2)
scaled = 0.01 * run.images_per_step / 16
checkout.check("Rates of the run, scaled to its images", set(run.rates), {scaled})

# %%
# It returns what every detector of MMDetection returns.
found = checkout.detect(run.model, run.cfg, checkout.photograph()).pred_instances
checkout.check("It tells", sorted(found.keys()), ["bboxes", "labels", "scores"])

# %%
# It also trains by MMDetection's own script, in a fresh process.
output = checkout.shell(f"python tools/train.py configs/detectron2/{config} {{fit}}")
saved = checkout.root / "work_dirs" / config.removesuffix(".py") / "epoch_1.pth"
checkout.check("MMDetection's script saves a checkpoint", saved.exists(), True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the small COCO cannot tell a good detector from a bad one.
# - Two-stage detectors and masks, such as Detectron2's Mask R-CNN.
# - Several GPUs.
