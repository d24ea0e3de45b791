"""Measure the backbones of MMClassification or MMPreTrain that a detector can use, found in its model index."""

import dataclasses
import functools
import importlib
import inspect

from howto.checkout import weights
from howto.checkout.family import api, load
from howto.figures import backbones
from howto.figures.show import Unfolds

SIZE = 64  # pixels: side of the image on which levels are measured; the smallest that leaves two places at stride 32
HEAD = ("Backbone", "Channels", "RetinaNet", "Strides", "out_indices", "start_level", "Needs", "Weights")
FOUR, MISSING = (0, 1, 2, 3), inspect.Parameter.empty
TELLING = ("arch", "depth")  # arguments that tell a backbone from its relatives: they are shown, defaults or not
# What the model indices call a checkpoint, the levels to give out, and what else a detector has to say.
LISTED = [
    ("resnet18_8xb32_in1k", FOUR, {}),
    ("resnet50_8xb32_in1k", FOUR, {}),
    ("resnetv1d50_8xb32_in1k", FOUR, {}),
    ("resnext50-32x4d_8xb32_in1k", FOUR, {}),
    ("seresnet50_8xb32_in1k", FOUR, {}),
    ("res2net50-w14-s8_3rdparty_8xb32_in1k", FOUR, {}),
    ("cspdarknet50_3rdparty_8xb32_in1k", (1, 2, 3, 4), {}),
    ("cspresnet50_3rdparty_8xb32_in1k", FOUR, {}),
    ("densenet121_4xb256_in1k densenet121_3rdparty_in1k", (0, 1, 3), {}),
    ("hrnet-w18_3rdparty_8xb32_in1k", None, {}),
    ("vgg16bn_8xb32_in1k", (2, 3, 4), dict(num_classes=-1)),
    ("repvgg-A0_3rdparty_4xb64-coslr-120e_in1k repvgg-A0_8xb32_in1k", FOUR, {}),
    ("mobilenet-v2_8xb32_in1k", (1, 2, 4, 6), {}),
    ("mobilenet_v3_small_imagenet mobilenet-v3-small_3rdparty_in1k", (3, 8, 11), {}),
    ("mobilenet_v3_large_imagenet mobilenet-v3-large_3rdparty_in1k", (3, 6, 12, 15), {}),
    ("shufflenet-v1-1x_16xb64_in1k", (0, 1, 2), {}),
    ("shufflenet-v2-1x_16xb64_in1k", (0, 1, 2), {}),
    ("efficientnet-b0_3rdparty_8xb32_in1k", (2, 3, 4, 5), {}),
    ("efficientnet-b3_3rdparty_8xb32_in1k", (2, 3, 4, 5), {}),
    ("efficientnetv2-b0_3rdparty_in1k", (2, 3, 5, 6), {}),
    ("mobileone-s0_8xb32_in1k", FOUR, {}),
    ("convnext-tiny_3rdparty_32xb128_in1k convnext-tiny_32xb128_in1k", FOUR, dict(gap_before_final_norm=False)),
    ("convnext-v2-atto_fcmae-pre_3rdparty_in1k", FOUR, dict(gap_before_final_norm=False)),
    ("hornet-tiny_3rdparty_in1k", FOUR, dict(gap_before_final_norm=False)),
    ("swin-tiny_3rdparty_in1k swin-tiny_16xb64_in1k", FOUR, dict(pad_small_map=True)),
    ("swinv2-tiny-w8_3rdparty_in1k-256px", FOUR, dict(pad_small_map=True)),
    ("davit-tiny_3rdparty_in1k", FOUR, dict(pad_small_map=True)),
    ("twins-pcpvt-small_3rdparty_8xb128_in1k", FOUR, {}),
    ("twins-svt-small_3rdparty_8xb128_in1k", FOUR, {}),
    ("poolformer-s12_3rdparty_32xb128_in1k", (0, 2, 4, 6), {}),
]


@dataclasses.dataclass(frozen=True)
class Row(backbones.Row):
    """A backbone of the site's table.

    Attributes:
        lacking: The tensors that its classifier does not have in the same shape.
        needs: What its config sets because a detector needs it.
    """

    lacking: list[str]
    needs: list[str]

    def cells(self) -> tuple:
        """What the table says, see :data:`HEAD`."""
        backbone = self.backbone
        levels = [list(backbone.keys["out_indices"]) if "out_indices" in backbone.keys else "all"]
        needs, address = ", ".join(self.needs), Unfolds("address", self.address)
        config = Unfolds("config", self.text)
        return self.name, backbone.channels, config, backbone.strides, *levels, backbone.start_level, needs, address


@functools.cache
def rows() -> tuple[Row, ...]:
    """The rows of the table that the installed model index has, measured once; to be asked for inside a checkout."""
    package, _ = api().classifiers()
    models = weights.index(package)
    models = {model["Name"]: model for model in models}
    scope = api().LIBRARIES[-1]
    classes, found = importlib.import_module(f"{scope}.models.backbones"), []
    for names, out_indices, other in LISTED:
        model = next((models[name] for name in names.split() if name in models), None)
        if not model:
            continue
        cfg = load(package / model["Config"])
        own = {key: value for key, value in cfg.model.backbone.items() if key != "init_cfg"}
        defaults = _defaults(getattr(classes, own["type"]))
        own["type"] = f"{scope}.{own['type']}"
        keys = own | other | (dict(out_indices=out_indices) if out_indices else {})
        keys |= dict(norm_eval=True) if "norm_eval" in defaults else {}
        keys = {key: value for key, value in keys.items() if key in TELLING or value != defaults.get(key, MISSING)}
        with backbones.zeros():
            module = api().part(dict(keys))
        keys["init_cfg"] = dict(type="Pretrained", checkpoint=model["Weights"], prefix="backbone.")
        optimizer = cfg.get("optimizer") or cfg.optim_wrapper.optimizer
        adamw = optimizer.type == backbones.ADAMW["type"]
        backbone = dataclasses.replace(backbones.measured(keys, module, SIZE), adamw=adamw)
        needs = [key for key in other if key in keys]
        shown = {key: value for key, value in keys.items() if key not in ("type", "norm_eval", *needs)}
        said = [
            f"{key}={value!r}" for key, value in shown.items() if isinstance(value, int | str) and value is not False
        ]
        needs += ["find_unused_parameters"] * bool(backbone.unused[backbone.start_level]) + ["AdamW"] * adamw
        name = ", ".join([keys["type"].partition(".")[2], *said])
        lacking = backbones.lacking(keys, module)
        found.append(Row(name, backbone, model["Weights"], backbones.pixels(cfg), lacking, needs))
    return tuple(found)


def _defaults(kind: type) -> dict[str, object]:
    """The arguments that a class takes, those handed on to its bases among them, and their defaults."""
    found = {}
    for each in reversed(kind.__mro__):
        if "__init__" in vars(each):
            found |= {name: value.default for name, value in inspect.signature(each.__init__).parameters.items()}
    return found
