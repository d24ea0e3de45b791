"""Sphinx configuration: sphinx-build -c . docs OUT builds the site of the stack that HOWTO_STACK names."""

import contextlib
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from howto.execution import page  # noqa: E402
from howto.project import files, howtos, stacks  # noqa: E402
from howto.project.settings import Settings  # noqa: E402

stack = stacks.current()
lock = contextlib.ExitStack()  # until this process ends: `sphinx-build` moves the pages of the stack before, too
lock.enter_context(files.building())
files.take_gallery(stack)

# Where the site and its sources will be; what needs to know is left out while they are not set.
settings = Settings.from_environ()
base_url, repository_url, analytics_url = settings.base_url, settings.repository_url, settings.analytics_url

project = "MMDetection how-to"
author = "the MMDetection how-to authors"
copyright = f"{author}, who are not OpenMMLab. Apache License 2.0"
extensions = [
    "myst_parser",
    "sphinx.ext.doctest",
    "sphinx_gallery.gen_gallery",
    "sphinx_inline_tabs",
    "notfound.extension",
    "howto.site.extension",
    "howto.site.html_output",
    "howto.site.fold",
    "howto.site.searching",
    "howto.site.sources",
    "howto.site.markdown_export",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", f"{files.GALLERY}/index.rst"]  # the first page has the cards
templates_path = ["docs/_templates"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_context = {"howto_stack": stack}

html_theme = "furo"
pygments_dark_style = "github-dark"
html_favicon = "docs/_static/favicon.svg"
html_title = f"{stack.audience} how-to"
html_static_path = ["docs/_static"]
html_css_files = ["howto.css"]
html_js_files = [("howto.js", {"defer": "defer"})]
html_copy_source = False  # each page has a Markdown twin
html_additional_pages = {"search": "search.html"}
html_use_index = False  # it would be empty
# That there is an announcement; docs/_templates/page.html words it.
html_theme_options = {"announcement": stack.audience, "top_of_page_buttons": []}
notfound_urls_prefix = f"{urlsplit(base_url).path}/{stack.name}/"
notfound_context = {
    "title": "Page not found",
    "body": (
        "<h1>There is no such page</h1>"
        f'<form action="{notfound_urls_prefix}search.html" role="search" aria-label="The how-tos">'
        '<p>Search the how-tos: <input type="search" name="q" aria-label="Search the how-tos" autofocus> '
        '<button class="howto-button">Search</button></p></form>'
        f'<p>Or start from <a href="{notfound_urls_prefix}index.html">the first page</a>.</p>'
    ),
}
if base_url:
    html_baseurl = ogp_site_url = f"{base_url}/{stack.name}/"
    extensions.append("sphinxext.opengraph")
    ogp_social_cards = {"font": "DejaVu Sans"}
if repository_url:
    html_theme_options["source_edit_link"] = repository_url  # howto.site.html_output completes it
    html_theme_options["top_of_page_buttons"] = ["edit"]
if analytics_url:
    html_js_files.append((analytics_url, {"defer": "defer"}))

sphinx_gallery_conf = {
    "examples_dirs": [str(howtos.write_scripts(stack))],
    "gallery_dirs": [files.GALLERY],
    "ignore_repr_types": r"'(int|matplotlib\.(text|legend)\.\w+)'",  # what writing a file or a title happens to return
    "backreferences_dir": f"_build/backreferences/{stack.name}",
    "download_all_examples": False,
    "image_scrapers": ("matplotlib", "howto.site.fold.scrape"),
    "image_srcset": page.DENSITIES,
    "first_notebook_cell": (
        f"# Run this with the packages of {stack.title} and this site's own:\n"
        f"# clone its repository, run `tox -e wheels`, and use .tox/stack-{stack.name}/bin/python.\n"
        "%matplotlib inline"
    ),
    "log_level": {"backreference_missing": "info"},
    "min_reported_time": 24 * 60 * 60,  # the record at the end of a page says how long it took
    "nested_sections": False,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib", "howto.site.gallery.around_page"),
    "reset_modules_order": "both",
    "show_signature": False,
    "within_subsection_order": "FileNameSortKey",
    "write_computation_times": False,  # its page loads scripts from other hosts; the verified page has the times
}
