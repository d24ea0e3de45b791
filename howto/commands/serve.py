"""Show the site on this machine while it is edited."""

import os
import subprocess
import types
from pathlib import Path

from howto.checkout import standby

SITE = ("sphinx.cmd.build", "sphinx_gallery.gen_gallery", "furo", "myst_parser.parsers.sphinx_")  # what builds need


def serve(options: list[str]) -> None:
    """Build the site, serve it on port 8000, and build it again whenever a file of it changes, until Ctrl-C.

    A process that has imported MMDetection stands by for the next change: executing a page begins at once.

    Args:
        options: More options for ``sphinx-autobuild``.
    """
    from sphinx_autobuild import __main__ as autobuild
    from sphinx_autobuild import build

    standby.keep(later=SITE)
    build.subprocess = types.SimpleNamespace(run=Builds().run, CalledProcessError=subprocess.CalledProcessError)
    watched = [word for place in ("snippets", "gallery", "howto", "conf.py") for word in ("--watch", place)]
    ignored = ["--ignore", "docs/how-to", "--ignore", "docs/_build", "--re-ignore", "pyc$"]
    build_options = ["-c", ".", "-n", "-d", "docs/_build/doctrees/serve"]
    autobuild.main([*build_options, *watched, *ignored, *options, "docs", "docs/_build/serve"])


class Builds:
    """Starts each build after the first from the process that stands by."""

    def __init__(self) -> None:
        self._is_first = True

    def run(self, command: list[str], check: bool) -> None:
        """In the place of ``subprocess.run``. The first build does not wait for the process that will stand by."""
        if self._is_first:
            self._is_first = False
            subprocess.run(command, check=check)
            return
        code = standby.run(command[1:], Path.cwd(), dict(os.environ), live=True).returncode
        if check and code:
            raise subprocess.CalledProcessError(code, command)
