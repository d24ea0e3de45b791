"""Scaffold a how-to: a snippet, a gallery script and a test that pass as they are, to be changed step by step."""

import re
from pathlib import Path

from howto.project import files
from howto.project.errors import HowtoError
from howto.project.howtos import HowTo
from howto.project.stacks import ROOT, Stack

SNIPPET = """\
_base_ = '../retinanet/retinanet_r18_fpn_1x_coco.py'

{change}  # half of what _base_ has
"""
CHANGE = {  # for each family, what the snippet writes
    "mmdet2": "optimizer = dict(lr=0.005)",
    "mmdet3": "optim_wrapper = dict(optimizer=dict(lr=0.005))",
}

SCRIPT = '''\
"""
How do I {words}?
=========={line}

Give the answer here, in two or three sentences. This one halves the learning rate of
RetinaNet on a ResNet-18.
"""

# %%
# .. snippet:: {name}
#
# .. train:: {name}

# %%
# Adapt it
# --------
# Say what readers change for a model or data of their own. A ``Workspace`` is an MMDetection
# checkout with a small COCO in it; the file above lies in it unchanged.
from howto import Workspace
from howto.checkout.family import api

checkout = Workspace("{topic}")
checkout.ask_python()
config = checkout.own
cfg = checkout.config()
stock = checkout.config("retinanet/retinanet_r18_fpn_1x_coco.py")

# %%
# What it does
# ------------
# Show it in a picture.
from howto.figures.diagram import draw_detector

draw_detector(checkout.build(cfg), cfg, stock)

# %%
# Your log should say
# -------------------
# Lines by which readers see that it works for them.
run = checkout.train(epochs=1)

# %%
print(*run.logged(api().TRAINED), sep="\\n")

# %%
# Pitfalls
# --------

# %%
# Twice the rate: the line is left out
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# The title is what one sees: the text of an error, if there is one. Say what to do, then why.
# {{% if mmdet2 %}}
line = "optimizer = dict(lr=0.005)  # half of what _base_ has\\n"
# {{% else %}}
line = "optim_wrapper = dict(optimizer=dict(lr=0.005))  # half of what _base_ has\\n"
# {{% endif %}}
variant = checkout.config(checkout.edit(config, {{line: ""}}))
checkout.check("Without it the learning rate is", api().rate(variant), api().rate(stock))

# %%
# Evidence
# --------

# %%
# The rate is half of the standard one
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
checkout.check("Learning rate", api().rate(cfg), api().rate(stock) / 2)

# %%
# It trains
# ~~~~~~~~~
import math

import matplotlib.pyplot as plt

finite = all(map(math.isfinite, run.losses))
checkout.check("Every loss is finite", finite, True)

figure, axes = plt.subplots(figsize=(9, 2.2))
axes.plot(run.losses, marker="o")
axes.set_title("total loss of each iteration of {topic}")
axes.set_xlabel("iteration")

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the small COCO is too small to tell a good detector from a bad one.
'''

EXAMPLES = """\
>>> from {package} import Config
>>> cfg = Config.fromfile('configs/{topic}/{name}')
>>> {key}.lr
0.005
"""
LIBRARIES = {"mmdet2": ("mmcv", "cfg.optimizer"), "mmdet3": ("mmengine", "cfg.optim_wrapper.optimizer")}

TEST = """\
from howto.checkout.family import api


def test_the_learning_rate_is_half_of_the_stock_one(checkout):
    stock = checkout.config("retinanet/retinanet_r18_fpn_1x_coco.py")
    assert api().rate(checkout.config()) == api().rate(stock) / 2


def test_the_command_of_the_page_trains(work_dir):
    assert (work_dir / "epoch_1.pth").is_file()
"""


def new(stack: Stack, topic: str) -> None:
    """Write the files of the how-to `topic`, a snippet for each family, and say which they are.

    Raises:
        HowtoError: If the name cannot be one, or there is such a how-to.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", topic):
        raise HowtoError(f"{topic!r} cannot be the name of a how-to; take words in lower case with _ between them")
    name = f"retinanet_r18_fpn_{topic}_1x_coco.py"
    words = topic.replace("_", " ")
    script = SCRIPT.format(topic=topic, name=name, words=words, line="=" * len(words))
    texts = {HowTo(stack, topic).source: script, ROOT / "tests" / "snippets" / f"test_{topic}.py": TEST}
    for family, change in CHANGE.items():
        own = (
            name if family == "mmdet2" else name.replace(topic, topic.replace("_", "-"))
        )  # as MMDetection names its own
        texts[files.snippet_folder(family) / topic / own] = SNIPPET.format(change=change)
        package, key = LIBRARIES[family]
        asked = EXAMPLES.format(package=package, topic=topic, name=own, key=key)
        texts[files.snippet_folder(family) / topic / "ask_python.txt"] = asked
    if there := [str(path) for path in texts if path.exists()]:
        raise HowtoError(f"there is a {' and a '.join(there)}; choose another name")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(_shown(path))
    factor = "" if stack.name == "mmdet2" else f"-{stack.name}"
    print(f"Change them step by step, and see with: tox -e verify{factor} -- {topic}")


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
