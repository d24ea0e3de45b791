"""Weigh the how-tos of the built site under its own theme and under others: bytes, requests, Lighthouse's score.

``tox -e bench -- --pages themes`` runs it. What was executed stays; only the theme differs. Each page is loaded from
this machine, with an empty cache and uncompressed. Where ``lighthouse`` is installed, it looks at each page as on a
phone.
"""

import functools
import http.server
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from howto.execution.machine import BROWSERS
from howto.project import files
from howto.project.errors import HowtoError
from howto.project.stacks import Stack

THEMES = ("furo", "pydata_sphinx_theme", "sphinx_book_theme")
OVERRIDE = """
html_theme = {theme!r}
html_theme_options = {{}}
templates_path = []
sys.path.append({peers!r})
"""


def weigh(root: Path, stack: Stack, names: list[str], say: Callable[[str], None]) -> list[dict]:
    """Build the site under each theme and load its how-tos.

    Args:
        root: The project.
        stack: Whose site.
        names: Themes. What they need may be installed in the folder ``HOWTO_BENCH_PEERS``.
        say: Called with a line for each theme.

    Returns:
        For each ``theme`` the median over the pages: ``bytes``, ``requests`` and ``performance``, which is None without
        Lighthouse.

    Raises:
        HowtoError: If there is no built site or no browser.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    pages = [f"{files.GALLERY}/plot_{topic}.html" for topic in files.topics(stack.family)]
    lacking = [page for page in pages if not (root / "docs" / page).with_suffix(".rst").exists()]
    if lacking:
        raise HowtoError("themes are compared on a built site: run tox -e docs first")
    if not browser:
        raise HowtoError(f"there is no browser to load the pages; install one of {', '.join(BROWSERS)}")
    found, peers = [], os.environ.get("HOWTO_BENCH_PEERS", "")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        project = Path(name, "project")
        built = shutil.ignore_patterns(".git", ".tox", ".*_cache", "__pycache__", "html", "doctrees", "work")
        shutil.copytree(root, project, ignore=built)
        conf = (project / "conf.py").read_text("utf-8")
        for theme in names:
            say(f"{theme}, {len(pages)} pages")
            other = "" if theme == THEMES[0] else OVERRIDE.format(theme=theme, peers=peers)
            (project / "conf.py").write_text(conf + other, "utf-8")
            command = [sys.executable, "-m", "sphinx", "-q", "-c", ".", "docs", f"out/{theme}"]
            subprocess.run(command, cwd=project, check=True, stdin=subprocess.DEVNULL)
            with served(project / "out" / theme) as address:
                loads = [load(browser, f"{address}/{page}") for page in pages]
            found.append({key: statistics.median(page[key] for page in loads) for key in ("bytes", "requests")})
            scores = [page["performance"] for page in loads]
            found[-1] |= {"theme": theme, "performance": None if None in scores else statistics.median(scores)}
    return found


def load(browser: str, address: str) -> dict:
    """Load one page, as far as its first screen needs it, and have Lighthouse look at it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        with playwright.chromium.launch(executable_path=browser, args=options) as launched:
            page, answers = launched.new_page(), []
            page.on("response", lambda answer: answers.append(answer))
            page.goto(address, wait_until="networkidle")
            sizes = [len(answer.body()) for answer in answers]
    return {"bytes": sum(sizes), "requests": len(sizes), "performance": performance(browser, address)}


def performance(browser: str, address: str) -> int | None:
    """Lighthouse's score of 100 for speed on its phone, if it is installed."""
    if not (lighthouse := shutil.which("lighthouse")):
        return None
    command = [lighthouse, address, "--quiet", "--only-categories=performance", "--output=json"]
    command += ["--chrome-flags=--headless=new --no-sandbox --disable-gpu"]
    environment = {**os.environ, "CHROME_PATH": browser}
    report = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return round(100 * json.loads(report.stdout)["categories"]["performance"]["score"])


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on this machine."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=folder)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
