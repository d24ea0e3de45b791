"""Measure the models of timm that a detector can use, with what timm itself says of them."""

import dataclasses
import functools
from urllib.parse import urlsplit

from howto.checkout import measure, weights
from howto.checkout.family import api
from howto.figures import backbones
from howto.figures.classifiers import SIZE
from howto.figures.show import Link, Unfolds
from howto.project import stacks

HEAD = ("model_name", "Channels", "RetinaNet", "out_indices", "Strides", "Parameters (M)", "Checkpoint")
MODELS = """
resnet18 resnet50 resnet50d resnext50_32x4d seresnet50 skresnet18 resnest14d res2net50_26w_4s
regnetx_008 regnety_008 regnety_032
efficientnet_b0 efficientnet_b1 efficientnet_b3 tf_efficientnet_lite0 tf_efficientnetv2_b0 efficientnetv2_rw_t
mobilenetv2_100 mobilenetv3_small_100 mobilenetv3_large_100 lcnet_100 mixnet_m ghostnet_100 rexnet_100
convnext_atto convnext_tiny hrnet_w18_small densenet121 cspdarknet53 cs3darknet_m dla34 ese_vovnet19b_dw repvgg_b0
""".split()  # noqa: SIM905  a name a line would be one long column
# The first level at stride 4, by what a name begins with, where it is not 1.
FIRST = {"convnext": 0, "cspdarknet": 2, "dla": 2}
ADAMW = ("convnext",)  # MMDetection trains its ConvNeXts by it, too
HUB = "https://huggingface.co/"


@dataclasses.dataclass(frozen=True)
class Row(backbones.Row):
    """A model of the site's table; its address may be the checkpoint's repository on the Hugging Face hub.

    Attributes:
        told: The channels and strides of its levels by timm's ``feature_info``.
        millions: Its parameters, in millions.
        classes: Whether it has a ``num_classes``, which a hook of MMDetection 2.x takes for the detector's.
    """

    told: tuple[list[int], list[int]]
    millions: float
    classes: bool

    @property
    def needs(self) -> list[str]:
        """What its config sets besides the levels."""
        each, hooked = self.backbone, self.classes and stacks.current().family == "mmdet2"
        unused = bool(each.unused[each.start_level])
        found = dict(pixels=each.pixels, AdamW=each.adamw, find_unused_parameters=unused, custom_hooks=hooked)
        return [name for name, needed in found.items() if needed]

    @property
    def text(self) -> str:
        """A config that trains RetinaNet on it."""
        return super().text + "custom_hooks = []\n" * ("custom_hooks" in self.needs)

    def cells(self) -> tuple:
        """What the table says, see :data:`HEAD`."""
        each, indices = self.backbone, self.backbone.keys["out_indices"]
        strides = f"{each.strides[0]} to {each.strides[-1]}"
        url = self.address if urlsplit(self.address).scheme else HUB + self.address
        link = Link(self.address.removeprefix("timm/").rpartition("/")[2], url)
        config = Unfolds(", ".join(["config", *self.needs]), self.text)
        return self.name, each.channels, config, list(indices), strides, self.millions, link


@functools.cache
def rows() -> tuple[Row, ...]:
    """The rows of the site's table, measured once; to be asked for inside a checkout."""
    import timm

    said, found = timm.models.get_pretrained_cfg_value, []
    for name in MODELS:
        first = next((level for begin, level in FIRST.items() if name.startswith(begin)), 1)
        keys = dict(type=f"{api().LIBRARIES[-1]}.TIMMBackbone", model_name=name, features_only=True)
        keys |= dict(pretrained=True, out_indices=tuple(range(first, first + 4)))
        with backbones.zeros():
            module = api().part(backbones.bare(keys))
        pixels = (*([round(255 * part, 3) for part in said(name, key)] for key in ("mean", "std")), True)
        info = module.timm_model.feature_info.info
        told = tuple([info[level][key] for level in keys["out_indices"]] for key in ("num_chs", "reduction"))
        backbone = dataclasses.replace(
            backbones.measured(keys, module, SIZE),
            pixels=None if pixels == backbones.STOCK else pixels,
            adamw=name.startswith(ADAMW),
        )
        address = next(weights.wanted(keys)).address
        classes = hasattr(module.timm_model, "num_classes")
        found.append(Row(name, backbone, address, pixels, told, measure.millions(module), classes))
    return tuple(found)
