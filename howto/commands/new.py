"""Scaffold a how-to: a snippet, a gallery script and a test that pass as they are, to be changed step by step."""

import re
from pathlib import Path

from howto.project import files
from howto.project.errors import HowtoError
from howto.project.stacks import ROOT, Stack

SNIPPET = """\
_base_ = '../retinanet/retinanet_r18_fpn_1x_coco.py'

{change}  # half of what _base_ has
"""
CHANGE = {  # for each family, what the snippet writes and where a config has it
    "mmdet2": ("optimizer = dict(lr=0.005)", "optimizer.lr"),
    "mmdet3": ("optim_wrapper = dict(optimizer=dict(lr=0.005))", "optim_wrapper.optimizer.lr"),
}

SCRIPT = '''\
"""
How do I {words}?
=========={line}

Give the answer here, in two or three sentences. This one halves the learning rate of
RetinaNet on a ResNet-18.
"""

# %%
# .. snippet:: {topic}/{name}
#
# Save it at this path in your MMDetection folder and train it:
#
# .. code-block:: console
#
#    $ python tools/train.py configs/{topic}/{name} --auto-scale-lr

# %%
# What the config becomes
# -----------------------
# A ``Workspace`` is an MMDetection checkout with a small COCO in it; the file above
# lies in it unchanged.
from howto import Workspace

checkout = Workspace("{topic}")
config = "{name}"
cfg = checkout.config(config)
stock = checkout.config("retinanet/retinanet_r18_fpn_1x_coco.py")
checkout.check("learning rate", cfg.{rate}, stock.{rate} / 2)

# %%
from howto.figures.diagram import draw_detector

draw_detector(checkout.build(cfg), cfg, stock)

# %%
# It trains
# ---------
import math

import matplotlib.pyplot as plt

run = checkout.train(config, epochs=1)
checkout.check("every loss is finite", all(map(math.isfinite, run.losses)), True)

figure, axes = plt.subplots(figsize=(9, 2.2))
axes.plot(run.losses, marker="o")
axes.set_title("total loss of each iteration of {topic}")
axes.set_xlabel("iteration")
'''

TEST = """\
def test_the_learning_rate_is_half_of_the_stock_one(checkout):
    cfg = checkout.config("{name}")
    assert cfg.{rate} == checkout.config("retinanet/retinanet_r18_fpn_1x_coco.py").{rate} / 2


def test_the_command_of_the_page_trains(work_dir):
    assert (work_dir / "epoch_1.pth").is_file()
"""


def new(stack: Stack, topic: str) -> None:
    """Write the three files of the how-to `topic` and say which they are.

    Raises:
        HowtoError: If the name cannot be one, or there is such a how-to.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", topic):
        raise HowtoError(f"{topic!r} cannot be the name of a how-to; take words in lower case with _ between them")
    named = topic.replace("_", "-") if stack.family == "mmdet3" else topic  # as MMDetection names its own
    name, (change, rate) = f"retinanet_r18_fpn_{named}_1x_coco.py", CHANGE[stack.family]
    texts = {
        files.snippet_folder(stack.family) / topic / name: SNIPPET,
        files.script(stack.family, topic): SCRIPT,
        ROOT / "tests" / "snippets" / stack.family / f"test_{topic}.py": TEST,
    }
    if there := [str(path) for path in texts if path.exists()]:
        raise HowtoError(f"there is a {' and a '.join(there)}; choose another name")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        words = topic.replace("_", " ")
        line = "=" * len(words)
        path.write_text(text.format(topic=topic, name=name, words=words, line=line, change=change, rate=rate), "utf-8")
        print(_shown(path))
    factor = "" if stack.name == "mmdet2" else f"-{stack.name}"
    print(f"Change them step by step, and see with: tox -e verify{factor} -- {topic}")


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
