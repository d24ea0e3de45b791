"""What `tox -e serve` runs: the site comes back with what was edited, and nothing is imported for it anew."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

PATIENCE = 120  # seconds


@pytest.fixture
def address(tiny):
    """Where the tiny project is served while it is edited."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = tiny.start("serve", "--", "--port", str(port))
    yield f"http://127.0.0.1:{port}/how-to/plot_tiny.html"
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []


def shows(address: str, words: str) -> float:
    """Seconds until the page has these words."""
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE:
        half_written = (OSError, http.client.IncompleteRead)  # Sphinx writes a page where it lies
        with contextlib.suppress(*half_written), urllib.request.urlopen(address) as answer:
            if words in re.sub("<[^>]*>", "", answer.read().decode()):
                return time.monotonic() - started
        time.sleep(0.1)
    pytest.fail(f"no {words!r} in {PATIENCE} s")


def test_what_is_edited_is_executed_and_shown_again_and_again(tiny, address):
    shows(address, "the sum: 2")
    tiny.edit("gallery/plot_tiny.py", "1 + 1, 2", "1 + 2, 3")
    shows(address, "the sum: 3")
    tiny.edit("gallery/plot_tiny.py", "1 + 2, 3", "2 + 2, 4")
    took = shows(address, "the sum: 4")
    assert took < imported() / 2 + 3  # the page itself takes no time


def imported() -> float:
    """Seconds that importing MMDetection takes here and now."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import mmdet.apis"], check=True, capture_output=True)
    return time.monotonic() - started
