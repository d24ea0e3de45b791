"""Say what a how-to is made of, where executing it leaves what, and which there are."""

import dataclasses
import importlib.util
import json
import re
from pathlib import Path

from howto.project import files
from howto.project.errors import HowtoError
from howto.project.stacks import ROOT, Stack


@dataclasses.dataclass(frozen=True)
class HowTo:
    """A question with its answer: a gallery script and its snippets, of the family that a stack runs.

    Attributes:
        stack: The stack that it is executed on.
        topic: Its name, which is that of its snippets' folder.
    """

    stack: Stack
    topic: str

    @property
    def snippets(self) -> list[Path]:
        """Its snippet files, sorted by name."""
        return sorted((files.snippet_folder(self.stack.family) / self.topic).glob("*.py"))

    @property
    def script(self) -> Path:
        """Its gallery script."""
        return ROOT / "gallery" / self.stack.family / f"plot_{self.topic}.py"

    @property
    def words(self) -> list[Path]:
        """The files of prose that its script includes, as the script of another family does too."""
        names = re.findall(r"^# \.\. include:: (\S+)$", self.script.read_text("utf-8"), re.MULTILINE)
        return [(files.DOCS / files.GALLERY / name).resolve() for name in names]

    @property
    def question(self) -> str:
        """What it answers: the title of its script."""
        return re.search(r'"""\n(.+)\n=', self.script.read_text("utf-8"))[1]

    @property
    def answer(self) -> str:
        """Its answer in one sentence: the first below the title of its script."""
        text = re.search(r'"""\n.+\n=+\n\n(.+?)(\n\n|""")', self.script.read_text("utf-8"), re.DOTALL)[1]
        return re.match(r".+?(\.(?=\s)|$)", " ".join(text.replace("``", "").split()))[0]

    @property
    def lacking(self) -> str:
        """The package that it needs, by ``.. needs:: detectron2``, and that is not installed; else nothing."""
        text = self.script.read_text("utf-8") if self.script.exists() else ""
        names = re.findall(r"^\.\. needs:: (\w+)$", text, re.MULTILINE)
        return next((name for name in names if not importlib.util.find_spec(name)), "")

    @property
    def record(self) -> Path:
        """Where its checks are written, with what they ran on."""
        return files.records(self.stack) / f"{self.topic}.json"

    @property
    def state(self) -> Path:
        """Where is kept how far its page has come, and from what."""
        return files.DOCS / files.GALLERY / f"plot_{self.topic}.state.json"

    @property
    def outputs(self) -> Path:
        """Where what its cells put out is kept, beside its page."""
        return files.DOCS / files.GALLERY / f"plot_{self.topic}.outputs.json"

    @property
    def cost(self) -> float:
        """Seconds that its page took when it last ran, as sphinx-gallery keeps it, else those of gallery/costs.json."""
        path = files.DOCS / files.GALLERY / f"plot_{self.topic}.cost.json"
        if path.exists():
            return float(json.loads(path.read_text("utf-8"))["time"])
        return float(json.loads((ROOT / "gallery" / "costs.json").read_text("utf-8")).get(self.topic, 30))


def of(stack: Stack) -> list[HowTo]:
    """The how-tos of a stack, by name."""
    return [HowTo(stack, topic) for topic in files.topics(stack.family)]


def find(stack: Stack, topic: str) -> HowTo:
    """The how-to of that name.

    Raises:
        HowtoError: There is none.
    """
    if topic not in (names := files.topics(stack.family)):
        raise HowtoError(f"there is no how-to {topic!r}; there are: {', '.join(names)}")
    return HowTo(stack, topic)


def runnable(stack: Stack) -> list[HowTo]:
    """Those that can be executed with what is installed."""
    return [howto for howto in of(stack) if not howto.lacking]


def chosen(stack: Stack, topics: list[str]) -> list[HowTo]:
    """The how-tos of these names, or all that can be executed if none is named.

    Raises:
        HowtoError: There is no such how-to, or it needs a package that is not installed.
    """
    named = [find(stack, topic) for topic in topics]
    for howto in named:
        if package := howto.lacking:
            raise HowtoError(f"{howto.topic} needs {package}, which is not installed; its page says how to install it")
    return named or runnable(stack)


def groups(stack: Stack) -> dict[str, list[HowTo]]:
    """Those of a stack in the order of the navigation, as ``gallery/groups.json`` has them; others come last."""
    left = files.topics(stack.family)
    found = {}
    for name, listed in json.loads((ROOT / "gallery" / "groups.json").read_text("utf-8")).items():
        found[name] = [HowTo(stack, topic) for topic in listed if topic in left]
        left = [topic for topic in left if topic not in listed]
    found["More"] = [HowTo(stack, topic) for topic in left]
    return {name: members for name, members in found.items() if members}
