"""Draw what a how-to changes in a detector, from the detector that its config builds."""

import dataclasses
import html

from howto.checkout.family import api
from howto.checkout.measure import levels

# What a mark looks like: Okabe and Ito's blue and vermilion, which all kinds of colour vision tell apart.
STYLES = {
    "": "border:1px solid #8888",
    "new": "border:2px solid #0072b2;background:#0072b22e",
    "frozen": "border:2px dashed #d55e00;background:#d55e001f",
}


@dataclasses.dataclass(frozen=True)
class Box:
    """One line of a diagram.

    Attributes:
        text: What stands in it.
        mark: ``new`` if the how-to brought or changed it, ``frozen`` if it does not train, or nothing.
    """

    text: str
    mark: str = ""

    def _repr_html_(self) -> str:
        style = (
            f"{STYLES[self.mark]};border-radius:4px;margin:6px 0;padding:0 8px;text-align:center;overflow-wrap:anywhere"
        )
        return f'<div style="{style}">{html.escape(self.text)}</div>'


@dataclasses.dataclass(frozen=True)
class Diagram:
    """Columns of boxes, from left to right with an arrow between them; boxes on a page, text in a terminal.

    Attributes:
        columns: For each column its boxes; the first is its title.
        legend: What a mark means, for those that occur.
    """

    columns: list[list[Box]]
    legend: dict[str, str]

    def __repr__(self) -> str:
        told = []
        for title, *boxes in self.columns:
            lines = [f"{box.text}{self._said(box)}" for box in boxes]
            told.append(f"{title.text}{self._said(title)}" + (f": {'; '.join(lines)}" if lines else ""))
        return " → ".join(told)

    def _said(self, box: Box) -> str:
        return f" ({self.legend[box.mark]})" if box.mark else ""

    def _repr_html_(self) -> str:
        drawn = []
        for title, *boxes in self.columns:
            lines = "".join(box._repr_html_() for box in boxes)
            drawn.append(f'<div><div style="font-weight:bold">{title._repr_html_()}</div>{lines}</div>')
        legend = "".join(Box(meaning, mark)._repr_html_() for mark, meaning in self.legend.items())
        row = "display:flex;gap:8px;align-items:center"
        return (
            f'<div class="howto-diagram" role="img" aria-label="{html.escape(repr(self))}" style="font-size:smaller">'
            f'<div style="{row}">{"<span>→</span>".join(drawn)}</div><div style="{row}">{legend}</div></div>'
        )


def draw_detector(model, cfg, stock, frozen: str = "frozen") -> Diagram:
    """What a detector is made of, and what of it differs from the config it is based on.

    Args:
        model: The detector that `cfg` builds.
        cfg: A config of the how-to.
        stock: The config that it is based on.
        frozen: What to say of stages whose weights do not train.
    """
    backbone, neck = model.backbone, model.neck
    replaced = _mark(cfg.model.backbone != stock.model.backbone)
    fitted = _mark(cfg.model.neck != stock.model.neck)
    wrapped = getattr(backbone, "timm_model", None)
    stages = [Box(type(backbone).__name__, replaced)]
    if wrapped is not None:
        stages.append(Box(type(wrapped).__name__.removesuffix("Features"), replaced))
    if hasattr(backbone, "res_layers"):
        stem = [backbone.stem] if backbone.deep_stem else [backbone.conv1, backbone.norm1]
        stages.append(Box("stem", _frozen(*stem) or replaced))
    names = getattr(backbone, "res_layers", [])
    for number, (channels, stride) in enumerate(zip(*levels(backbone, size=256), strict=True)):
        mark = (_frozen(getattr(backbone, names[number])) if names else "") or replaced
        label = names[number] if names else f"stride {stride}"
        stages.append(Box(f"{label}: {channels} channels", mark))
    taken = [Box(f"takes {channels} channels", fitted) for channels in neck.in_channels]
    taken.append(Box(f"gives {neck.num_outs} × {neck.out_channels}"))
    heads = [name for name in ("rpn_head", "roi_head", "bbox_head") if getattr(model, name, None) is not None]
    columns = [
        stages,
        [Box(type(neck).__name__, fitted), *taken],
        [Box(type(model).__name__), *(Box(type(getattr(model, name)).__name__) for name in heads)],
    ]
    return _diagram(columns, new="other than in the stock config", frozen=frozen)


def draw_pipelines(cfg, stock) -> Diagram:
    """What happens to an image before the detector sees it, and which steps the stock config does not have.

    Args:
        cfg: A config whose train dataset is a ``MultiImageMixDataset``.
        stock: The config that it is based on.
    """
    train, usual_train = (api().split(one, "train") for one in (cfg, stock))
    usual = [step.type for step in usual_train.pipeline]

    def column(title: str, new: bool, steps: list) -> list[Box]:
        return [Box(title, _mark(new)), *(Box(step.type, _mark(step.type not in usual)) for step in steps)]

    wrapped, own = train.dataset.type, train.type != usual_train.type
    columns = [
        column(wrapped, wrapped != usual_train.type, train.dataset.pipeline),
        column(train.type, own, train.pipeline),
        [Box(cfg.model.type, _mark(cfg.model != stock.model))],
    ]
    return _diagram(columns, new="not in the stock config")


def _diagram(columns: list[list[Box]], **meanings: str) -> Diagram:
    occurring = {box.mark for column in columns for box in column}
    return Diagram(columns, {mark: meaning for mark, meaning in meanings.items() if mark in occurring})


def _mark(changed: bool) -> str:
    return "new" if changed else ""


def _frozen(*modules) -> str:
    return "" if any(weight.requires_grad for module in modules for weight in module.parameters()) else "frozen"
