"""The files of a checkout: where a how-to's lie in it, how they are called, and variants of them."""

import contextlib
import difflib
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path

from howto.checkout import checkpoints, coco
from howto.project.errors import HowtoError
from howto.project.files import snippet_folder
from howto.project.howtos import HowTo, one_spelling
from howto.project.quiet import quiet
from howto.project.settings import Settings
from howto.project.shown import show
from howto.project.stacks import ROOT


class Layout:
    """The folder of an MMDetection checkout, with one how-to's files under ``configs/``.

    Args:
        howto: The how-to.
        root: An empty folder. It gets the stock ``configs/`` and ``tools/`` of the installed mmdet, a COCO in
            ``data/coco/`` and a data set of other classes in ``data/my_dataset/``.

    Raises:
        HowtoError: If ``HOWTO_COCO`` is no COCO.
    """

    def __init__(self, howto: HowTo, root: Path) -> None:
        self.root, self.topic = root, howto.topic
        self.source = snippet_folder(howto.stack.family) / howto.topic
        with quiet():
            import mmdet

        mim = Path(mmdet.__file__).parent / ".mim"
        configs = root / "configs"
        configs.mkdir()
        for stock in (mim / "configs").iterdir():
            (configs / stock.name).symlink_to(stock)
        (root / "tools").symlink_to(mim / "tools")
        self.folder = configs / self.topic
        shutil.copytree(self.source, self.folder, ignore=shutil.ignore_patterns("__pycache__", "*.txt"))
        data = root / "data" / "coco"
        mini = data
        if real := Settings.from_environ().coco:
            coco.sample_coco(real.resolve(), data, checkpoints.cache_folder().parents[1] / "coco")
            mini = root / ".mini"
        coco.make_mini_coco(mini)
        coco.make_own_dataset(root / "data" / "my_dataset", mini)

    def path(self, name: str) -> Path:
        """A file of this how-to, or any below ``configs/``, by its name in either family.

        Raises:
            HowtoError: If there is none.
        """
        for path in (self.folder / name, self.root / "configs" / name):
            if path.exists():
                return path
            beside = path.parent.iterdir() if path.parent.is_dir() else ()
            if found := [each for each in beside if one_spelling(each.name) == one_spelling(path.name)]:
                return found[0]
        names = ", ".join(sorted(path.name for path in self.source.glob("*.py")))
        raise HowtoError(f"{self.topic} has no file {name}; it has {names}")

    def shown(self, path: Path) -> str:
        """A file of this how-to as its place in the project, any other as its place in the checkout."""
        if path.is_relative_to(self.folder) and (self.source / path.name).exists():
            return f"snippets/{self.source.parent.name}/{self.topic}/{path.name}"
        return str(path.relative_to(self.root))

    def check_syntax(self, path: Path) -> None:
        """Stop at a file and those beside it if one is no Python.

        Raises:
            HowtoError: With the line of the first that is none.
        """
        for file in (path, *path.parent.glob("*.py")):
            try:
                compile(file.read_text("utf-8"), str(file), "exec")
            except SyntaxError as error:
                raise HowtoError(
                    f"{self.shown(file)}:{error.lineno}: syntax error: {error.msg}; mend that line"
                ) from error

    def edit(self, name: str, changes: dict[str, str], adapts: bool) -> str:
        """Make a variant of a file and print the difference, see :meth:`howto.checkout.workspace.Workspace.edit`."""
        path = self.path(name)
        before = path.read_text("utf-8")
        published = ROOT.joinpath("snippets", *self.source.parts[-2:], path.name)
        if any(before.count(old) != 1 for old in changes) and published.exists():
            before = published.read_text("utf-8")
        after = before
        for old, new in changes.items():
            if after.count(old) != 1:
                raise HowtoError(f"{self.shown(path)}: {old!r} occurs {after.count(old)} times, not once")
            after = after.replace(old, new)
        number = len(list(path.parent.glob(f"{path.stem}_variant*.py"))) + 1
        variant = path.with_name(f"{path.stem}_variant{number}.py")
        variant.write_text(after, "utf-8")
        sides = [(after.splitlines(), variant.name), (before.splitlines(), path.name)]
        (one, first), (other, second) = reversed(sides) if adapts else sides
        lines = list(difflib.unified_diff(one, other, first, second, "", "", n=1))
        shown = [" …" if line.startswith("@@ ") else line for line in lines[3:]]  # without the head and the first place
        show("difference", "\n".join(lines), file=path.name, adapts=adapts, lines=shown)
        return variant.name

    @contextlib.contextmanager
    def naming_snippets(self) -> Iterator[None]:
        """Add to an exception the snippet and line it came from."""
        try:
            yield
        except HowtoError:
            raise
        except Exception as error:
            for frame in reversed(traceback.extract_tb(error.__traceback__)):
                if Path(frame.filename).is_relative_to(self.folder):
                    error.add_note(f"raised in {self.shown(Path(frame.filename))}:{frame.lineno}")
                    break
            raise
