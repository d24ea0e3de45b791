"""Show what a loss makes of one prediction: its value, its gradient, and how a class is weighed."""

from collections.abc import Callable, Sequence

from howto.figures.show import COLOURS


def draw(axes: Sequence, losses: dict[str, Callable]) -> None:
    """Draw losses and their gradients over the difference of a prediction from its target.

    Args:
        axes: Two matplotlib axes.
        losses: Losses of boxes, as a head calls them, by what a legend calls them.
    """
    import torch

    difference = torch.linspace(-3, 3, 121)
    for (name, loss), style in zip(losses.items(), ("--", ":", "-"), strict=False):
        predicted = difference.clone().requires_grad_()
        each = loss(predicted, torch.zeros_like(predicted), reduction_override="none")
        axes[0].plot(difference, each.detach(), style, label=name)
        axes[1].plot(difference, torch.autograd.grad(each.sum(), predicted)[0], style)
    axes[0].legend(frameon=False, labelcolor="0.5")
    for axis in axes:
        axis.set_xlabel("prediction minus target")


def pull(loss: Callable, label: int, outputs: int):
    """The gradient of a head's outputs for one proposal, which they score alike.

    Args:
        loss: A loss of classes, as a head calls it.
        label: The class of the proposal.
        outputs: Number of outputs.

    Returns:
        A tensor (outputs,).
    """
    import torch

    scores = torch.zeros(1, outputs, requires_grad=True)
    loss(scores, torch.tensor([label])).backward()
    return scores.grad[0]


def draw_pulls(axes, names: Sequence[str], before: Sequence, after: Sequence) -> None:
    """Draw how strongly a proposal of each class pulls at the outputs, without weights and with them: bars.

    Args:
        axes: A matplotlib axes.
        names: Of each class.
        before: The gradient of :func:`pull` for each class, without weights.
        after: The same with weights.
    """
    for shift, name, gradients, colour in (-0.2, "without", before, COLOURS[1]), (0.2, "with", after, COLOURS[0]):
        heights = [float(each.abs().sum()) for each in gradients]
        axes.bar([place + shift for place in range(len(names))], heights, 0.4, color=colour, label=name)
    axes.set_xticks(range(len(names)), names)
    axes.legend(frameon=False, labelcolor="0.5")
