"""What the tests of the site share."""

import contextlib
import functools
import http.server
import shutil
import threading
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup

from howto.project import stacks
from howto.publish.join import join

STACK = stacks.current().name
if STACK != "mmdet2":  # what a family does not change is tested once, on the default stack
    collect_ignore = ["test_controls.py", "test_machines.py"]


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


@pytest.fixture(scope="session")
def new_page(browser, server):
    """A page in a profile of its own, in a ``with`` block, that notes what goes wrong on it in `page.wrong`."""

    @contextlib.contextmanager
    def opened():
        context = browser.new_context(base_url=server)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.wrong = []
        ours = urlsplit(server).netloc
        page.on("request", lambda request: elsewhere(page, ours, request.url))
        page.on("response", lambda answer: answered(page, answer))
        page.on("console", lambda message: complaint(page, message))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        yield page
        context.close()

    return opened


@pytest.fixture
def page(new_page):
    """A page of one test alone."""
    with new_page() as page:
        yield page


@pytest.fixture
def other_server(site, serve, tmp_path):
    """Address of a site joined from this stack's and a copy of it under the name of another."""
    other = next(name for name in stacks.STACKS if name != STACK)
    for name in (STACK, other):
        shutil.copytree(site, tmp_path / name)
    (tmp_path / other / "how-to/plot_timm_backbone.html").unlink()
    first = tmp_path / other / "index.html"
    page = BeautifulSoup(first.read_text("utf-8"), "html.parser")
    page.select_one(".howto-cards li:has(a[href$='plot_timm_backbone.html'])").decompose()
    first.write_text(str(page), "utf-8")
    join(tmp_path)
    with serve(tmp_path) as address:
        yield address


def answered(page, answer):
    if answer.status >= 400:
        page.wrong.append(f"{answer.status} {answer.url}")


def elsewhere(page, ours, url):
    if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != ours:
        page.wrong.append(url)


def complaint(page, message):
    # Once in its life a browser looks for an icon where no page names one; a test of the HTML sees to that.
    if message.type in ("error", "warning") and not message.location["url"].endswith("/favicon.ico"):
        page.wrong.append(message.text)
