"""Measure what building executed documentation costs: this project, its peers, and the code alone.

``tox -e bench`` runs it. The pages are those of ``gallery/`` (``--pages real``), light ones that are generated and each
build a ResNet (``--pages light``), or ones that add 1 and 1 (``--pages cheap``). Every tool gets the same code in the
same cells. The tools take turns, round by round; what is reported is medians, their spread, and ratios.
``--pages themes`` weighs the built pages instead.
"""

import abc
import argparse
import compileall
import contextlib
import dataclasses
import importlib.util
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import themes  # noqa: E402  beside this file

from howto.execution import fingerprint  # noqa: E402
from howto.project import files, howtos, record, stacks  # noqa: E402
from howto.project.errors import HowtoError  # noqa: E402

FAMILY = stacks.current().family
LIGHT = '''"""
Channels of a ResNet ({topic})
=========================================

Few words.
"""

# %%
# .. snippet:: {topic}/one.py

# %%
# It is built and asked.
import runpy

import mmdet
import torch
from howto.project import files
from howto.project.record import Record, sha256
from mmdet.models import build_backbone

snippet = files.snippet_folder("{family}") / "{topic}" / "one.py"
record = Record("{topic}", "{stack}", {{"{family}/{topic}/one.py": sha256(snippet)}}, device="CPU")
backbone = build_backbone(dict(type="ResNet", depth=runpy.run_path(str(snippet))["depth"]))

# %%
with torch.no_grad():
    levels = backbone(torch.rand(1, 3, 64, 64))
record.check("channels", len(levels), 4)
print("channels", [level.shape[1] for level in levels], "with mmdet", mmdet.__version__)
'''
CHEAP = '''"""
How much is {topic}?
============================

Few words.
"""

# %%
# .. snippet:: {topic}/one.py

# %%
from howto.project import files
from howto.project.record import Record, sha256

snippet = files.snippet_folder("{family}") / "{topic}" / "one.py"
record = Record("{topic}", "{stack}", {{"{family}/{topic}/one.py": sha256(snippet)}}, device="CPU")
record.check("the sum", 1 + 1, 2)
'''
CONF = """
extensions = {extensions}
exclude_patterns = ["_build", "**.py"]
suppress_warnings = ["config.cache"]
{more}
"""


@dataclasses.dataclass(frozen=True)
class Run:
    """What one command took.

    Attributes:
        seconds: From its start to its end.
        mib: The most memory that it and its children were seen to have together; None if it ended before a look.
    """

    seconds: float
    mib: int | None


class Peer(abc.ABC):
    """A tool that builds pages in a folder of its own, from the same scripts and snippets.

    Attributes:
        name: What the table calls it.
        renders: Whether pages come out.
    """

    name = ""
    renders = True

    def __init__(self, place: Path, scripts: dict[str, str], snippets: Path, overlay: Path) -> None:
        self.place, self.scripts = place, scripts
        place.mkdir()
        self.snippets = Path(shutil.copytree(snippets, place / "snippets"))
        paths = [str(overlay), str(ROOT), *filter(None, [os.environ.get("HOWTO_BENCH_PEERS")])]
        self.environment = {
            **os.environ,
            "HOWTO_SNIPPETS": str(self.snippets),
            "MPLBACKEND": "agg",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONWARNINGS": "ignore",
        }
        self.set_up()

    @abc.abstractmethod
    def set_up(self) -> None:
        """Write the sources, once."""

    @abc.abstractmethod
    def write(self, topic: str, script: str) -> None:
        """Write the source of one page."""

    @abc.abstractmethod
    def command(self) -> list[str]:
        """What builds the pages."""

    @abc.abstractmethod
    def html(self, topic: str) -> Path:
        """The page of a topic."""

    @abc.abstractmethod
    def forget(self) -> None:
        """Drop all that was built."""

    def build(self) -> Run:
        started, seen, done = time.monotonic(), [], threading.Event()
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            process = subprocess.Popen(
                self.command(), cwd=self.place, env=self.environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )

            def watch() -> None:
                while not done.wait(0.1):
                    seen.append(memory(process.pid))

            watcher = threading.Thread(target=watch)
            watcher.start()
            code = process.wait()
            seconds = time.monotonic() - started
            done.set()
            watcher.join()
            if code:
                said.seek(0)
                raise SystemExit(f"{self.name} failed in {self.place}:\n{said.read()[-5000:]}")
        return Run(seconds, max(seen, default=0) or None)

    def shows(self, topic: str, text: str) -> bool:
        return text in re.sub(r"<[^>]*>|&#\d+;", "", self.html(topic).read_text("utf-8"))


def memory(pid: int) -> int:
    """MiB that a process and those that it started have now; what some of them share counts once."""
    total, processes = 0, []
    with contextlib.suppress(psutil.NoSuchProcess):
        processes = [process := psutil.Process(pid), *process.children(recursive=True)]
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended, or is about to
            total += each.memory_full_info().pss
    return total // 2**20


class This(Peer):
    name = "this project"
    workers = 1

    def set_up(self) -> None:
        self.project = self.place / "project"
        shutil.copytree(ROOT, self.project, ignore=files.NO_SOURCES)
        for folder in ("snippets", "gallery"):
            kept = ("words", "GALLERY_HEADER.rst")
            for path in [*self.project.joinpath(folder, FAMILY if folder == "snippets" else "").iterdir()]:
                if path.name not in kept and (path.is_dir() or path.suffix == ".py"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(self.project / "snippets" / FAMILY)
        (self.project / "snippets" / FAMILY).symlink_to(self.snippets / FAMILY)
        (self.project / ".tox").mkdir()
        (self.project / ".tox" / stacks.current().environment.name).symlink_to(stacks.current().environment)
        own = self.environment["PYTHONPATH"].replace(str(ROOT), str(self.project))
        self.environment |= {"PYTHONPATH": own, "HOWTO_WORKERS": str(self.workers)}
        del self.environment["HOWTO_SNIPPETS"]
        compileall.compile_dir(self.project / "howto", quiet=2)
        for topic, script in self.scripts.items():
            self.write(topic, script)

    def write(self, topic: str, script: str) -> None:
        (self.project / "gallery" / f"plot_{topic}.py").write_text(script, "utf-8")

    def command(self) -> list[str]:
        return ["sh", "-c", f"cd {self.project} && {sys.executable} -m howto build"]

    def html(self, topic: str) -> Path:
        return self.project / f"docs/_build/html/{stacks.current().name}/how-to/plot_{topic}.html"

    def forget(self) -> None:
        shutil.rmtree(self.project / "docs/_build", ignore_errors=True)
        shutil.rmtree(self.project / "docs/how-to", ignore_errors=True)


class ThisTwo(This):
    name = "this project, 2 workers"
    workers = 2


class SphinxGallery(Peer):
    name = "sphinx-gallery"

    def set_up(self) -> None:
        self.source, self.out = self.place / "docs", self.place / "out"
        (self.place / "gallery").mkdir(parents=True)
        self.source.mkdir()
        (self.place / "gallery" / "GALLERY_HEADER.rst").write_text("How-tos\n=======\n", "utf-8")
        (self.source / "index.rst").write_text("Index\n=====\n\n.. toctree::\n\n   how-to/index\n", "utf-8")
        self.configure()
        for topic, script in self.scripts.items():
            self.write(topic, script)

    def configure(self) -> None:
        more = 'sphinx_gallery_conf = dict(examples_dirs=["../gallery"], gallery_dirs=["how-to"])'
        (self.source / "conf.py").write_text(CONF.format(extensions=["sphinx_gallery.gen_gallery"], more=more), "utf-8")

    def write(self, topic: str, script: str) -> None:
        shown = re.sub(r"# \.\. snippet:: (\S+)", rf"# .. literalinclude:: /../snippets/{FAMILY}/\1", script)
        (self.place / "gallery" / f"plot_{topic}.py").write_text(shown, "utf-8")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(self.source), str(self.out)]

    def html(self, topic: str) -> Path:
        return self.out / f"how-to/plot_{topic}.html"

    def forget(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.rmtree(self.source / "how-to", ignore_errors=True)


class Notebooks(SphinxGallery):
    """Notebooks with the scripts' cells, made by sphinx-gallery's own converter."""

    def set_up(self) -> None:
        super().set_up()
        names = "\n".join(f"   plot_{topic}" for topic in self.scripts)
        (self.source / "index.rst").write_text(f"Index\n=====\n\n.. toctree::\n\n{names}\n", "utf-8")

    def write(self, topic: str, script: str) -> None:
        from sphinx_gallery.notebook import python_to_jupyter_cli

        super().write(topic, script)
        path = self.place / "gallery" / f"plot_{topic}.py"
        python_to_jupyter_cli([str(path)])
        path.with_suffix(".ipynb").rename(self.source / f"plot_{topic}.ipynb")

    def html(self, topic: str) -> Path:
        return self.out / f"plot_{topic}.html"


class MystNB(Notebooks):
    name = "MyST-NB with jupyter-cache"

    def configure(self) -> None:
        more = 'nb_execution_mode = "cache"\nnb_execution_timeout = 900\nnb_execution_raise_on_error = True'
        (self.source / "conf.py").write_text(CONF.format(extensions=["myst_nb"], more=more), "utf-8")

    def forget(self) -> None:
        super().forget()
        shutil.rmtree(self.place / ".jupyter_cache", ignore_errors=True)  # beside the folder that it builds into


class NbSphinx(Notebooks):
    name = "nbsphinx"

    def configure(self) -> None:
        pandoc = Path(os.environ["HOWTO_BENCH_PEERS"], "pypandoc", "files")  # the wheel brings the program
        self.environment["JUPYTER_PATH"] = str(Path(os.environ["HOWTO_BENCH_PEERS"], "share", "jupyter"))
        self.environment["PATH"] = f"{pandoc}{os.pathsep}{os.environ['PATH']}"
        more = 'nbsphinx_execute = "always"\nnbsphinx_timeout = 900'
        (self.source / "conf.py").write_text(CONF.format(extensions=["nbsphinx"], more=more), "utf-8")


class Loop(SphinxGallery):
    name = "a shell loop"
    renders = False

    def command(self) -> list[str]:
        run = f'for script in gallery/plot_*.py; do {sys.executable} "$script" || exit 1; done'
        return ["sh", "-c", run]


class Limit(Loop):
    name = "the code alone"

    def command(self) -> list[str]:
        run = "import runpy, sys; [runpy.run_path(path, run_name='__main__') for path in sys.argv[1:]]"
        scripts = sorted(map(str, (self.place / "gallery").glob("plot_*.py")))
        return [sys.executable, "-c", run, *scripts]


PEERS = (This, ThisTwo, SphinxGallery, MystNB, NbSphinx, Loop, Limit)


@dataclasses.dataclass
class Material:
    """Scripts and snippets to build pages from."""

    scripts: dict[str, str]
    snippets: Path


def real(place: Path) -> Material:
    scripts = {howto.topic: howto.text for howto in howtos.runnable(stacks.current())}
    return Material(scripts, Path(shutil.copytree(ROOT / "snippets", place / "snippets")))


def generated(place: Path, body: str, number: int) -> Material:
    scripts = {}
    for index in range(number):
        topic = f"page_{index:03}"
        folder = place / "snippets" / FAMILY / topic
        folder.mkdir(parents=True)
        (folder / "one.py").write_text("depth = 50\n", "utf-8")
        scripts[topic] = body.format(topic=topic, family=FAMILY, stack=stacks.current().name)
    return Material(scripts, place / "snippets")


def make_overlay(place: Path) -> Path:
    """A copy of the installed mmdet that comes first on the module path, to be edited."""
    installed = Path(importlib.util.find_spec("mmdet").origin).parent
    shutil.copytree(installed, place / "mmdet", ignore=shutil.ignore_patterns("__pycache__", ".mim"))
    (place / "mmdet" / ".mim").symlink_to(installed / ".mim")
    compileall.compile_dir(place / "mmdet", quiet=2)
    return place


def edit(path: Path, old: str, new: str) -> Callable[[], None]:
    """Replace a text in a file; what is returned puts it back."""
    before = path.read_text("utf-8")
    if old not in before:
        raise SystemExit(f"{path} does not contain {old!r}")
    path.write_text(before.replace(old, new, 1), "utf-8")
    return lambda: path.write_text(before, "utf-8")


def cases(peer: Peer, overlay: Path, light: bool) -> dict[str, tuple[Run, int | None]]:
    """Build clean, then after each kind of edit; with the number of pages that show what is no longer true."""
    first = sorted(peer.scripts)[0]
    peer.forget()
    found = {"clean build": (peer.build(), None)}
    if not peer.renders:
        return found
    found["nothing changed"] = (peer.build(), None)
    if not light:
        return found
    edit(peer.snippets / FAMILY / first / "one.py", "depth = 50", "depth = 18")
    found["one snippet edited"] = (peer.build(), int(not peer.shows(first, "[64, 128, 256, 512]")))
    peer.write(first, peer.scripts[first].replace("Few words.", "Other words."))
    found["one page's text edited"] = (peer.build(), int(not peer.shows(first, "Other words.")))
    if isinstance(peer, This):
        edit(peer.project / "howto/project/record.py", '"""Keep what', '"""Keep all that')
        found["a module of howto edited"] = (peer.build(), None)
    put_back = edit(overlay / "mmdet/version.py", "2.28.2", "2.28.9")
    run = peer.build()
    found["installed mmdet edited"] = (run, sum(not peer.shows(topic, "mmdet 2.28.9") for topic in peer.scripts))
    put_back()
    return found


def compare(pages: str, rounds: int, number: int, peers: tuple[type[Peer], ...], console: Console) -> Iterator[dict]:
    """Have the tools take turns; after each round, every figure so far by case and tool."""
    body = {"light": LIGHT, "cheap": CHEAP}.get(pages)
    results: dict = {}
    # What only the first of all pays: bytecode that nobody has compiled yet, files that no one has read.
    warm = "import matplotlib.pyplot, mmdet.apis, nbclient, sphinx.application"
    subprocess.run([sys.executable, "-W", "ignore", "-c", warm], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(prefix="bench-") as shared:
        overlay = make_overlay(Path(shared))
        for ended in range(1, rounds + 1):
            for kind in peers:
                with tempfile.TemporaryDirectory(prefix="bench-") as name:
                    place = Path(name)
                    material = generated(place, body, number) if body else real(place)
                    peer = kind(place / "peer", material.scripts, material.snippets, overlay)
                    console.print(f"{pages}, {len(material.scripts)} pages, round {ended} of {rounds}: {peer.name}")
                    for case, (run, stale) in cases(peer, overlay, pages == "light").items():
                        item = results.setdefault(case, {})
                        item = item.setdefault(peer.name, {"seconds": [], "mib": [], "stale": None})
                        item["seconds"].append(round(run.seconds, 2))
                        item["mib"] += [] if run.mib is None else [run.mib]
                        item["stale"] = stale
            yield {"pages": len(material.scripts), "kind": pages, "rounds": ended, "cases": results}


def show(found: dict, console: Console) -> None:
    table = Table("case", "tool", "median s", "spread", "× this project", "MiB", "stale pages")
    for case, tools in found["cases"].items():
        own = statistics.median(tools[This.name]["seconds"])
        for name, item in tools.items():
            seconds = item["seconds"]
            spread = f"{min(seconds):.1f} to {max(seconds):.1f}"
            middle = statistics.median(seconds)
            stale = "" if item["stale"] is None else str(item["stale"])
            mib = str(max(item["mib"], default=""))
            table.add_row(case, name, f"{middle:.1f}", spread, f"{middle / own:.2f}", mib, stale)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", choices=["light", "real", "cheap", "themes"], default="light")
    parser.add_argument("--number", type=int, default=5, help="how many pages are generated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", nargs="*", choices=[peer.__name__ for peer in PEERS])
    parser.add_argument("--themes", nargs="*", default=themes.THEMES, help="which ones --pages themes looks at")
    arguments = parser.parse_args()
    peers = tuple(peer for peer in PEERS if not arguments.tools or peer.__name__ in arguments.tools)
    console = Console(width=140)
    if arguments.pages == "themes":
        weighed = themes.weigh(ROOT, stacks.current(), arguments.themes, console.print)
        keep({"kind": "themes", "pages": len(files.topics(FAMILY)), "rounds": 1, "themes": weighed})
        console.print(weighed)
    else:
        for found in compare(arguments.pages, arguments.rounds, arguments.number, peers, console):
            keep(found)  # a round takes up to half an hour
            show(found, console)
    console.print(f"written to {files.benchmarks().relative_to(ROOT)}")


def keep(found: dict) -> None:
    """Write what was measured in the place of what was last measured of the same pages."""
    found["machine"] = f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, {stacks.current().title}"
    found |= {"date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": fingerprint.commit()}
    path = files.benchmarks()
    before = json.loads(path.read_text("utf-8")) if path.exists() else []
    key = ("kind", "pages")
    kept = [item for item in before if [item[name] for name in key] != [found[name] for name in key]]
    record.write_json(path, sorted([*kept, found], key=lambda item: (item["kind"], item["pages"])))


if __name__ == "__main__":
    try:
        main()
    except HowtoError as error:
        sys.exit(f"bench: {error}")
