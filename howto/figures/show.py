"""Draw what the how-tos show: boxes on images, feature maps, stages over epochs, tables."""

import dataclasses
import html
from collections.abc import Sequence

COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#d55e00",
    "#cc79a7",
)  # Okabe and Ito's, told apart by all kinds of colour vision


@dataclasses.dataclass(frozen=True)
class Unfolds:
    """A cell of a table: a line that a page unfolds to a text, to be copied; a terminal shows the line alone."""

    line: str
    text: str

    def __str__(self) -> str:
        return self.line

    def _repr_html_(self) -> str:
        block = f'<div class="highlight-text"><div class="highlight"><pre>{html.escape(self.text)}</pre></div></div>'
        return f"<details><summary>{html.escape(self.line)}</summary>{block}</details>"


@dataclasses.dataclass(frozen=True)
class Link:
    """A cell of a table: words that lead to an address, which is what a terminal shows."""

    words: str
    address: str

    def __str__(self) -> str:
        return self.address

    def _repr_html_(self) -> str:
        return f'<a class="reference external" href="{html.escape(self.address)}">{html.escape(self.words)}</a>'


class Table:
    """Rows of text; a notebook or a page shows it as an HTML table, a terminal as aligned columns.

    Args:
        head: Names of the columns.
        rows: One sequence of values for each row; a float is shown with three significant digits.
    """

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence]) -> None:
        self.rows = rows
        self.lines = [
            [f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in (head, *rows)
        ]

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in self.lines
        )

    def _repr_html_(self) -> str:
        head, *rows = [[html.escape(cell) for cell in line] for line in self.lines]
        for line, row in zip(rows, self.rows, strict=True):
            line[:] = [_shown(value, text) for value, text in zip(row, line, strict=True)]
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        columns = "".join(f'<th scope="col">{cell}</th>' for cell in head)
        table = f'<table class="docutils"><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>'
        return f'<div class="table-wrapper">{table}</div>'


def _shown(value: object, text: str) -> str:
    """A cell of a page's table: what unfolds does, what leads on is a link, and a list is code, to be copied."""
    if isinstance(value, (Unfolds, Link)):
        return value._repr_html_()
    return f"<code>{text}</code>" if isinstance(value, list) else text


def draw_boxes(axes, result: dict, classes: Sequence[str], title: str) -> None:
    """Show an image with its boxes and their class names.

    Args:
        axes: A matplotlib axes.
        result: What a pipeline's step returns: ``img`` (height, width, 3), BGR, uint8; ``gt_bboxes`` (n, 4), x1, y1,
            x2, y2 in pixels; ``gt_labels`` (n,).
        classes: Names of the classes.
        title: What the picture is.
    """
    from matplotlib.patches import Rectangle

    axes.imshow(result["img"][..., ::-1])
    for (x1, y1, x2, y2), label in zip(result["gt_bboxes"], result["gt_labels"], strict=True):
        colour = COLOURS[label % len(COLOURS)]
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=colour, linewidth=1.5))
        axes.text(x1, y1, classes[label], color="black", fontsize=7, backgroundcolor=colour, va="top", clip_on=True)
    height, width = result["img"].shape[:2]
    axes.set_title(f"{title}, {width} × {height}")
    axes.set_axis_off()


def draw_stages(runs: dict[str, object], stages: Sequence[str]):
    """A heat map for each run, stage by epoch: how far the weights moved, and ``frozen`` where they could not.

    Args:
        runs: A :class:`howto.checkout.run.Run` by title.
        stages: Names of the stages, bottom up.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(1, len(runs), figsize=(4.5 * len(runs), 2.6), sharey=True, squeeze=False)
    for axis, (title, run) in zip(axes[0], runs.items(), strict=True):
        moved = np.array([run.moved(stage) for stage in stages])
        image = axis.imshow(np.where(moved > 0, moved, np.nan), aspect="auto", norm="log", vmin=1e-6, vmax=1e-1)
        for row, stage in enumerate(stages):
            for column, trains in enumerate(run.trains(stage)):
                text = f"{moved[row, column]:.0e}" if trains else "frozen"
                colour = "#7d7d7d" if not trains else "black" if moved[row, column] > 5e-4 else "white"
                axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.set_xticks(range(moved.shape[1]), [str(epoch) for epoch in run.epochs])
    axes[0][0].set_yticks(range(len(stages)), stages)
    figure.suptitle("How far the weights of each stage moved in each epoch")
    figure.colorbar(image, ax=axes, label="change of the weights / weights")
    return figure
