"""
How do I train with a larger batch than fits on my GPU?
=======================================================

Add up the gradients of several iterations before each step. With this config one GPU trains two
images at a time, and a step sees 16, as on eight GPUs.
"""

# %%
# .. index:: ! gradient accumulation, ! accumulative_counts, ! GradientCumulativeOptimizerHook
#
# .. snippet:: retinanet_r50_fpn_accumulate8_coco.py
#
# .. train:: retinanet_r50_fpn_accumulate8_coco.py
#
#    The learning rate is for 16 images a step, and that is what a step of one GPU sees here. With
#    ``--auto-scale-lr`` MMDetection multiplies the rate by the number of your GPUs.

# %%
# Adapt it
# --------

# %%
# More images at a time, or more GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# A step sees ``accumulate`` × images on a GPU × GPUs. If that is 16, the rate stays as it is, and
# ``--auto-scale-lr`` scales it if not: with eight GPUs a step sees 128, at a rate of 0.08. Four images fit
# on your GPU:
from howto import Workspace
from howto.checkout.family import api
from howto.project.quiet import quiet

checkout = Workspace("accumulate_gradients")
checkout.ask_python()
cfg = checkout.config()
section, _, images = api().KEYS["batch_size"].partition(".")
change = {
    "= 8  # iterations of 2 images": "= 4  # iterations of 4 images",
    "\nauto": f"\n{section} = dict({images}=4)\nauto",
}
four = checkout.edit(checkout.own, change, adapts=True)

# %%
# Mixed precision
# ~~~~~~~~~~~~~~~
# {% if mmdet2 %}
# Name the hook for mixed precision, and leave out the key ``fp16``. It needs a GPU: here it was built, and
# trained nothing.
half = {"OptimizerHook', ": "Fp16OptimizerHook',\n    loss_scale=512.,\n    "}
mixed = checkout.edit(checkout.own, half, adapts=True)
registry, _ = api().hooks()
with quiet():
    hook = registry.build(checkout.config(mixed).optimizer_config)
checkout.check("Iterations that the hook adds up", hook.cumulative_iters, 8)
# {% else %}
# Add ``--amp`` to the command. It changes the type of ``optim_wrapper``, and keeps what that accumulates. It
# needs a GPU, and was not tried here.
stock_script = (checkout.root / "tools/train.py").read_text("utf-8")
line = "cfg.optim_wrapper.type = 'AmpOptimWrapper'"
checkout.check("What the flag does", line in stock_script, True)
# {% endif %}

# %%
# Is that the same as a larger batch?
# -----------------------------------
# Not always. A detector divides its loss by a number that it counts in the batch, such as the
# anchors that match an object. So it matters which images share a batch. Here is one step on two
# images, made from the same weights in three ways: by two iterations of one image, by two GPUs with one
# image each, and by one GPU with both in a batch.
import collections
import json

from howto.checkout import coco, fit
from howto.figures import classes, updates
from howto.figures.show import Table

content = checkout.annotations("train")
boxes = collections.Counter(each["image_id"] for each in content["annotations"])
(many, most), *_, (few, least) = boxes.most_common()
two, twice = checkout.root / "data/two.json", checkout.root / "data/twice.json"
two.write_text(json.dumps(coco.subset(content, [few, many])), "utf-8")
twice.write_text(json.dumps(coco.subset(content, [few, few])), "utf-8")
print(f"objects on the two images: {least} and {most}")

# %%
plain = dict(fit.RESNET18, batch_size=1, train__ann_file=str(two))
(flips,) = api().split(cfg, "train").pipeline[3].keys() - {"type"}
plain |= {f"train__pipeline__3__{flips}": 0.0, "train__pipeline__2__keep_ratio": False}
# {% if mmdet2 %}
adding = dict(type="GradientCumulativeOptimizerHook", cumulative_iters=1)
plain |= dict(optimizer_config=adding, lr_config__warmup=None)
# {% else %}
plain |= dict(accumulate=1, param_scheduler__0__start_factor=1.0)
# {% endif %}
paths = {"RetinaNet": checkout.own, "ATSS": "atss/atss_r50_fpn_1x_coco.py"}
starts = {
    name: updates.starting(checkout, name.lower(), path, **plain)
    for name, path in paths.items()
}
checkout.train_in_two_processes([file for file, _ in starts.values()])


# %%
def step(name, images, iterations, **more):
    """What one step adds to the weights, after so many iterations of so many images."""
    file, start = starts[name]
    keys = dict(batch_size=images, accumulate=iterations, evaluate=False, **more)
    with quiet():
        run = checkout.train(file, **keys)
    made.append(run.steps == [iterations])
    return updates.update(start, run.model.state_dict())


made, steps = [], {}
for name, start in starts.items():
    gpus = updates.of_processes(checkout, *start)
    steps[name] = [step(name, 1, 2), gpus, step(name, 2, 1)]

# %%
# The three steps, each a vector of all weights; lengths and distances are to scale:
import matplotlib.pyplot as plt

ways = ["two iterations of 1", "two GPUs with 1 each", "a batch of 2"]
figure, axes = plt.subplots(1, 2, figsize=(6, 2.4))
for axis, name in zip(axes, steps, strict=True):
    arrows = updates.draw(axis, steps[name])
    axis.set_title(name)
figure.legend(arrows, ways, loc="lower center", ncols=3, frameon=False)

# %%
# RetinaNet's GPUs each divide by their own number, as iterations do. ATSS shares the count between
# GPUs, so several GPUs behave like one large batch. Accumulation behaves like neither. How far two ways
# are apart, as a share of the second's step:
apart = {
    name: [updates.difference(*pair) for pair in ((g, a), (b, a), (g, b))]
    for name, (a, g, b) in steps.items()
}
rows = [(name, *(f"{value:.1%}" for value in values)) for name, values in apart.items()]
head = ("GPUs, iterations", "Batch, iterations", "GPUs, batch")
Table(("Detector", *head), rows)

# %%
gpus, other, _ = apart["RetinaNet"]
checkout.check("RetinaNet, two GPUs", gpus, at_most=1e-4)
checkout.check("RetinaNet, a batch of two is another step", other > 0.01, True)
*others, same = apart["ATSS"]
checkout.check("ATSS, two GPUs and a batch of two", same, at_most=1e-4)
checkout.check("ATSS, both are another step", min(others) > 0.01, True)

# %%
# If the number is the same in each iteration, all three are the same except for rounding. Here an
# image comes twice:
accumulated = step("RetinaNet", 1, 2, train__ann_file=str(twice))
batch = step("RetinaNet", 2, 1, train__ann_file=str(twice))
same = updates.difference(batch, accumulated)
checkout.check("Difference of the two steps", same, at_most=1e-4)
checkout.check("Each run made one step, at its end", made, [True] * 6)

# %%
# If a detector's GPUs share this count, accumulation cannot reproduce training on several GPUs at any
# learning rate. It may still train just as well. Measured is the loss of each detector on one image: alone,
# and as if another GPU counted far more.
detectors = {**classes.standard(), "ATSS": paths["ATSS"]}
shares = {name: updates.exchanges(checkout, path) for name, path in detectors.items()}
words = {False: ("no", "training on several GPUs"), True: ("yes", "neither")}
head = "Detector", "The loss changes with the other GPU", "Accumulation equals"
Table(head, [(name, *words[value]) for name, value in shares.items()])

# %%
checkout.check("RetinaNet's GPUs share the count", shares["RetinaNet"], False)
checkout.check("ATSS's GPUs share the count", shares["ATSS"], True)

# %%
# Your log should say
# -------------------
# The warning comes with every detector that has batch norms. Here ``norm_eval`` keeps their statistics,
# and nothing is lost. The learning rate rises 8 times as slowly for each iteration.
each = len(checkout.dataset(cfg)) // 2
epochs = -(-12 // each)  # 12 iterations take as many
flag = dict(auto_scale_lr__enable=True)
run = checkout.train(None, epochs, evaluate=False, **flag, **fit.RESNET18)
reason = "may slightly decrease performance"
told = [line for line in run.log.splitlines() if reason in line]
print(*told[:1], *run.logged(api().FIRST_EPOCH), sep="\n")
checkout.check(f"It says: {reason}", len(told), 1)
training = [any(epoch.norms_training.values()) for epoch in run.epochs.values()]
checkout.check("Batch norms that train", any(training), False)

# %%
# Pitfalls
# --------

# %%
# {% if mmdet2 %}
# ``got an unexpected keyword argument 'cumulative_iters'``: the hook is not named
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``type='GradientCumulativeOptimizerHook'``. Without a ``type`` it is the standard hook, which adds
# up no iterations.
wrong = "type='GradientCumulativeOptimizerHook', "
failure = checkout.fails(checkout.train, checkout.edit(checkout.own, {wrong: ""}))
reason = "got an unexpected keyword argument 'cumulative_iters'"
checkout.check("It says", failure.message.partition("() ")[2], reason)

# %%
# ``got an unexpected keyword argument 'type'``: ``fp16`` is set, too
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave out ``fp16``, and see *Mixed precision* above. The key chooses a hook by itself, which adds up no
# iterations.
failure = checkout.fails(checkout.train, fp16=dict(loss_scale=512.0))
reason = "got an unexpected keyword argument 'type'"
checkout.check("It says", failure.message.partition("() ")[2], reason)
# {% else %}
# It steps after every iteration: a config of MMDetection 2
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``optim_wrapper`` as this page's config does. MMDetection 3 ignores ``optimizer_config`` and its
# ``GradientCumulativeOptimizerHook``, and no error says so.
right = "optim_wrapper = dict(accumulative_counts=accumulate)"
old = "optimizer_config = dict(\n    type='GradientCumulativeOptimizerHook', cumulative_iters=accumulate)"
outdated = checkout.edit(checkout.own, {right: old})
short = dict(train__ann_file=str(two), batch_size=1, **fit.RESNET18)
ignored = checkout.train(outdated, evaluate=False, **short)
checkout.check("Iterations that end with a step", ignored.steps, [1, 2])

# %%
# ``got an unexpected keyword argument 'accumulative_counts'``: it is in ``optimizer``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Move the key out of ``optimizer``, into ``optim_wrapper``. PyTorch's optimizers add up no iterations.
right = "dict(accumulative_counts=accumulate)"
inner = checkout.edit(checkout.own, {right: f"dict(optimizer={right})"})
failure = checkout.fails(checkout.train, inner)
reason = "got an unexpected keyword argument 'accumulative_counts'"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% endif %}

# %%
# It learns at an eighth of the rate: ``--auto-scale-lr`` counts the images of an iteration
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``base_batch_size`` as this page's config does. The standard value is 16, and the flag takes two
# images on one GPU for an eighth of that, although the step sees 16.
unaware = checkout.edit(checkout.own, {"base_batch_size=16 / accumulate": ""})
quick = dict(evaluate=False, warmed_up=True, train__ann_file=str(two), **fit.RESNET18)
slow = checkout.train(unaware, **quick)
checkout.check("Learning rate", set(slow.rates), {0.01 / 8})

# %%
# Batch norms that train see an iteration, not a step
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Leave ``norm_eval`` on, or use a norm that does not look at the batch, such as GN. Accumulation does not
# help batch norms: each iteration has its own mean and variance, and moves the statistics by itself.
retinanet, pair = starts["RetinaNet"][0], dict(accumulate=2, evaluate=False)
norms = checkout.train(retinanet, model__backbone__norm_eval=False, **pair)
moved = norms.model.backbone.layer4[1].bn2.num_batches_tracked
checkout.check("Updates of the statistics before its one step", int(moved), 2)

# %%
# An average of the weights (EMA) counts iterations, not steps
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Set ``interval=accumulate`` in the hook that averages, so that each step enters the average once. Without
# it each step enters 8 times, and the average is of 8 times fewer steps.
# {% if mmdet2 %}
# Multiply ``total_iter`` by ``accumulate``, too. Use ``ExpMomentumEMAHook``: MMCV's own ``EMAHook`` raises
# its momentum to the power of ``interval``, so that its average stands still.
from mmdet.core.hook.ema import BaseEMAHook

average = BaseEMAHook, "get_momentum"
kind, copies, each = "ExpMomentumEMAHook", 0, lambda model: 1
# {% else %}
# Multiply ``gamma`` of ``ExpMomentumEMA`` by ``accumulate``, too. A step enters one iteration late, so
# the last one of the training does not.
from mmengine.model import ExponentialMovingAverage

average = ExponentialMovingAverage, "avg_func"  # called for each parameter
kind, copies, each = "EMAHook", 1, lambda model: len(list(model.parameters()))
# {% endif %}
from unittest.mock import patch


def averaged(**interval):
    """How many times a run of 2 steps updates the average, the first copy included."""
    hooks = [dict(type=kind, **interval)]
    with patch.object(*average, return_value=0.1) as update, quiet():
        run = checkout.train(retinanet, 2, custom_hooks=hooks, **pair)
    checkout.check("Iterations that end with a step", run.steps, [2, 4])
    return copies + update.call_count // each(run.model)


# %%
checkout.check("Updates of the average in 2 steps of 2 iterations", averaged(), 4)
checkout.check("With interval=2", averaged(interval=2), 2)
# {% if mmdet2 %}
with quiet():
    stands_still = registry.build(dict(type="EMAHook", interval=8)).momentum
checkout.check("Momentum of MMCV's EMAHook", stands_still, at_most=1e-29)
# {% endif %}

# %%
# Evidence
# --------

# %%
# It steps after every eighth iteration, and at the end
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Iterations are counted on from epoch to epoch. Those left over at the end of the training make a
# step of their own, and the loss is divided by their number:
iterations = len(run.losses)
expected = sorted({*range(8, iterations + 1, 8), iterations})
print(f"iterations of an epoch: {iterations // epochs}")
checkout.check("Iterations that end with a step", run.steps, expected)
checkout.check("Images of a step", run.images_per_step, 16)

# %%
# Its learning rate is that of eight GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Schedules by iteration, as the warm-up, count iterations and not steps. 4000 of them are the 500
# steps of the standard schedule, and at each step the rate is the same:
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
rate = api().rate(stock)
# {% if mmdet2 %}
end, begin = stock.lr_config.warmup_iters, stock.lr_config.warmup_ratio
# {% else %}
end, begin = stock.param_scheduler[0].end, stock.param_scheduler[0].start_factor
# {% endif %}
checkout.check("Iterations of the standard warm-up", end, 500)
steps = [iteration / 8 / end for iteration in range(iterations)]
rates = [rate * (begin + (1 - begin) * step) for step in steps]
far = max(abs(a / b - 1) for a, b in zip(run.rates, rates, strict=True))
checkout.check(
    "Largest difference from its rates, for as many steps", far, at_most=5e-4
)

# %%
for name in (checkout.own, four):
    warm = checkout.train(name, **quick)
    checkout.check("Learning rate after warm-up", set(warm.rates), {rate})
    checkout.check("Images of a step", warm.images_per_step, 16)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes average their gradients. A step sees 32 images, and the rate is doubled:
printed = checkout.launch(iterations=2, **flag, **fit.RESNET18)
reason = api().scaled(0.01, 2.0)
checkout.check(f"It says: {reason}", reason in printed, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the weights are random, and the images small and few. So it is not shown how well
#   ATSS trains with accumulated iterations.
# - Detectors that draw samples at random, as Faster R-CNN: no two of their steps can be compared.
# - Memory and speed on a GPU, mixed precision, and eight GPUs.
