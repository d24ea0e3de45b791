"""Lead from where a how-to first names a class to its source, and from a config's key to what the key does."""

import functools
import importlib.util
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from howto.project import stacks
from howto.site.parts import howto_of

# Packages, the lines of a lock that name them, and where the source of a version is. For onedl's no tag is known.
REPOSITORIES = {
    "mmdet2": [
        ("mmdet", "mmdet", "mmdetection"),
        ("mmcv", "mmcv-full", "mmcv"),
        ("mmcls", "mmcls", "mmpretrain"),
    ],
    "mmdet3": [
        ("mmdet", "mmdet", "mmdetection"),
        ("mmengine", "mmengine", "mmengine"),
        ("mmpretrain", "mmpretrain", "mmpretrain"),
    ],
}
CLASS = re.compile(r"^class (\w+)")


def setup(app: Sphinx) -> dict:
    """Register the step that links a page when it is written."""
    app.connect("doctree-resolved", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}


def link(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Link the first mention of each class and of each key of :doc:`keys` in the words of a how-to."""
    if app.builder.name != "html" or not howto_of(docname):
        return
    keys = {name: place for name, _, kind, *place in app.env.get_domain("std").get_objects() if kind == "term"}
    seen = set()
    for literal in list(doctree.findall(nodes.literal)):
        name = literal.astext()
        if name in seen or not isinstance(literal.parent, nodes.paragraph):
            continue
        if name in keys:
            page, anchor, _ = keys[name]
            address = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
        elif not (address := classes(stacks.current()).get(name.rpartition(".")[2], "")):
            continue
        seen.add(name)
        literal.replace_self(nodes.reference("", "", literal.deepcopy(), refuri=address, classes=["howto-source"]))


@functools.cache
def classes(stack: stacks.Stack) -> dict[str, str]:
    """The address of each class that one of the stack's MM packages defines; of a name that two define, the first's."""
    found = {}
    for package, locked, repository in REPOSITORIES.get(stack.name, ()):
        folder = Path(importlib.util.find_spec(package).origin).parent
        base = f"https://github.com/open-mmlab/{repository}/blob/v{stack.versions[locked]}"
        for path in sorted(folder.rglob("*.py")):
            if ".mim" in path.parts:
                continue
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                if match := CLASS.match(line):
                    place = path.relative_to(folder.parent).as_posix()
                    found.setdefault(match[1], f"{base}/{place}#L{number}")
    return found
