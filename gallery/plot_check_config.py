"""
How do I check my config before I train?
========================================

Run ``check_config.py`` on it: in about a minute it says what is wrong, where, and what to write
instead. It needs no GPU, and changes nothing.
"""

# %%
# .. index:: ! check_config.py, dry run, validate a config, AP is 0, loss is nan
#
# .. files::
#
# .. code-block:: console
#
#    $ python configs/check_config/check_config.py CONFIG --gpus 1
#
# Run it in your MMDetection folder, and say with ``--gpus`` how many will train. Each check prints ``ok``; or
# ``✗`` with what is wrong, what to write instead, and the how-to that explains it; or ``?`` with the reason why it
# could not be checked. The exit code is 1 if it found something, 2 if it cannot read the config.
import json

from howto import Workspace
from howto.figures.mistakes import Mistakes
from howto.figures.show import Table

checkout = Workspace("check_config")
mistakes = Mistakes(checkout)
script = "python configs/check_config/check_config.py configs/check_config"

# %%
# What it finds
# -------------
# - **Keys**: those of the other MMDetection, misspelled ones, classes and arguments that do not exist.
# - **Classes**: names that the annotation file lacks or has in another order, and a ``num_classes`` that differs.
# - **Annotation files**: ids from 0, strings for numbers, relative boxes, corners for sizes, lost images.
# - **Pipelines**: Mosaic without its wrapper, normalisation twice or unlike the checkpoint's, a wrong last step.
# - **Model**: channels and strides that do not fit, weights that do not load, frozen parts without weights.
# - **Schedule**: a rate for another number of GPUs, a warm-up longer than the training, steps after its end.
#
# It then trains one step. Of MMDetection's own configs it reports those alone that have such a mistake.
wrong = "model.roi_head.bbox_head.num_classes=80"
faulty = checkout.shell(
    f"{script}/good.py --gpus 1 --skip step --cfg-options {wrong}", succeeds=False
)
said = faulty.splitlines()
start = next(number for number, line in enumerate(said) if line.startswith("✗"))
print(*said[start : start + 3], sep="\n")
names = "✗ num_classes: model.roi_head.bbox_head has 80 classes, the dataset has 2"
checkout.check("It says of it", said[start], names)

# %%
# Adapt it
# --------

# %%
# Leave out what takes long
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Add ``--skip step``. The last check trains one step at the scale of your config, which takes half of the time.
# Name several checks as ``--skip step,weights,levels``.

# %%
# Change a key for this run
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Add ``--cfg-options``, as for ``tools/train.py``. What the script says to write has the same form, so you can
# try it before you change the file.

# %%
# An annotation file alone
# ~~~~~~~~~~~~~~~~~~~~~~~~
# Run ``python configs/check_config/check_annotations.py train.json``. It needs Python alone.
file = "data/my_dataset/annotations/train.json"
alone = f"python configs/check_config/check_annotations.py {file}"
checkout.check("Of a right file it says", checkout.shell(alone), "")

# %%
# In a pipeline of your own
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Add ``--json report.json``. The file has each line of the report, with the keys to change.
printed = checkout.shell(f"{script}/good.py --gpus 1 --skip step --json report.json")
report = json.loads((checkout.root / "report.json").read_text("utf-8"))
checkout.check("Lines in the file", len(report), len(printed.splitlines()))

# %%
# Your log should say
# -------------------
# A config without mistakes, on the two classes of this site's own data:
print(printed)
marks = {line.split()[0] for line in printed.splitlines()}
checkout.check("Of a config without mistakes it says", marks - {"?"}, {"ok"})

# %%
# Pitfalls
# --------

# %%
# ``nothing is built before the above is right``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Correct what is above that line, and run it again. A config with a class or an argument that does not exist
# cannot be built, so its data, levels and weights are not looked at.
wrong = "model.backbone.type=ResNett"
printed = checkout.shell(
    f"{script}/good.py --skip step --cfg-options {wrong}", succeeds=False
)
print(printed)
told = "nothing is built before the above is right" in printed
checkout.check("It says so of a misspelled backbone", told, True)

# %%
# ``? rate``: say ``--gpus``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~
# Add ``--gpus`` with the number that will train. The standard rates are for eight GPUs, and without the number
# the script cannot know whether yours is right. The same holds for SyncBN.
cfg = checkout.config("good.py")
with checkout.inside():
    told = dict(mistakes.script.check(cfg, skip=("items", "levels", "weights", "step")))
checkout.check("Without the number it says", told["rate"][0].mark, "?")

# %%
# Evidence
# --------

# %%
# Each mistake, and what the script says of it
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Each was made in the config above or in its annotation file. The script names it, and reports nothing else. If
# it says which keys to write, they were written, and the script reports nothing then.
rows, wrong = [], []
for area in (
    "keys",
    "classes",
    "annotations",
    "pipelines",
    "levels",
    "schedule",
    "step",
):
    answered, unanswered = mistakes.make(area)
    rows += answered
    wrong += unanswered
checkout.check("Mistakes that it missed or misnamed", wrong, [])
checkout.check("At least 70 mistakes were made", len(rows) >= 70, True)
Table(("Mistake", "It says", "Write"), rows)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: a config without findings may still train badly.
# - Data sets in other formats than COCO's: the script checks their paths and their classes alone.
# - Memory and speed of a GPU.
