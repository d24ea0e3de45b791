"""
How do I train a Detectron2 model?
==================================

Wrap it in ``Detectron2Wrapper`` and describe it by the keys of Detectron2's own config,
in lower case. MMDetection brings the data, the optimizer, the hooks and the evaluation.
Here that is Detectron2's RetinaNet with a ResNet-50.

.. needs:: detectron2

Detectron2 is installed from its sources, against the torch that is there:

.. code-block:: console

   $ python -m pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'
"""

# %%
# .. snippet:: detectron2/d2-retinanet_r50_fpn_1x_coco.py
#
# Save it at this path in your MMDetection folder and train it:
#
# .. code-block:: console
#
#    $ python tools/train.py configs/detectron2/d2-retinanet_r50_fpn_1x_coco.py --auto-scale-lr
#
# On several GPUs, here eight:
#
# .. code-block:: console
#
#    $ bash tools/dist_train.sh configs/detectron2/d2-retinanet_r50_fpn_1x_coco.py 8 --auto-scale-lr
#
# .. include:: ../../gallery/words/learning_rate.rst
#
# The rate, 0.01, is that of MMDetection's own RetinaNet, and so is the schedule: ``detector`` takes
# the keys below ``MODEL``, so Detectron2's ``SOLVER`` has no part in it. ``Detectron2Wrapper``
# came with MMDetection 3.0.

# %%
# It is Detectron2's own RetinaNet
# --------------------------------
# Detectron2 builds the model from its defaults and the keys of ``detector``. What comes of
# them is what its own model zoo has under ``COCO-Detection/retinanet_R_50_FPN_1x.yaml``.
# Detectron2 puts every model on a GPU; where there is none, one more key says so.
from detectron2 import model_zoo
from howto import Workspace

checkout = Workspace("detectron2")
config = "d2-retinanet_r50_fpn_1x_coco.py"
cfg = checkout.config(config)
cfg.model.detector.device = checkout.device
model = checkout.build(cfg)

built = model.cfg.MODEL.clone()
own = model_zoo.get_config("COCO-Detection/retinanet_R_50_FPN_1x.yaml").MODEL
own.DEVICE = checkout.device
checkout.check("the config of the model is the model zoo's", built == own, True)

# %%
# Every convolution of the backbone is the checkpoint's
# ------------------------------------------------------
# Detectron2 loads ``weights`` itself, and keeps them in a cache of its own.
import torch

checkpoint = checkout.checkpoint("R-50.pkl")
loaded = model.d2_model.backbone.bottom_up.state_dict()
convolutions = [key for key, value in loaded.items() if value.ndim == 4]
equal = [key for key in convolutions if torch.equal(loaded[key].cpu(), checkpoint[key])]
checkout.check("convolutions of a ResNet-50", len(convolutions), 53)
checkout.check("convolutions equal to the checkpoint's", len(equal), 53)

# %%
# The stem and the first stage do not train: that is Detectron2's default,
# ``freeze_at=2``.
frozen = {
    key.split(".")[0]
    for key, value in model.d2_model.backbone.bottom_up.named_parameters()
    if not value.requires_grad
}
checkout.check("frozen stages", sorted(frozen), ["res2", "stem"])

# %%
# The levels of its feature pyramid, on a photograph:
import cv2
from howto.figures.show import draw_levels

photograph = cv2.imread(str(checkout.photograph()))[:256, :256]
pixels = torch.tensor(photograph.copy(), device=checkout.device).permute(2, 0, 1)[None]
mean = model.d2_model.pixel_mean
with torch.no_grad():
    levels = list(model.d2_model.backbone(pixels - mean).values())

strides = [photograph.shape[1] // level.shape[-1] for level in levels]
checkout.check("strides of the levels, in pixels", strides, [8, 16, 32, 64, 128])
figure = draw_levels(photograph[..., ::-1], levels, strides)

# %%
# It trains, with MMDetection's optimizer and evaluation
# ------------------------------------------------------
import math

# %%
run = checkout.train(config, epochs=2, warmed_up=True)
checkout.check("every loss is finite", all(map(math.isfinite, run.losses)), True)
checkout.check(
    "the model's weights moved in each epoch", run.trains("d2_model"), [True, True]
)
checkout.check("evaluations", run.evaluations, 2)
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
rates = [each.optim_wrapper.optimizer.lr for each in (cfg, stock)]
checkout.check(
    "learning rate, and that of MMDetection's own RetinaNet", rates, [0.01] * 2
)
scaled = 0.01 * run.images_per_step / 16
checkout.check(
    "learning rates of the run, scaled to its images", set(run.rates), {scaled}
)

# %%
# It answers as every detector of MMDetection does.
found = checkout.detect(run.model, run.cfg, checkout.photograph()).pred_instances
checkout.check("what it tells", sorted(found.keys()), ["bboxes", "labels", "scores"])

# %%
# So it does with MMDetection's own script, in a fresh process.
output = checkout.shell(f"python tools/train.py configs/detectron2/{config} {{fit}}")
saved = checkout.root / "work_dirs" / config.removesuffix(".py") / "epoch_1.pth"
checkout.check("the script saved a checkpoint", saved.exists(), True)

# %%
# Pitfall: the key is ``detector``
# --------------------------------
# MMDetection's tutorial speaks of ``model.d2_detector``, which is the key's name no more.
variant = checkout.edit(config, {"    detector=dict(": "    d2_detector=dict("})
failure = checkout.fails(checkout.build, checkout.config(variant))
reason = "unexpected keyword argument 'd2_detector'"
checkout.check(f"it says: {reason}", reason in failure.message, True)

# %%
# Pitfall: a key that Detectron2 does not have
# --------------------------------------------
# Detectron2 checks its keys, so a slip of the pen does not pass unnoticed.
variant = checkout.edit(config, {"smooth_l1_loss_beta": "smooth_l1_beta"})
failure = checkout.fails(checkout.build, checkout.config(variant))
unknown = "AssertionError: Non-existent key: MODEL.RETINANET.SMOOTH_L1_BETA"
checkout.check("what it says of the key", failure.message, unknown)

# %%
# Pitfall: two Detectron2 models in one process
# ---------------------------------------------
# ``Detectron2Wrapper`` keeps the keys of every config that it has built, and gives them to
# the next one. Without its last key this config should have Detectron2's default, 0.1.
from mmdet.registry import MODELS

line = ",\n        retinanet=dict(smooth_l1_loss_beta=0.0)"
other = checkout.config(checkout.edit(config, {line: ""}))
other.model.detector.device = checkout.device
with checkout.inside():
    MODELS.build(cfg.model)
    second = MODELS.build(other.model)
beta = second.cfg.MODEL.RETINANET.SMOOTH_L1_LOSS_BETA
checkout.check("smooth_l1_loss_beta of the second model", beta, 0.0)

# %%
# It concerns whoever compares models in one notebook; ``tools/train.py`` builds one.
alone = checkout.build(other).cfg.MODEL.RETINANET.SMOOTH_L1_LOSS_BETA
checkout.check("smooth_l1_loss_beta of that model by itself", alone, 0.1)
