"""What the tests of the site share."""

import pytest
from bs4 import BeautifulSoup

from howto import stacks

if stacks.current().name != "mmdet2":  # what a family does not change is tested once, on the default stack
    collect_ignore = ["test_machines.py"]


@pytest.fixture(scope="session")
def pages(site):
    """Every page, parsed, by its file."""
    return {path: BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in sorted(site.rglob("*.html"))}
