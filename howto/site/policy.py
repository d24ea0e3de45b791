"""Let a page run and load nothing but what is the site's own."""

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from sphinx.application import Sphinx

from howto.project.settings import Settings

INLINE = re.compile(r'<script(?![^>]*\b(?:src=|type="application/))[^>]*>(.*?)</script>', re.DOTALL)


def setup(app: Sphinx) -> dict:
    """Register the step after every page is written."""
    app.connect("build-finished", restrict, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}


def restrict(app: Sphinx, error: Exception | None) -> None:
    """Give every page of the site its Content-Security-Policy."""
    if error is None and app.builder.name == "html":
        for path in Path(app.outdir).rglob("*.html"):
            before = path.read_text("utf-8")
            after = restricted(before)
            if after != before:
                path.write_text(after, "utf-8")


def restricted(page: str) -> str:
    """The HTML of a page with a Content-Security-Policy, in which its own inline scripts stand by their hash.

    ``HOWTO_ANALYTICS_URL`` is the one other host that it may load a script from, and report to.
    """
    if '<meta http-equiv="Content-Security-Policy"' in page.partition("</head>")[0]:
        return page
    digests = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in INLINE.findall(page)}
    hashes = [f"'sha256-{digest}'" for digest in sorted(digests)]
    analytics = urlsplit(Settings.from_environ().analytics_url)
    other = [f"{analytics.scheme}://{analytics.netloc}"] if analytics.netloc else []
    allowed = {
        "default-src": ["'self'"],
        "script-src": ["'self'", *hashes, *other],
        "connect-src": ["'self'", *other],
        "style-src": ["'self'", "'unsafe-inline'"],  # Furo's colours, and those of diagrams
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
    }
    policy = "; ".join(" ".join([name, *sources]) for name, sources in allowed.items())
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return re.sub(r"<meta charset=[^>]*>", lambda charset: charset[0] + meta, page, count=1, flags=re.IGNORECASE)
