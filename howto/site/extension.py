"""The Sphinx extension: its directives, and its steps around sphinx-gallery's own."""

from pathlib import Path

from jinja2 import Template
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from howto.execution.fingerprint import package_sources
from howto.project import files, howtos, settings, stacks
from howto.project.howtos import HowTo
from howto.project.record import write_json
from howto.site import directives
from howto.site.drift import DriftTable
from howto.site.gallery import collect_problems, finish_what_did_not_run, forget_stale, note_failures
from howto.site.migrate import Migrations, Renamed
from howto.site.parts import find_what_has_come, read_record, short_title
from howto.site.training import Train

ENDING = """

When, on what, and every value
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~

.. verified-panel::

See also
--------

.. see-also::
"""


def setup(app: Sphinx) -> dict:
    """Register the directives and the steps around sphinx-gallery's own, which runs at builder-inited, priority 500."""
    app.add_directive("snippet", directives.Snippet)
    app.add_directive("files", directives.Files)
    app.add_directive("train", Train)
    app.add_directive("needs", directives.Needs)
    app.add_directive("install", directives.Install)
    app.add_directive("verified-panel", directives.VerifiedPanel)
    app.add_directive("see-also", directives.SeeAlso)
    app.add_directive("verified-table", directives.VerifiedTable)
    app.add_directive("mutation-table", directives.MutationTable)
    app.add_directive("drift-table", DriftTable)
    app.add_directive("migrations", Migrations)
    app.add_directive("renamed", Renamed)
    app.connect("builder-inited", forget_stale, priority=100)
    app.connect("builder-inited", collect_problems, priority=900)
    app.connect("builder-inited", finish_what_did_not_run, priority=900)
    app.connect("env-get-outdated", find_what_has_come)
    app.connect("env-get-outdated", find_changed_navigation)
    app.connect("source-read", add_panel)
    app.connect("build-finished", note_failures, priority=100)
    app.connect("build-finished", publish_records)
    # Pages are read again, not executed, when a directive would write them otherwise.
    return {"parallel_read_safe": True, "version": "1", "env_version": package_sources()}


def add_panel(app: Sphinx, docname: str, source: list[str]) -> None:
    """A how-to's evidence ends with its record, and the page with links; nobody writes them. Others may use `stack`."""
    if docname.startswith(f"{files.GALLERY}/plot_"):
        page, label, downloads = source[0].rpartition("\n.. _sphx_glr_download_")
        source[0] = f"{page}{ENDING}{label}{downloads}"
    elif not docname.startswith(files.GALLERY):
        told = dict(groups=navigation(stacks.current()), settings=settings.described())
        source[0] = Template(source[0]).render(stack=stacks.current(), **told)


def navigation(stack: stacks.Stack) -> dict[str, list[dict[str, str]]]:
    """For each group its how-tos: topic, question, what it asks in short, and the answer in a sentence."""
    return {
        name: [
            dict(topic=each.topic, question=each.question, short=short_title(each), answer=each.answer)
            for each in members
        ]
        for name, members in howtos.groups(stack).items()
    }


def find_changed_navigation(app: Sphinx, env: BuildEnvironment, *_: set) -> list[str]:
    """The first page, which has the navigation, if a how-to has come, gone or changed its title or answer."""
    before, env.howto_navigation = getattr(env, "howto_navigation", None), navigation(stacks.current())
    return [] if before == env.howto_navigation else [app.config.root_doc]


def publish_records(app: Sphinx, error: Exception | None) -> None:
    """Write ``verified.json`` beside the pages."""
    if error is None and app.builder.name == "html":
        stack = stacks.current()
        found = [read_record(howto, app.env) or unexecuted(howto) for howto in howtos.every(stack)]
        write_json(
            Path(app.outdir, "verified.json"), {"stack": stack.name, "records": [item for item in found if item]}
        )


def unexecuted(howto: HowTo) -> dict | None:
    """What ``verified.json`` says of a how-to that needs what is not installed; nothing of others."""
    if not (package := howto.lacking):
        return None
    return {"topic": howto.topic, "stack": howto.stack.name, "status": "not executed", "needs": package}
