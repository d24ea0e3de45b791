"""What the tests of the site share."""

import contextlib
import functools
import http.server
import threading

import pytest
from bs4 import BeautifulSoup

from howto.project import stacks

if stacks.current().name != "mmdet2":  # what a family does not change is tested once, on the default stack
    collect_ignore = ["test_machines.py"]


@pytest.fixture(scope="session")
def pages(site):
    """Every page, parsed, by its file."""
    return {path: BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="session")
def serve():
    """Serves a folder on this machine, in a ``with`` block, and gives the address."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    @contextlib.contextmanager
    def serving(folder):
        handler = functools.partial(Silent, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
            threading.Thread(target=running.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{running.server_port}"
            running.shutdown()

    return serving


@pytest.fixture(scope="session")
def server(site, serve):
    """Address of a server whose root is the folder above the stacks' sites."""
    with serve(site.parent) as address:
        yield address


@pytest.fixture(scope="session")
def addresses(site):
    """Where every page is on the server."""
    return [f"/{path.relative_to(site.parent)}" for path in sorted(site.rglob("*.html"))]
