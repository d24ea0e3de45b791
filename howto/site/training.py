"""Show how a how-to's config is trained: where its files go, a command for each kind of machine, the rate."""

import re
import textwrap
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from howto.project import files
from howto.site import downloads
from howto.site.parts import details, find_snippet, howto_of, note

RATE = """
The config's learning rate is for 16 images a step: eight GPUs with two images each. With
``--auto-scale-lr`` MMDetection multiplies it by your images a step over 16. Without the flag
one GPU with two images trains at eight times the rate that it should.
"""
TORCHRUN = """
On PyTorch 2 ``tools/dist_train.sh`` of MMDetection 2 ends with ``unrecognized arguments:
--local-rank=0``, so ``torchrun`` starts the processes.
"""
SAVE = """
Save {files} at {places} in your MMDetection folder, with {data}.
In one file, to unpack into ``configs/``: :download:`{topic}.zip <{topic}.zip>`.
"""
RUN = """
.. tab:: One GPU

   .. code-block:: console

      $ {single}

.. tab:: Several GPUs

   Here eight:

   .. code-block:: console

      $ {several}

{after}

.. tab:: Resume

   This goes on from the last checkpoint of a run that was interrupted:

   .. code-block:: console

      $ {resumed}

.. tab:: Slurm

   Here eight GPUs of one machine. Not executed: no Slurm was at hand.

   .. code-block:: console

      $ GPUS=8 bash tools/slurm_train.sh PARTITION JOB {path} work_dirs/{name} --auto-scale-lr

{rate}
"""
CHECK = "Changed something? :doc:`Check it <plot_check_config>` before you train.\n"
ASK = "Saved right? Ask Python in your MMDetection folder"
COCO = "data/coco/"  # where the standard configs have it, which a config need not repeat
SEVERAL = {
    "mmdet2": "{root}torchrun --nproc_per_node=8 tools/train.py {path} --launcher pytorch --auto-scale-lr",
    "mmdet3": "bash tools/dist_train.sh {path} 8 --auto-scale-lr",
}


class Train(SphinxDirective):
    """``.. train:: FILE``: the commands that train a config, and all of its how-to's files in one zip.

    Its content is what to say of the learning rate, where the words of the other how-tos do not hold.

    A config that imports a module from below ``configs`` needs the repository's root on the module path. Only
    ``tools/train.py`` has to be told: the scripts for several GPUs and for Slurm add it.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """The box, with one set of tabs in it, and what to ask Python."""
        howto = howto_of(self.env.docname)
        family, topic = howto.stack.family, howto.topic
        path = find_snippet(self, self.arguments[0])
        Path(self.env.srcdir, files.GALLERY, f"{topic}.zip").write_bytes(downloads.topic_zip(howto))
        one = len(howto.snippets) == 1
        data = dict.fromkeys(re.findall(r"'(data/\w+/)", path.read_text("utf-8"))) or [COCO]
        facts = dict(
            topic=topic,
            data=" and ".join(f"{'COCO 2017' if each == COCO else 'your data'} in ``{each}``" for each in data),
            path=f"configs/{topic}/{path.name}",
            name=path.stem,
            root=downloads.root(path),
            files="it" if one else "them",
            places="this path" if one else "these paths",
        )
        rate, after = "\n".join(self.content) or RATE.strip(), ""
        if family == "mmdet2":
            rate += "\nThe flag came with MMDetection 2.24."
            after = textwrap.indent(TORCHRUN, "   ")
        several = SEVERAL[family].format(**facts)
        single = downloads.one_gpu(path)
        commands = dict(single=single, several=several, resumed=downloads.resume(howto, path))
        save, run = SAVE.format(**facts), RUN.format(**facts, **commands, after=after, rate=rate)
        title = nodes.paragraph("", "Train it", classes=["howto-run-title"])
        save += CHECK if "check_config" in files.topics(family) else ""
        steps = [self.parse_text_to_nodes(text) for text in (save, run)]
        note(self.env, howto.examples)
        if howto.examples.exists():
            asked = howto.examples.read_text("utf-8")
            block = nodes.literal_block(asked, asked, language="pycon")
            steps.append([details("", block, summary=ASK, classes=["howto-ask"])])
        items = [nodes.list_item("", *step) for step in steps]
        numbered = nodes.enumerated_list("", *items, enumtype="arabic", prefix="", suffix=".")
        return [nodes.container("", title, numbered, classes=["howto-run"])]
