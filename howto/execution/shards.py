"""Execute a part of the pages on each of several machines, and bring together what they made."""

import os
import re
import tarfile
import tempfile
from pathlib import Path

from howto.execution import fingerprint
from howto.project import files, howtos, stacks
from howto.project.errors import HowtoError
from howto.project.files import BUILD, DOCS
from howto.project.howtos import HowTo
from howto.project.settings import Settings
from howto.project.stacks import Stack


def of_this_machine(stack: Stack) -> list[HowTo]:
    """The how-tos that this machine executes: all that it can, or those of its shard.

    The costly ones are dealt out first, each to the shard that has least. A cost is the time that the page took when it
    last ran here; so shards agree if all of them start from the same pages, or from none.
    """
    found = howtos.runnable(stack)
    if not (part := Settings.from_environ().shard):
        return found
    index, of = part
    shards, loads = [[] for _ in range(of)], [0.0] * of
    for howto in sorted(found, key=lambda howto: (-howto.cost, howto.topic)):
        least = loads.index(min(loads))
        shards[least].append(howto)
        loads[least] += howto.cost
    return sorted(shards[index - 1], key=lambda howto: howto.topic)


def pack(stack: Stack, executed: list[HowTo]) -> Path:
    """Write what executing how-tos left into ``docs/_build/bundles/``, for :func:`merge`; the path of the bundle."""
    index, of = Settings.from_environ().shard
    path = BUILD / "bundles" / f"{stack.name}-{index}-of-{of}.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}.half")
    with tarfile.open(half, "w:gz") as bundle:
        for howto in executed:
            for made in _made(howto):
                bundle.add(made, made.relative_to(DOCS), recursive=False)
    half.replace(path)
    return path


def merge(bundles: list[Path]) -> int:
    """Put the pages of bundles into this checkout, so that the next build executes none of them.

    Raises:
        HowtoError: A bundle cannot be read, is of another stack, or holds a page that would come out otherwise here.
    """
    stack = stacks.current()
    with files.building():
        files.take_gallery(stack)
        found = {}
        for bundle in bundles:
            for howto in _unpack(stack, bundle):
                found[howto] = bundle
        stale = {howto: parts for howto in found if (parts := fingerprint.changed(howto))}
    if stale:
        listed = "\n  ".join(f"{howto.topic}, of {found[howto]}: {', '.join(parts)}" for howto, parts in stale.items())
        raise HowtoError(f"these were executed from something else, so the next build executes them:\n  {listed}")
    missing = sorted(howto.topic for howto in set(howtos.runnable(stack)) - set(found))
    left = f"; no bundle has {', '.join(missing)}" if missing else ""
    print(f"{len(found)} pages from {len(bundles)} bundles{left}; `tox -e docs` builds the site")
    return 0


def _made(howto: HowTo) -> list[Path]:
    """The files that executing a how-to leaves."""
    pages, name = DOCS / files.GALLERY, re.escape(f"plot_{howto.topic}")
    pattern = re.compile(rf"{name}(\.[\w.]+)|sphx_glr_{name}_(\d+(_\d_\d\dx)?|thumb)\.\w+")
    found = [path for path in sorted(pages.rglob("*")) if path.is_file() and pattern.fullmatch(path.name)]
    return [*found, howto.record]


def _unpack(stack: Stack, bundle: Path) -> list[HowTo]:
    """Put the files of one bundle in their places; the how-tos that it has."""
    record = f"{files.records(stack).relative_to(DOCS).as_posix()}/"
    try:
        with tarfile.open(bundle) as content:
            names = content.getnames()
            ours = all(name.startswith((f"{files.GALLERY}/", record)) and ".." not in name for name in names)
            if not ours or not all(member.isfile() for member in content):
                raise HowtoError(f"{bundle} is no bundle of {stack.name}; HOWTO_STACK names the stack")
            with tempfile.TemporaryDirectory(dir=BUILD) as folder:  # nothing is put in place from a broken one
                content.extractall(folder)  # plain files alone; Python 3.11.2, Debian 12's, knows no filter
                for name in names:
                    (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
                    (Path(folder) / name).replace(DOCS / name)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise HowtoError(f"{bundle} cannot be read: {error}; have its shard write it again") from error
    return [HowTo(stack, Path(name).stem) for name in names if name.startswith(record)]
