"""Tell whether a page would come out the same, without importing what it runs."""

import ast
import concurrent.futures
import contextlib
import functools
import hashlib
import importlib
import importlib.util
import json
import subprocess
from pathlib import Path

from howto.checkout import checkpoints, weights
from howto.execution import replay
from howto.execution.state import PageState
from howto.project import device, files, howtos, stacks
from howto.project.errors import HowtoError
from howto.project.howtos import HowTo
from howto.project.settings import Settings
from howto.project.stacks import ROOT, Stack

# What runs around each page, and modules whose names are strings where they are imported: in processes and configs.
AROUND = {"howto", "howto.execution.page", "howto.execution.limits"} | {
    f"howto.checkout.{name}" for name in ("rank_difference", "distributed", "preloaded", "simulated_gpu", "standby")
}


def fingerprint(howto: HowTo) -> dict[str, str]:
    """What the page of a how-to depends on: for each kind of thing the sha256 of its content.

    The gallery script's code, the snippets, the modules of ``howto`` that it uses, the lock, the installed
    packages, the kind of device, the folder of a real COCO, and which weights are real: the
    checkpoints of the page that lie in the user's cache, and the hosts of its stand-ins that answer.
    """
    if not howto.source.exists():
        raise HowtoError(f"snippets/{howto.stack.family}/{howto.topic} has no gallery script; write {howto.source}")
    try:
        ast.parse(howto.text)
    except SyntaxError as error:
        raise HowtoError(f"{howto.at(error.lineno)}: syntax error: {error.msg}; correct that line") from error
    return {
        "script": replay.digest(howto.text),
        "snippets": _hash(_files(howto)),
        "howto": _modules(howto),
        "packages": _packages(howto.stack),
        "device": device.kind(),
        "data": str(Settings.from_environ().coco or ""),
        "weights": weights_kind(howto),
    }


def sources(howto: HowTo) -> str:
    """sha256 of what a how-to's script executes, and its snippets: what a report of its mutations holds for."""
    return hashlib.sha256(f"{replay.digest(howto.text)} {_hash(_files(howto))}".encode()).hexdigest()


def package_sources() -> int:
    """A number that changes with any module of ``howto``."""
    return int(_hash(sorted((ROOT / "howto").rglob("*.py")))[:12], 16)


def mutations(stack: Stack) -> dict[str, dict]:
    """What the mutations found last, by how-to; ``fresh`` says whether its snippets and code are still the same."""
    path = files.mutations(stack)
    found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return {
        howto.topic: {**found[howto.topic], "fresh": found[howto.topic]["of"] == sources(howto)}
        for howto in howtos.every(stack)
        if howto.topic in found
    }


def commit() -> str:
    """The commit that is checked out; empty outside a git checkout."""
    with contextlib.suppress(OSError):  # git is not installed
        return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return ""


def prose(howto: HowTo) -> str:
    """sha256 of the script, words and all: a page that differs in its words alone is not executed."""
    return hashlib.sha256(howto.text.encode()).hexdigest()


def changed(howto: HowTo) -> list[str]:
    """The parts of the fingerprint that differ from when the page ran; all of them if it did not, or left no record."""
    state = PageState.of(howto)
    before = state.depends if state.state == "passed" and howto.record.exists() else {}
    return [part for part, value in fingerprint(howto).items() if before.get(part) != value]


def _files(howto: HowTo) -> list[Path]:
    return [path for path in (*howto.snippets, howto.examples) if path.exists()]


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _modules(howto: HowTo) -> str:
    """sha256 of what a page runs of ``howto``: of the modules that its script imports, and of those that these import.

    And of what runs around each page, or in processes that it starts. Comments and docstrings do not count.
    """
    always = {
        "howto",
        "howto.execution.page",
        "howto.execution.limits",
        f"howto.checkout.{howto.stack.family}",
        *AROUND,
    }
    graph = _graph()
    closure = {*always, *_imported(ast.parse(howto.text)) & graph.modules}
    closure |= set().union(*map(graph.find_upstream_modules, closure))
    digests = []
    for module in sorted(closure):
        path = ROOT / f"{module.replace('.', '/')}.py"
        path = path if path.exists() else path.with_suffix("") / "__init__.py"
        digests.append((module, _code(path, path.stat().st_mtime_ns)))
    data = sorted((ROOT / "howto" / "checkout").glob("*.json"))
    return hashlib.sha256(f"{digests} {_hash(data)}".encode()).hexdigest()


@functools.cache
def _graph():
    """Which module of ``howto`` imports which, anywhere in it."""
    import grimp  # not at the top: whoever only asks for names needs no graph

    return grimp.build_graph("howto", cache_dir=None)


def _imported(tree: ast.AST) -> set[str]:
    """The names that a script imports, each of which may be a module."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return names


@functools.cache  # all pages ask for most of them
def _code(path: Path, changed: int) -> str:
    """sha256 of what a module executes, `changed` then; its comments and docstrings say it in other words."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            node.body[0] = ast.Pass()
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def weights_kind(howto: HowTo) -> str:
    """Which of the checkpoints that a page used the user has, and which hosts of its stand-ins answer by now."""
    record = json.loads(howto.record.read_text("utf-8")) if howto.record.exists() else {}
    hosts = sorted(set(record.get("hosts", {}).values()))
    with concurrent.futures.ThreadPoolExecutor(max(1, len(hosts))) as pool:
        answering = [host for host, answers in zip(hosts, pool.map(weights.reachable, hosts)) if answers]
    return ",".join(answering + sorted(name for name in record.get("weights", {}) if checkpoints.named(name).cached()))


@functools.cache
def _packages(stack: Stack) -> str:
    installed = sorted(f"{name}=={version}" for name, version in stacks.installed().items())
    digest = hashlib.sha256(stack.lock.read_bytes() + "\n".join(installed).encode())
    for package in _edited_by_hand(stack):
        if found := importlib.util.find_spec(package):  # else the doctor says what is missing
            digest.update(_hash(sorted(Path(found.origin).parent.rglob("*.py"))).encode())
    return digest.hexdigest()


def _edited_by_hand(stack: Stack) -> tuple[str, ...]:
    """Packages that people patch in place: their files are hashed."""
    return importlib.import_module(f"howto.checkout.{stack.family}").LIBRARIES
