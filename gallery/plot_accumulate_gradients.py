"""
How do I train with a larger batch than fits on my GPU?
=======================================================

Add up the gradients of several iterations before each step. With this config one GPU trains two
images at a time, and a step sees 16, as on eight GPUs.
"""

# %%
# {% if mmdet2 %}
# .. index:: ! gradient accumulation, ! GradientCumulativeOptimizerHook, cumulative_iters
# {% else %}
# .. index:: ! gradient accumulation, ! accumulative_counts
# {% endif %}
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

checkout = Workspace("accumulate_gradients")
config = "retinanet_r50_fpn_accumulate8_coco.py"
cfg = checkout.config(config)
# {% if mmdet2 %}
change = {
    "accumulate = 8  # iterations of 2 images": "accumulate = 4  # iterations of 4 images",
    "\noptimizer_config": "\ndata = dict(samples_per_gpu=4)\noptimizer_config",
}
# {% else %}
change = {
    "accumulate = 8  # iterations of 2 images": "accumulate = 4  # iterations of 4 images",
    "\noptim_wrapper": "\ntrain_dataloader = dict(batch_size=4)\noptim_wrapper",
}
# {% endif %}
four = checkout.edit(config, change, adapts=True)

# %%
# Mixed precision
# {% if mmdet2 %}
# ~~~~~~~~~~~~~~~
# It has a hook of its own, in the place of the key ``fp16``. It needs a GPU: here it was built, and
# trained nothing.
from howto.project.quiet import quiet

# {% else %}
# ~~~~~~~~~~~~~~~
# ``--amp`` changes the type of the config's ``optim_wrapper``, and leaves ``accumulate`` to it.
# It needs a GPU, and was not tried here.
from pathlib import Path
# {% endif %}

# {% if mmdet2 %}
single = "type='GradientCumulativeOptimizerHook', cumulative_iters=accumulate)"
half = single.replace(
    "OptimizerHook', ", "Fp16OptimizerHook',\n    loss_scale=512.,\n    "
)
mixed = checkout.edit(config, {single: half}, adapts=True)
registry, _ = api().hooks()
with quiet():
    hook = registry.build(checkout.config(mixed).optimizer_config)
checkout.check("Iterations that the hook adds up", hook.cumulative_iters, 8)
# {% else %}
stock_script = Path(checkout.root, "tools/train.py").read_text()
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

# {% if mmdet3 %}
from howto.project.quiet import quiet
# {% endif %}

content = checkout.annotations("train")
boxes = collections.Counter(each["image_id"] for each in content["annotations"])
(many, most), *_, (few, least) = boxes.most_common()
for name, images in ("two", [few, many]), ("twice", [few, few]):
    path = checkout.root / f"data/{name}.json"
    path.write_text(json.dumps(coco.subset(content, images)))
print(f"objects on the two images: {least} and {most}")

# %%
# {% if mmdet2 %}
plain = dict(
    data__train__ann_file="data/two.json",
    data__train__pipeline__2__keep_ratio=False,
    data__train__pipeline__3__flip_ratio=0.0,
    lr_config__warmup=None,
    data__samples_per_gpu=1,
    optimizer_config=dict(type="GradientCumulativeOptimizerHook", cumulative_iters=1),
)
# {% else %}
plain = dict(
    train_dataloader__dataset__ann_file="../two.json",
    train_dataloader__dataset__pipeline__2__keep_ratio=False,
    train_dataloader__dataset__pipeline__3__prob=0.0,
    param_scheduler__0__start_factor=1.0,
    train_dataloader__batch_size=1,
    optim_wrapper__accumulative_counts=1,
)
# {% endif %}


# %%
retinanet, retinanet_start = updates.starting(
    checkout, "retinanet", config, **fit.RESNET18, **plain
)
atss_path = "atss/atss_r50_fpn_1x_coco.py"
atss, atss_start = updates.starting(
    checkout, "atss", atss_path, **fit.RESNET18, **plain
)


# %%
# {% if mmdet3 %}

# {% endif %}
made = []


# {% if mmdet2 %}
def step(name, start, images, iterations, **more):
    """What one step adds to the weights, after so many iterations of so many images."""
    batch = dict(
        data__samples_per_gpu=images, optimizer_config__cumulative_iters=iterations
    )
    with quiet():
        run = checkout.train(name, evaluate=False, **batch, **more)
    made.append(run.steps == [iterations])
    return updates.update(start, run.model.state_dict())


# {% else %}
def step(name, start, images, iterations, **more):
    """What one step adds to the weights, after so many iterations of so many images."""
    batch = dict(
        train_dataloader__batch_size=images,
        optim_wrapper__accumulative_counts=iterations,
    )
    with quiet():
        run = checkout.train(name, evaluate=False, **batch, **more)
    made.append(run.steps == [iterations])
    return updates.update(start, run.model.state_dict())


# {% endif %}


# %%
checkout.train_in_two_processes([retinanet, atss])

# %%
steps = {}
for name, file, start in [
    ("RetinaNet", retinanet, retinanet_start),
    ("ATSS", atss, atss_start),
]:
    steps[name] = [
        step(file, start, 1, 2),
        updates.of_processes(checkout, file, start),
        step(file, start, 2, 1),
    ]

# %%
# The three steps, each a vector of all weights; lengths and distances are to scale:
import matplotlib.pyplot as plt

ways = ["two iterations of 1", "two GPUs with 1 each", "a batch of 2"]
figure, axes = plt.subplots(1, 2, figsize=(6, 2.4))
for axis, each in zip(axes, steps.values(), strict=True):
    arrows = updates.draw(axis, each)
figure.legend(arrows, ways, loc="lower center", ncols=3, frameon=False)
for axis, name in zip(axes, steps, strict=True):
    axis.set_title(name)

# %%
# RetinaNet's GPUs each divide by their own number, as iterations do. ATSS's GPUs tell each other
# theirs, so that several GPUs are as one large batch, and accumulated iterations are neither. How
# far two ways are apart, as a share of the second's step:
apart = {
    name: [updates.difference(*pair) for pair in ((g, a), (b, a), (g, b))]
    for name, (a, g, b) in steps.items()
}
rows = [(name, *(f"{value:.1%}" for value in values)) for name, values in apart.items()]
head = ("GPUs, iterations", "Batch, iterations", "GPUs, batch")
Table(("Detector", *head), rows)

# %%
checkout.check("RetinaNet, two GPUs", apart["RetinaNet"][0], at_most=1e-4)
checkout.check(
    "RetinaNet, a batch of two is another step", apart["RetinaNet"][1] > 0.01, True
)
checkout.check("ATSS, two GPUs and a batch of two", apart["ATSS"][2], at_most=1e-4)
checkout.check("ATSS, both are another step", min(apart["ATSS"][:2]) > 0.01, True)

# %%
# If the number is the same in each iteration, all three are the same but for rounding. Here an
# image comes twice:
# {% if mmdet2 %}
twice = dict(data__train__ann_file="data/twice.json")
# {% else %}
twice = dict(train_dataloader__dataset__ann_file="../twice.json")
# {% endif %}
accumulated = step(retinanet, retinanet_start, 1, 2, **twice)
batch = step(retinanet, retinanet_start, 2, 1, **twice)
same = updates.difference(batch, accumulated)
checkout.check("Difference of the two steps", same, at_most=1e-4)
checkout.check("Each run made one step, at its end", made, [True] * 6)

# %%
# Where the GPUs exchange the number, no learning rate makes accumulated iterations the same as
# several GPUs; that need not train worse. Of these detectors:
detectors = {**classes.standard(), "ATSS": atss_path}
exchange = {name: updates.exchanges(checkout, path) for name, path in detectors.items()}
words = {False: "no: as several GPUs", True: "yes: as neither"}
Table(
    ("Detector", "Its GPUs exchange the number"),
    [(name, words[value]) for name, value in exchange.items()],
)

# %%
checkout.check("RetinaNet's GPUs do", exchange["RetinaNet"], False)
checkout.check("ATSS's GPUs do", exchange["ATSS"], True)

# %%
# Your log should say
# -------------------
# The warning comes with every detector that has batch norms. Here they are frozen, with
# ``norm_eval``, and nothing is lost. The learning rate rises 8 times as slowly for each iteration.
each = len(checkout.dataset(cfg)) // 2
epochs = -(-12 // each)  # 12 iterations take as many
flag = dict(auto_scale_lr__enable=True)
run = checkout.train(config, epochs, evaluate=False, **flag, **fit.RESNET18)
# {% if mmdet2 %}
lines = [line for line in run.log.splitlines() if "cumulative" in line.lower()]
told = dict.fromkeys(line.partition("WARNING - ")[2] for line in lines)
print(*filter(None, told), *run.logged("Epoch [1]"), sep="\n")
reason = "may slightly decrease performance if the model has BatchNorm layers"
checkout.check(f"It says: {reason}", reason in run.log, True)
# {% else %}
reason = "may slightly decrease performance because the model has BatchNorm layers"
told = [line for line in run.log.splitlines() if reason in line]
print(*told, *run.logged("Epoch(train)")[:each], sep="\n")
checkout.check(f"It says: {reason}", len(told), 1)
# {% endif %}
training = [any(epoch.norms_training.values()) for epoch in run.epochs.values()]
checkout.check("Batch norms that train", any(training), False)

# %%
# Pitfalls
# --------

# %%
# {% if mmdet2 %}
# ``got an unexpected keyword argument 'cumulative_iters'``: the hook is not named
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Without a ``type`` it is the standard hook, which knows of no iterations to add up.
wrong = "type='GradientCumulativeOptimizerHook', "
nameless = checkout.edit(config, {wrong: ""})
failure = checkout.fails(checkout.train, nameless)
reason = "got an unexpected keyword argument 'cumulative_iters'"
checkout.check("It says", failure.message.partition("() ")[2], reason)
# {% else %}
# It steps after every iteration: a config of MMDetection 2
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``optimizer_config`` and its ``GradientCumulativeOptimizerHook`` mean nothing to MMDetection 3, and
# no error says so.
old = "optimizer_config = dict(\n    type='GradientCumulativeOptimizerHook', cumulative_iters=accumulate)"
outdated = checkout.edit(
    config, {"optim_wrapper = dict(accumulative_counts=accumulate)": old}
)
quick = dict(fit.RESNET18, train_dataloader__dataset__ann_file="../two.json")
quick["train_dataloader__batch_size"] = 1
ignored = checkout.train(outdated, evaluate=False, warmed_up=True, **quick)
checkout.check("Iterations that end with a step", ignored.steps, [1, 2])
# {% endif %}

# %%
# {% if mmdet2 %}
# ``got an unexpected keyword argument 'type'``: ``fp16`` is set, too
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# ``fp16`` chooses a hook by itself, and adds up nothing. See *Mixed precision* above.
half = dict(loss_scale=512.0)
failure = checkout.fails(checkout.train, config, fp16=half)
reason = "got an unexpected keyword argument 'type'"
checkout.check("It says", failure.message.partition("() ")[2], reason)
# {% else %}
# ``got an unexpected keyword argument 'accumulative_counts'``: it is in ``optimizer``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# PyTorch's optimizer knows of no iterations to add up. The key belongs beside it.
right = "dict(accumulative_counts=accumulate)"
inner = checkout.edit(config, {right: f"dict(optimizer={right})"})
failure = checkout.fails(checkout.train, inner)
reason = "got an unexpected keyword argument 'accumulative_counts'"
checkout.check(f"It says: {reason}", reason in failure.message, True)
# {% endif %}

# %%
# It learns at an eighth of the rate: ``--auto-scale-lr`` counts the images of an iteration
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Without ``base_batch_size`` it is the standard 16, and the flag takes two images on one GPU for an
# eighth of that. The step still sees 16.
line = "auto_scale_lr = dict(base_batch_size=16 / accumulate)  # of an iteration\n"
unaware = checkout.edit(config, {line: ""})
# {% if mmdet2 %}
quick = dict(fit.RESNET18, data__train__ann_file="data/two.json")
# {% else %}
del quick["train_dataloader__batch_size"]
# {% endif %}
slow = checkout.train(unaware, evaluate=False, warmed_up=True, **quick)
checkout.check("Learning rate", set(slow.rates), {0.01 / 8})

# %%
# Batch norms that train see an iteration, not a step
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# Many want a larger batch because of batch norms. Accumulation does not help them: each
# iteration has its own mean and variance, and moves the statistics by itself. Leave ``norm_eval``
# on, or take a norm that does not look at the batch, as GN.
# {% if mmdet2 %}
norms = checkout.train(
    retinanet,
    evaluate=False,
    model__backbone__norm_eval=False,
    optimizer_config__cumulative_iters=2,
)
# {% else %}
norms = checkout.train(
    retinanet,
    evaluate=False,
    model__backbone__norm_eval=False,
    optim_wrapper__accumulative_counts=2,
)
# {% endif %}
moved = norms.model.backbone.layer4[1].bn2.num_batches_tracked
checkout.check("Updates of the statistics before its one step", int(moved), 2)

# %%
# Proof
# -----

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
# {% if mmdet2 %}
rate, warm = api().rate(stock), stock.lr_config
checkout.check("Iterations of the standard warm-up", warm.warmup_iters, 500)
steps = [(iteration / 8) / warm.warmup_iters for iteration in range(iterations)]
share = [1 - (1 - step) * (1 - warm.warmup_ratio) for step in steps]
# {% else %}
rate, warm = api().rate(stock), stock.param_scheduler[0]
checkout.check("Iterations of the standard warm-up", warm.end, 500)
steps = [(iteration / 8) / warm.end for iteration in range(iterations)]
share = [warm.start_factor + (1 - warm.start_factor) * step for step in steps]
# {% endif %}
far = max(abs(a / (rate * b) - 1) for a, b in zip(run.rates, share, strict=True))
# {% if mmdet2 %}
checkout.check(
    "Largest difference from its rates, for as many steps", far, at_most=1e-6
)
# {% else %}
checkout.check(
    "Largest difference from its rates, for as many steps", far, at_most=5e-4
)
# {% endif %}

# %%
for name in (config, four):
    warm = checkout.train(name, evaluate=False, warmed_up=True, **quick)
    checkout.check("Learning rate after warm-up", set(warm.rates), {rate})
    checkout.check("Images of a step", warm.images_per_step, 16)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# Two processes average their gradients. A step sees 32 images, and the rate is doubled:
printed = checkout.launch(config, iterations=2, **flag, **fit.RESNET18)
# {% if mmdet2 %}
reason = "LR has been automatically scaled from 0.01 to 0.02"
# {% else %}
reason = "Scaling the original LR by 2.0"
# {% endif %}
checkout.check(f"It says: {reason}", reason in printed, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# - Accuracy: the weights are random, and the images small and few. So it is not shown how well
#   ATSS trains with accumulated iterations.
# - Detectors that draw samples at random, as Faster R-CNN: no two of their steps can be compared.
# - Memory and speed on a GPU, mixed precision, and eight GPUs.
