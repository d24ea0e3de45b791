"""What the tests of the site share."""

import pytest
from bs4 import BeautifulSoup


@pytest.fixture(scope="session")
def pages(site):
    """Every page, parsed, by its file."""
    return {path: BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in sorted(site.rglob("*.html"))}
