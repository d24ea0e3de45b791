"""Say what a how-to is made of, where executing it leaves what, and which there are."""

import dataclasses
import importlib.util
import json
import re
from pathlib import Path

from howto.project import files, rendering
from howto.project.errors import HowtoError
from howto.project.record import write_text
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
    def examples(self) -> Path:
        """What its readers may ask Python, with the answers, as :mod:`doctest` takes it. Not every how-to has it."""
        return files.snippet_folder(self.stack.family) / self.topic / "ask_python.txt"

    @property
    def source(self) -> Path:
        """Its gallery script as people write it: one for both families, see :mod:`howto.project.rendering`."""
        return ROOT / "gallery" / f"plot_{self.topic}.py"

    @property
    def text(self) -> str:
        """Its gallery script as it is executed: the source, rendered for its family."""
        return rendering.render(self.source, self.stack.family)

    def snippet(self, name: str) -> Path:
        """One of its files, by the name that it has in either family: MMDetection 3 has ``-`` where 2 has ``_``.

        Raises:
            HowtoError: It has no such file.
        """
        name = name.removeprefix(f"{self.topic}/")
        for path in sorted(self.snippets, key=lambda path: path.name != name):  # where both exist, each is what it says
            if one_spelling(path.name) == one_spelling(name):
                return path
        names = ", ".join(path.name for path in self.snippets)
        raise HowtoError(f"{self.topic} has no file {name}; it has {names}")

    @property
    def config(self) -> Path:
        """The config that its readers train: that of its first ``train`` directive.

        Raises:
            HowtoError: It has no such directive.
        """
        if named := re.search(r"^# \.\. train:: (\S+)$", self.text, re.MULTILINE):
            return self.snippet(named[1])
        raise HowtoError(f"{self.source.name} has no `.. train:: FILE`; name the config")

    @property
    def script(self) -> Path:
        """Where that lies once :func:`write_scripts` has written it."""
        return files.scripts(self.stack) / self.source.name

    def at(self, line: int) -> str:
        """What a line of the executed script is to whoever writes it: the source and its line, as ``PATH:LINE``."""
        lines = rendering.source_lines(self.source, self.stack.family)
        return f"{self.source.relative_to(ROOT)}:{lines[line - 1]}"

    @property
    def question(self) -> str:
        """What it answers: the title of its script."""
        return re.search(r'"""\n(.+)\n=', self.text)[1]

    @property
    def answer(self) -> str:
        """Its answer in one sentence of reStructuredText: the first below the title of its script."""
        text = re.search(r'"""\n.+\n=+\n\n(.+?)(\n\n|""")', self.text, re.DOTALL)[1]
        return re.match(r".+?(\.(?=\s)|$)", " ".join(text.split()))[0]

    @property
    def lacking(self) -> str:
        """The package that it needs, by ``.. needs:: detectron2``, and that is not installed; else nothing."""
        text = self.text if self.source.exists() else ""
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
        """Seconds that its page took when it last ran, as sphinx-gallery keeps it, else as it once did."""
        path = files.DOCS / files.GALLERY / f"plot_{self.topic}.cost.json"
        if path.exists():
            return float(json.loads(path.read_text("utf-8"))["time"])
        kept = json.loads(files.COSTS.read_text("utf-8")) if files.COSTS.exists() else {}
        return float(kept.get(self.topic, 30))


def one_spelling(name: str) -> str:
    """A file's name as both families would have it: ``yolox_s_8xb8-300e_coco.py`` is ``yolox_s_8x8_300e_coco.py``."""
    return re.sub(r"(\d)xb(\d)", r"\1x\2", name.replace("-", "_"))


def every(stack: Stack) -> list[HowTo]:
    """The how-tos of a stack, by name."""
    return [HowTo(stack, topic) for topic in files.topics(stack.family)]


def write_scripts(stack: Stack) -> Path:
    """Write the gallery scripts of a stack, each rendered for its family, and return their folder.

    One that is as it was keeps its time. What how-tos left that are no more is deleted.
    """
    folder = files.scripts(stack)
    texts = {howto.script: howto.text for howto in every(stack) if howto.source.exists()}
    texts[folder / "GALLERY_HEADER.rst"] = "How-tos\n=======\n"  # which sphinx-gallery asks for, and no page shows
    for path, text in texts.items():
        if not path.exists() or path.read_text("utf-8") != text:
            write_text(path, text)
    for path in set(folder.iterdir()) - set(texts):
        path.unlink()
    return folder


def by_topic(stack: Stack, topic: str) -> HowTo:
    """The how-to of that name.

    Raises:
        HowtoError: There is none.
    """
    if topic not in (names := files.topics(stack.family)):
        raise HowtoError(f"there is no how-to {topic!r}; there are: {', '.join(names)}")
    return HowTo(stack, topic)


def runnable(stack: Stack) -> list[HowTo]:
    """Those that can be executed with what is installed."""
    return [howto for howto in every(stack) if not howto.lacking]


def select(stack: Stack, topics: list[str]) -> list[HowTo]:
    """The how-tos of these names, or all that can be executed if none is named.

    Raises:
        HowtoError: There is no such how-to, or it needs a package that is not installed.
    """
    named = [by_topic(stack, topic) for topic in topics]
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
