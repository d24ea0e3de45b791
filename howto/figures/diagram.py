"""Draw what a how-to changes in a detector, from the detector that its config builds."""

import dataclasses
import html

from howto.checkout.family import api
from howto.checkout.measure import levels

NEW, FROZEN = "#0072b2", "#d55e00"  # Okabe and Ito's blue and vermilion
ROW, GAP, WIDTH, BETWEEN, KEY = 26, 6, 142, 22, 20  # in the drawing's own units; a line of the legend


@dataclasses.dataclass(frozen=True)
class Box:
    """One line of a diagram.

    Attributes:
        text: What stands in it.
        mark: ``new`` if the how-to brought or changed it, ``frozen`` if it does not train, or nothing.
    """

    text: str
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Diagram:
    """Columns of boxes, drawn from left to right with an arrow between them; SVG on a page, text in a terminal.

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
        height = max(len(column) for column in self.columns) * (ROW + GAP)
        parts = []
        for number, column in enumerate(self.columns):
            left, top = number * (WIDTH + BETWEEN) + 1, (height - len(column) * (ROW + GAP)) / 2 + 3
            if number:
                x, y = left - BETWEEN + 3, height / 2
                parts.append(f'<path d="M{x} {y}h{BETWEEN - 8}m-5 -5l5 5l-5 5" fill="none" stroke="currentColor"/>')
            for row, box in enumerate(column):
                parts.append(_draw(box, left, top + row * (ROW + GAP), row == 0))
        for number, (mark, meaning) in enumerate(self.legend.items()):
            y = height + 9 + number * KEY
            key = f'<rect x="1" y="{y}" width="18" height="12" rx="3" {STYLES[mark]}/>'
            parts.append(f'{key}<text x="26" y="{y + 10}">{html.escape(meaning)}</text>')
        width, height = len(self.columns) * (WIDTH + BETWEEN) - BETWEEN + 2, height + 8 + len(self.legend) * KEY
        return (
            f'<svg class="howto-diagram" role="img" aria-label="{html.escape(repr(self))}" '
            f'viewBox="0 0 {width} {height}" '
            f'style="width:100%;max-width:{width * 1.3:.0f}px;height:auto" font-family="sans-serif" font-size="12" '
            f'fill="currentColor">{"".join(parts)}</svg>'
        )


STYLES = {
    "": 'fill="none" stroke="currentColor" stroke-opacity="0.45"',
    "new": f'fill="{NEW}" fill-opacity="0.18" stroke="{NEW}" stroke-width="2"',
    "frozen": f'fill="{FROZEN}" fill-opacity="0.12" stroke="{FROZEN}" stroke-width="2" stroke-dasharray="4 3"',
}


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


def _draw(box: Box, left: float, top: float, title: bool) -> str:
    weight = ' font-weight="bold"' if title else ""
    size = min(12, (204 if title else 240) / max(1, len(box.text)))
    return (
        f'<rect x="{left}" y="{top}" width="{WIDTH - 2}" height="{ROW}" rx="4" {STYLES[box.mark]}/>'
        f'<text x="{left + WIDTH / 2 - 1}" y="{top + ROW / 2 + 4}" text-anchor="middle" font-size="{size:.1f}"{weight}>'
        f"{html.escape(box.text)}</text>"
    )
