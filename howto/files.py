"""Say where the files of a how-to lie."""

from pathlib import Path

from howto.errors import HowtoError
from howto.stacks import ROOT


def snippet_folder(family: str) -> Path:
    """Folder of the snippets of `family`."""
    return ROOT / "snippets" / family


def snippet_files(family: str, topic: str) -> list[Path]:
    """The snippet files of a how-to, sorted by name."""
    return sorted((snippet_folder(family) / topic).glob("*.py"))


def script(family: str, topic: str) -> Path:
    """The gallery script of a how-to."""
    return ROOT / "gallery" / family / f"plot_{topic}.py"


def topics(family: str) -> list[str]:
    """Names of the how-tos of `family`: the folders of its snippets, sorted."""
    return sorted(path.name for path in snippet_folder(family).iterdir() if snippet_files(family, path.name))


def check_topic(family: str, topic: str) -> str:
    """Return `topic`.

    Raises:
        HowtoError: If there is no such how-to.
    """
    if topic not in topics(family):
        raise HowtoError(f"there is no how-to {topic!r}; there are: {', '.join(topics(family))}")
    return topic
