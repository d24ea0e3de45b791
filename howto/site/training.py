"""Show how a how-to's config is trained: where its files go, a command for each kind of machine, the rate."""

import re
import textwrap
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst.directives import flag, unchanged
from sphinx.util.docutils import SphinxDirective

from howto.project import files, stacks
from howto.project.howtos import HowTo
from howto.site import downloads

TEXT = """
Save {files} at {places} in your MMDetection folder, with {data}.
In one file, to unpack into ``configs/``: :download:`{topic}.zip <{topic}.zip>`.

.. tab:: One GPU

   .. code-block:: console

      $ {single}

.. tab:: Several GPUs

   Here eight:

   .. code-block:: console

      $ {several}

{after}

.. tab:: Slurm

   Here eight GPUs of one machine. Not executed: no Slurm was at hand.

   .. code-block:: console

      $ GPUS=8 bash tools/slurm_train.sh PARTITION JOB {path} work_dirs/{name} --auto-scale-lr{validate}

{rate}
"""
EVALUATE = """
.. code-block:: console

   $ {root}python tools/test.py {path} work_dirs/{name}/latest.pth --eval bbox
"""
COCO = "data/coco/"  # where the standard configs have it, which a config need not repeat
SEVERAL = {
    "mmdet2": "{root}torchrun --nproc_per_node=8 tools/train.py {path} --launcher pytorch --auto-scale-lr{validate}",
    "mmdet3": "bash tools/dist_train.sh {path} 8 --auto-scale-lr",
}


class Train(SphinxDirective):
    """``.. train:: TOPIC/FILE``: the commands that train a config, and all of its how-to's files in one zip.

    Its option ``:rate:`` names the words on the learning rate, where those of the other how-tos do not hold. A config
    with ``:evaluates:`` mends what keeps several GPUs from evaluating with MMDetection 2; the others have a command
    that evaluates afterwards.

    A config that imports a module from below ``configs`` needs the repository's root on the module path. Only
    ``tools/train.py`` has to be told: the scripts for several GPUs and for Slurm add it.
    """

    required_arguments = 1
    option_spec = {"rate": unchanged, "evaluates": flag}

    def run(self) -> list[nodes.Node]:
        """The box, with one set of tabs in it."""
        howto = HowTo(stacks.current(), self.arguments[0].partition("/")[0])
        family, topic = howto.stack.family, howto.topic
        path = files.snippet_folder(family) / self.arguments[0]
        if not path.is_file():
            raise self.error(f"there is no snippet {path}; name a file below {path.parents[1]}")
        Path(self.env.srcdir, files.GALLERY, f"{topic}.zip").write_bytes(downloads.topic_zip(howto))
        one = len(howto.snippets) == 1
        validate = after = ""
        if family == "mmdet2":
            evaluates = "evaluates" in self.options
            validate = "" if evaluates else " --no-validate"
            after = self._words("several_gpus_evaluate") if evaluates else self._words("several_gpus") + EVALUATE
        data = dict.fromkeys(re.findall(r"'(data/\w+/)", path.read_text("utf-8"))) or [COCO]
        facts = dict(
            topic=topic,
            data=" and ".join(f"{'COCO 2017' if each == COCO else 'your data'} in ``{each}``" for each in data),
            path=f"configs/{self.arguments[0]}",
            name=path.stem,
            root=downloads.root(path),
            files="it" if one else "them",
            places="this path" if one else "these paths",
            validate=validate,
        )
        rate = self._words(self.options.get("rate", "learning_rate"))
        if family == "mmdet2":
            rate += "The flag came with MMDetection 2.24.\n"
        after = textwrap.indent(after.format(**facts), "   ")
        several = SEVERAL[family].format(**facts)
        single = downloads.one_gpu(family, self.arguments[0])
        text = TEXT.format(**facts, single=single, several=several, after=after, rate=rate)
        title = nodes.paragraph("", "Train it", classes=["howto-run-title"])
        return [nodes.container("", title, *self.parse_text_to_nodes(text), classes=["howto-run"])]

    def _words(self, name: str) -> str:
        path = stacks.ROOT / "gallery" / "words" / f"{name}.rst"
        self.env.note_dependency(str(path))
        return path.read_text("utf-8")
