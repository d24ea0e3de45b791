"""Sphinx configuration: sphinx-build -c . docs OUT builds the site of the stack that HOWTO_STACK names."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from howto import files, stacks  # noqa: E402

stack = stacks.current()
files.take_gallery(stack)

project = "MMDetection how-to"
author = copyright = "the MMDetection how-to authors"
extensions = [
    "myst_parser",
    "sphinx.ext.doctest",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "howto.sphinx_ext",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
templates_path = ["docs/_templates"]
html_context = {"howto_stack": stack}

html_theme = "furo"
pygments_dark_style = "github-dark"
html_favicon = "docs/_static/favicon.svg"
html_title = f"{stack.audience} how-to"
html_static_path = ["docs/_static"]
html_css_files = ["howto.css"]
html_js_files = ["howto.js"]
html_theme_options = {"announcement": stack.audience}  # that there is one; docs/_templates/page.html words it
copybutton_selector = "div:not(.howto-snippet *) > div.highlight > pre"
copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos, .gp"

sphinx_gallery_conf = {
    "examples_dirs": [str(ROOT / "gallery" / stack.family)],
    "gallery_dirs": [files.GALLERY],
    "backreferences_dir": f"_build/backreferences/{stack.name}",
    "download_all_examples": False,
    "first_notebook_cell": (
        f"# Run this with the packages of {stack.title} and this site's own:\n"
        f"# clone its repository, run `tox -e wheels`, and use .tox/stack-{stack.name}/bin/python.\n"
        "%matplotlib inline"
    ),
    "log_level": {"backreference_missing": "info"},
    "nested_sections": False,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib", "howto.sphinx_ext.around_page"),
    "reset_modules_order": "both",
    "show_signature": False,
    "thumbnail_size": (420, 140),  # the pages' pictures are wide
    "within_subsection_order": "FileNameSortKey",
    "write_computation_times": False,  # its page loads scripts from other hosts; the verified page has the times
}
