"""The command line; `python -m howto --help` lists the commands."""

import argparse
import dataclasses
import errno
import sys
from collections.abc import Callable
from pathlib import Path

from howto.project import settings, stacks
from howto.project.errors import HowtoError
from howto.project.stacks import Stack

# What each command calls is imported by it: `install` runs before anything is installed.


def _install(stack: Stack, arguments: argparse.Namespace) -> int | None:
    stack = stacks.named(arguments.stack) if arguments.stack else stack
    if arguments.here or arguments.list:
        from howto.setup.here import install_here

        return install_here(stack, arguments.find_links, arguments.no_index, arguments.list)
    from howto.setup.install import install

    return install(stack)


def _doctor(stack: Stack, arguments: argparse.Namespace) -> int:
    from howto.execution.doctor import doctor

    return doctor(stack)


def _latest(stack: Stack, arguments: argparse.Namespace) -> int:
    from howto.setup.latest import latest

    return latest(stack, arguments.options)


def _build(stack: Stack, arguments: argparse.Namespace) -> int:
    from howto.publish.build import build

    return build(stack)


def _serve(stack: Stack, arguments: argparse.Namespace) -> None:
    from howto.commands.serve import serve

    serve(arguments.options)


def _site(stack: Stack, arguments: argparse.Namespace) -> int:
    from howto.publish.join import build_all

    return build_all()


def _merge(stack: Stack, arguments: argparse.Namespace) -> int:
    from howto.execution.shards import merge

    return merge(arguments.bundles)


def _verify(stack: Stack, arguments: argparse.Namespace) -> int:
    from howto.execution.verify import verify

    return verify(stack, arguments.topics)


def _mutate(stack: Stack, arguments: argparse.Namespace) -> int:
    from howto.commands.mutate import mutate

    return mutate(stack, arguments.topics, arguments.all)


def _compare(stack: Stack, arguments: argparse.Namespace) -> int:
    from howto.commands.compare import compare

    return compare(*arguments.files)


def _doctest(stack: Stack, arguments: argparse.Namespace) -> int:
    from howto.publish.build import doctest

    return doctest(stack)


def _new(stack: Stack, arguments: argparse.Namespace) -> None:
    from howto.commands.new import new

    new(stack, arguments.topic)


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: what ``--help`` says of it, what it does, and its arguments as ``add_argument`` takes them.

    What it does gets the stack that ``HOWTO_STACK`` names and the arguments, and returns an exit code, or None for 0.
    """

    name: str
    help: str
    call: Callable[[Stack, argparse.Namespace], int | None]
    arguments: dict[str, dict] = dataclasses.field(default_factory=dict)


OPTIONS = {"options": dict(nargs="*", metavar="-- OPTION")}
TOPICS = {"topics": dict(nargs="*", metavar="TOPIC", help="name of a how-to; all of them if none")}
COMMANDS = {
    "Set up": (
        Command(
            "install",
            "make the environment of a stack from its lock",
            _install,
            {
                "stack": dict(nargs="?"),
                "--here": dict(action="store_true", help="add what this Python and its torch lack"),
                "--find-links": dict(metavar="DIR", type=Path, help="a folder of wheels, for --here"),
                "--no-index": dict(action="store_true", help="take nothing from elsewhere"),
                "--list": dict(action="store_true", help="print what --here would install"),
            },
        ),
        Command("doctor", "say what this machine has and what mends what it lacks", _doctor),
        Command(
            "latest",
            "check a copy of this project on the newest releases; takes the options of uv pip compile",
            _latest,
            OPTIONS,
        ),
    ),
    "Build": (
        Command("build", "build the site, executing what changed", _build),
        Command("serve", "show the site while you edit it; takes the options of sphinx-autobuild", _serve, OPTIONS),
        Command("site", "build the site of every stack that is installed, and join them", _site),
        Command(
            "merge",
            "take over the pages that HOWTO_SHARD had other machines execute",
            _merge,
            {"bundles": dict(nargs="+", metavar="BUNDLE", type=Path)},
        ),
    ),
    "Check": (
        Command("verify", "execute the how-tos' checks without building pages", _verify, TOPICS),
        Command(
            "mutate",
            "change the snippets one thing at a time and see whether the checks notice",
            _mutate,
            TOPICS | {"--all": dict(action="store_true", help="change every place of a line, not the first alone")},
        ),
        Command(
            "compare",
            "list the checks that measured something else in another verified.json: a GPU's, say",
            _compare,
            {"files": dict(nargs=2, metavar="FILE", type=Path)},
        ),
        Command("doctest", "run the examples in pages and docstrings", _doctest),
    ),
    "Write": (Command("new", "scaffold a how-to", _new, {"topic": dict(help="its name, words with _ between them")}),),
}


def main() -> int:
    """Run one command; 0 if all is well, 1 if something is wrong, 130 if interrupted."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # not every locale has an arrow
    arguments = _parser().parse_args()
    try:
        settings.require_known()
        return arguments.call(stacks.current(), arguments) or 0
    except HowtoError as error:
        print(f"howto {arguments.command}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EROFS):
            raise
        print(f"howto {arguments.command}: {error}; free some space, or make it writable", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"howto {arguments.command}: interrupted; what had finished is kept", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    listed = [
        "\n".join([f"{group}:", *(f"  {command.name:10}{command.help}" for command in commands)])
        for group, commands in COMMANDS.items()
    ]
    parser = argparse.ArgumentParser(
        prog="python -m howto",
        description="\n\n".join(listed),
        epilog="HOWTO_STACK names the stack, mmdet2 if it is not set.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (each for group in COMMANDS.values() for each in group):
        own = commands.add_parser(command.name, description=command.help)
        own.set_defaults(call=command.call)
        for name, keys in command.arguments.items():
            own.add_argument(name, **keys)
    return parser


if __name__ == "__main__":
    sys.exit(main())
