"""The command line; `python -m howto --help` lists the commands."""

import argparse
import errno
import pathlib
import sys

from howto.project import stacks
from howto.project.errors import HowtoError


def main() -> int:
    """Run one command; 0 if all is well, 1 if something is wrong, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m howto", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("install", "make the environment of a stack from its lock"),
        ("doctor", "say what this machine has and what mends what it lacks"),
        ("build", "build the site, executing what changed"),
        ("serve", "show the site while you edit it; takes the options of sphinx-autobuild"),
        ("merge", "take over the pages that HOWTO_SHARD had other machines execute"),
        ("site", "build the site of every stack that is installed, and join them"),
        ("doctest", "run the examples in pages and docstrings"),
        ("verify", "execute the how-tos' checks without building pages"),
        ("new", "scaffold a how-to"),
        ("diff", "print how the files of a how-to differ between two stacks"),
        ("latest", "check a copy of this project on the newest releases; takes the options of uv pip compile"),
        ("mutate", "change the snippets one thing at a time and see whether the checks notice"),
    ):
        command = commands.add_parser(name, help=text)
        if name == "diff":
            command.add_argument("topic", metavar="TOPIC")
            command.add_argument("stacks", nargs=2, metavar="STACK")
        if name == "install":
            command.add_argument("stack", nargs="?", default=None)
            command.add_argument("--here", action="store_true", help="add what this Python and its torch lack")
            command.add_argument(
                "--find-links", metavar="DIR", type=pathlib.Path, help="a folder of wheels, for --here"
            )
            command.add_argument("--no-index", action="store_true", help="take nothing from elsewhere")
            command.add_argument("--list", action="store_true", help="print what --here would install")
        if name in ("latest", "serve"):
            command.add_argument("options", nargs="*", metavar="-- OPTION")
        if name == "merge":
            command.add_argument("bundles", nargs="+", metavar="BUNDLE", type=pathlib.Path)
        if name == "new":
            command.add_argument("topic", metavar="TOPIC", help="its name, words with _ between them")
        if name in ("verify", "mutate"):
            command.add_argument("topics", nargs="*", metavar="TOPIC", help="name of a how-to; all of them if none")
        if name == "mutate":
            command.add_argument("--all", action="store_true", help="change every place of a line, not the first alone")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # not every locale has an arrow
    arguments = parser.parse_args()
    try:
        return run(arguments)
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


def run(arguments: argparse.Namespace) -> int:
    """Run one command. Imports stand here because install runs before anything is installed."""
    stack = stacks.named(arguments.stack) if getattr(arguments, "stack", None) else stacks.current()
    if arguments.command == "install" and (arguments.here or arguments.list):
        from howto.setup.here import install_here

        install_here(stack, arguments.find_links, arguments.no_index, arguments.list)
        return 0
    if arguments.command == "install":
        from howto.setup.install import install

        install(stack)
        return 0
    if arguments.command == "doctor":
        from howto.execution.doctor import doctor

        return doctor(stack)
    if arguments.command == "diff":
        from howto.site.migrate import show

        return show(arguments.topic, *arguments.stacks)
    if arguments.command == "site":
        from howto.publish.join import build_all

        return build_all()
    if arguments.command == "verify":
        from howto.execution.verify import verify

        return verify(stack, arguments.topics)
    if arguments.command == "serve":
        from howto.commands.serve import serve

        serve(arguments.options)
        return 0
    if arguments.command == "latest":
        from howto.setup.latest import latest

        return latest(stack, arguments.options)
    if arguments.command == "merge":
        from howto.execution.shards import merge

        return merge(arguments.bundles)
    if arguments.command == "new":
        from howto.commands.new import new

        new(stack, arguments.topic)
        return 0
    if arguments.command == "mutate":
        from howto.commands.mutate import mutate

        return mutate(stack, arguments.topics, arguments.all)
    from howto.publish import build

    return build.build(stack) if arguments.command == "build" else build.doctest(stack)


if __name__ == "__main__":
    sys.exit(main())
