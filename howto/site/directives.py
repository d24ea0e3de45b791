"""Show snippets, records and mutations on the pages that name them."""

import os
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst.directives import unchanged
from sphinx import addnodes
from sphinx.directives.code import LiteralInclude
from sphinx.util.docutils import SphinxDirective

from howto.execution.fingerprint import mutations
from howto.project import files, howtos, stacks
from howto.project.howtos import HowTo
from howto.site import downloads, markdown_export
from howto.site.drift import STATEMENTS
from howto.site.migrate import FROM, TO
from howto.site.parts import details, find_snippet, howto_of, in_words, note, ran_on, read_record, short_title, table

NOT_SEEN = "What a GPU alone shows was not seen: its kernels and their rounding, memory, NCCL, speed and --amp."


class Snippet(LiteralInclude):
    """``.. snippet:: FILE``: a file of the page's how-to, whole, named by its place in a checkout, to copy or download.

    The name is that of either family.

    Content is what the file prints; it is shown below it, and Sphinx's doctest builder compares.
    """

    has_content = True
    option_spec = {"caption": unchanged}

    def run(self) -> list[nodes.Node]:
        path = find_snippet(self, self.arguments[0])
        self.options |= {"language": "python", "caption": f"configs/{path.parent.name}/{path.name}"}
        self.arguments = [f"/{os.path.relpath(path, self.env.srcdir)}"]
        (block,) = super().run()
        download = addnodes.download_reference("", "Download", reftarget=self.arguments[0], refdoc=self.env.docname)
        shown = nodes.container("", block, nodes.paragraph("", "", download), classes=["howto-snippet"])
        if not self.content:
            return [shown]
        code = next(block.findall(nodes.literal_block))
        code["testnodetype"], code["groups"] = "testcode", [path.stem]
        text = "\n".join(self.content)
        output = nodes.literal_block(
            text, text, testnodetype="testoutput", groups=[path.stem], options={}, language="none"
        )
        self.set_source_info(output)
        return [shown, nodes.caption("", "It prints"), output]


class Files(SphinxDirective):
    """``.. files::``: all files of a how-to of many in one zip, and each of them to be read."""

    def run(self) -> list[nodes.Node]:
        howto = howto_of(self.env.docname)
        name = f"{howto.topic}.zip"
        Path(self.env.srcdir, files.GALLERY, name).write_bytes(downloads.topic_zip(howto))
        offered = f"Unpack :download:`{name} <{name}>` into ``configs/`` of your MMDetection folder."
        snippets = "\n\n".join(f".. snippet:: {path.name}" for path in howto.snippets)
        read = details("", *self.parse_text_to_nodes(snippets), summary=f"Its {len(howto.snippets)} files")
        for block in read.findall(nodes.literal_block):
            block["language"] = "text"  # colours would double the weight of the page
        return [*self.parse_text_to_nodes(offered), read]


class Needs(SphinxDirective):
    """``.. needs:: PACKAGE``: the how-to is executed only where that package is installed; elsewhere it says so."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        if read_record(howto_of(self.env.docname), self.env):
            return []
        said = nodes.paragraph("", "", nodes.literal("", self.arguments[0]))
        said += nodes.Text(" was not installed where this page was built. What the code prints was not seen.")
        return [nodes.admonition("", nodes.title("", "Not executed in this build"), said, classes=["warning"])]


class Install(SphinxDirective):
    """``.. install:: PACKAGE …``: installs what a how-to needs, in the versions of this stack."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        stack = stacks.current()
        self.env.note_dependency(str(stack.lock))
        command = f"$ {stack.install(self.arguments[0].split())}"
        return [nodes.literal_block(command, command, language="console")]


class VerifiedPanel(SphinxDirective):
    """``.. verified-panel::``: what this page's record says."""

    def run(self) -> list[nodes.Node]:
        howto = howto_of(self.env.docname)
        record = read_record(howto, self.env)
        if record is None:
            return [nodes.paragraph("", f"This page was {_not_executed(howto)}.")]
        weights = ", ".join(f"{kind} weights ({name})" for name, kind in record["weights"].items()) or "none loaded"
        facts = [
            ("Executed on", f"{ran_on(record)}, {record['seconds']:.0f} s, up to {record['peak_memory_mib']} MiB"),
            ("With", _named(record["versions"])),
            ("Photographs", record["data"]),
            ("Weights", weights),
        ]
        facts += [([f"snippets/{path}"], [f"sha256 {digest}"]) for path, digest in record["snippets"].items()]
        checks = []
        for check in record["checks"]:
            measured, expected = (in_words(check[key]) for key in ("measured", "expected"))
            checks.append((check["name"], measured, "" if measured == expected else expected))
        panel = nodes.container("", classes=["howto-verified"])
        when = f"Executed on {record['executed']} UTC. All {len(checks)} checks passed."
        if record["simulated_gpus"]:
            when += f" {NOT_SEEN}"
        if changed := markdown_export.changed(howto):
            when += f" The how-to was last changed on {changed}."
        panel += nodes.paragraph("", when)
        for said, shown in (
            ("Versions, device, weights and files", table(("Fact", "When this page was built"), facts)),
            (
                "What was expected and what was measured",
                table(("Check", "Measured", "Expected, if not the same"), checks),
            ),
        ):
            panel += details("", shown, summary=said, classes=["howto-all"])
        return [panel]


class SeeAlso(SphinxDirective):
    """``.. see-also::``: the same how-to elsewhere, for readers of another version or the published tutorial."""

    def run(self) -> list[nodes.Node]:
        howto = howto_of(self.env.docname)
        family, topic = howto.stack.family, howto.topic
        links = [("All how-tos", "../index.html")]
        if all(topic in files.topics(each) for each in (FROM, TO)):
            differs = "What differs in MMDetection 3" if family == FROM else "What differs from MMDetection 2"
            links.append((differs, f"../migrating.html#{nodes.make_id(topic)}"))
        if any(found.topic == topic for found in STATEMENTS[family].values()):
            links.append(("What the published tutorial's answer does", "../drift.html"))
        shown = nodes.paragraph("", classes=["howto-also"])
        for place, (text, address) in enumerate(links):
            shown += [nodes.Text(" · ")] if place else []
            shown += nodes.reference("", text, refuri=address, internal=True)
        return [shown]


def _named(versions: dict[str, str]) -> str:
    """The versions that ran, each that is not the lock's with the one that is."""
    others = stacks.differing(versions, stacks.current())
    return ", ".join(
        f"{name} {version}" + (f" (the lock has {others[name]})" if name in others else "")
        for name, version in versions.items()
    )


class VerifiedTable(SphinxDirective):
    """``.. verified-table::``: the records of all how-tos, a line each, and what they cost together."""

    def run(self) -> list[nodes.Node]:
        stack = stacks.current()
        rows, seconds, memory = [], 0.0, 0
        for howto in howtos.every(stack):
            record, page = read_record(howto, self.env), f"/{files.GALLERY}/plot_{howto.topic}"
            target = dict(refdomain="std", reftype="doc", reftarget=page, refexplicit=True)
            name = nodes.inline("", short_title(howto))
            link = addnodes.pending_xref("", name, refdoc=self.env.docname, refwarn=True, **target)
            if record is None:
                rows.append((link, _not_executed(howto), "", "", "", ""))
                continue
            seconds, memory = seconds + record["seconds"], max(memory, record["peak_memory_mib"])
            kinds = ", ".join(sorted(set(record["weights"].values()))) or "none"
            cost = f"{record['seconds']:.0f} s, {record['peak_memory_mib']} MiB"
            rows.append((link, f"{len(record['checks'])} passed", ran_on(record), kinds, cost, record["executed"]))
        total = f"All pages together: {seconds:.0f} s, at most {memory} MiB."
        head = ("How-to", "Checks", "Device", "Weights", "Time, memory", "Executed (UTC)")
        return [table(head, rows), nodes.paragraph("", total)]


def _not_executed(howto: HowTo) -> str:
    package = howto.lacking
    return "not executed in this build" + (f": {package} is not installed" if package else "")


class MutationTable(SphinxDirective):
    """``.. mutation-table::``: what ``tox -e mutate`` found last, counts by how-to and whatever was not noticed."""

    def run(self) -> list[nodes.Node]:
        stack = stacks.current()
        for howto in howtos.every(stack):  # which make a report out of date
            for path in (howto.source, *howto.snippets):
                self.env.note_dependency(str(path))
        note(self.env, files.mutations(stack))
        found = mutations(stack)
        rows, left = [], []
        for topic in files.topics(stack.family):
            if topic not in found:
                rows.append((topic, "not run", "", "", ""))
                continue
            entry = found[topic]
            when = f"{entry['date']}, {entry['machine']}" + ("" if entry["fresh"] else "; the page changed since")
            counts = [str(entry["counts"].get(result, 0)) for result in ("killed", "survived", "equivalent")]
            rows.append((topic, *counts, when))
            left += [(topic, [item["edit"]], item["why"] or "survived") for item in entry["left"]]
        shown = [table(("How-to", "Noticed", "Survived", "Cannot matter", "Tried on"), rows)]
        return [*shown, table(("How-to", "Edit", "Why it was not noticed"), left)] if left else shown
