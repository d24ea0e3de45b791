"""Show which checkpoint an evaluation's score keeps, and where it ends a training."""

from collections.abc import Sequence


def checkpoints(checkout, config: str, remove: bool = False) -> list[str]:
    """The file names of the checkpoints that runs of `config` left, sorted; with `remove` they are deleted.

    Args:
        checkout: A :class:`howto.Workspace`.
        config: File name of a config.
        remove: Whether to delete them.
    """
    paths = sorted((checkout.root / "work_dirs" / config.removesuffix(".py")).glob("*_*.pth"))
    for path in paths if remove else []:
        path.unlink()
    return [path.name for path in paths]


def draw(axes, told: Sequence[float], ran: int, best: int) -> None:
    """Draw the score of each epoch, which one was kept, where training ended, and what came no more.

    Args:
        axes: A matplotlib axes.
        told: Scores from the first epoch on, the last one of an epoch that was not trained and had been better.
        ran: Number of epochs that were trained.
        best: The epoch whose checkpoint was kept, counted from 1.
    """
    axes.plot(range(1, ran + 1), told[:ran], "o-", color="#0072b2")
    axes.plot([ran, ran + 1], told[ran - 1 :], "o:", color="0.6")
    axes.text(ran + 0.9, told[-1], "would have been better", ha="right", va="center")
    arrow = dict(arrowstyle="->", color="0.5")
    for words, epoch, away in ("best, kept", best, 0.12), ("ends here", ran, -0.16):
        score = told[epoch - 1]
        axes.annotate(words, (epoch, score), (epoch, score + away), ha="center", arrowprops=arrow)
    axes.set_ylim(0, max(told) + 0.06)
    axes.set_xlabel("epoch")
