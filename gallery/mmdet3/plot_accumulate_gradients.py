"""
How do I train with a larger batch than fits on my GPU?
=======================================================

Add up the gradients of several iterations before each step. With this config one GPU trains two
images at a time, and a step sees 16, as on eight GPUs.
"""

# %%
# .. index:: ! gradient accumulation, ! accumulative_counts
#
# .. snippet:: accumulate_gradients/retinanet_r50_fpn_accumulate8_coco.py
#
# .. train:: accumulate_gradients/retinanet_r50_fpn_accumulate8_coco.py
#    :rate: accumulate_gradients_rate

# %%
# Adapt it
# --------

# %%
# More images at a time, or more GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/accumulate_gradients_adapt.rst
from howto import Workspace
from howto.checkout.family import api

checkout = Workspace("accumulate_gradients")
config = "retinanet_r50_fpn_accumulate8_coco.py"
cfg = checkout.config(config)
change = {
    "accumulate = 8  # iterations of 2 images": "accumulate = 4  # iterations of 4 images",
    "\noptim_wrapper": "\ntrain_dataloader = dict(batch_size=4)\noptim_wrapper",
}
four = checkout.edit(config, change, adapts=True)

# %%
# Mixed precision
# ~~~~~~~~~~~~~~~
# ``--amp`` changes the type of the config's ``optim_wrapper``, and leaves ``accumulate`` to it.
# It needs a GPU, and was not tried here.
from pathlib import Path

stock_script = Path(checkout.root, "tools/train.py").read_text()
line = "cfg.optim_wrapper.type = 'AmpOptimWrapper'"
checkout.check("What the flag does", line in stock_script, True)

# %%
# Is that the same as a larger batch?
# -----------------------------------
# .. include:: ../../gallery/words/accumulate_gradients_same.rst
import collections
import json

from howto.checkout import coco, fit
from howto.figures import classes, updates
from howto.figures.show import Table
from howto.project.quiet import quiet

content = checkout.annotations("train")
boxes = collections.Counter(each["image_id"] for each in content["annotations"])
(many, most), *_, (few, least) = boxes.most_common()
for name, images in ("two", [few, many]), ("twice", [few, few]):
    path = checkout.root / f"data/{name}.json"
    path.write_text(json.dumps(coco.subset(content, images)))
print(f"objects on the two images: {least} and {most}")

# %%
plain = dict(
    train_dataloader__dataset__ann_file="../two.json",
    train_dataloader__dataset__pipeline__2__keep_ratio=False,
    train_dataloader__dataset__pipeline__3__prob=0.0,
    param_scheduler__0__start_factor=1.0,
    train_dataloader__batch_size=1,
    optim_wrapper__accumulative_counts=1,
)


# %%
retinanet, retinanet_start = updates.starting(
    checkout, "retinanet", config, **fit.RESNET18, **plain
)
atss_path = "atss/atss_r50_fpn_1x_coco.py"
atss, atss_start = updates.starting(
    checkout, "atss", atss_path, **fit.RESNET18, **plain
)


# %%

made = []


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
# .. include:: ../../gallery/words/accumulate_gradients_drawn.rst
import matplotlib.pyplot as plt

ways = ["two iterations of 1", "two GPUs with 1 each", "a batch of 2"]
figure, axes = plt.subplots(1, 2, figsize=(6, 2.4))
for axis, each in zip(axes, steps.values(), strict=True):
    arrows = updates.draw(axis, each)
figure.legend(arrows, ways, loc="lower center", ncols=3, frameon=False)
for axis, name in zip(axes, steps, strict=True):
    axis.set_title(name)

# %%
# .. include:: ../../gallery/words/accumulate_gradients_table.rst
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
# .. include:: ../../gallery/words/accumulate_gradients_twice.rst
twice = dict(train_dataloader__dataset__ann_file="../twice.json")
accumulated = step(retinanet, retinanet_start, 1, 2, **twice)
batch = step(retinanet, retinanet_start, 2, 1, **twice)
same = updates.difference(batch, accumulated)
checkout.check("Difference of the two steps", same, at_most=1e-4)
checkout.check("Each run made one step, at its end", made, [True] * 6)

# %%
# .. include:: ../../gallery/words/accumulate_gradients_exchange.rst
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
# .. include:: ../../gallery/words/accumulate_gradients_log.rst
each = len(checkout.dataset(cfg)) // 2
epochs = -(-12 // each)  # 12 iterations take as many
flag = dict(auto_scale_lr__enable=True)
run = checkout.train(config, epochs, evaluate=False, **flag, **fit.RESNET18)
reason = "may slightly decrease performance because the model has BatchNorm layers"
told = [line for line in run.log.splitlines() if reason in line]
print(*told, *run.logged("Epoch(train)")[:each], sep="\n")
checkout.check(f"It says: {reason}", len(told), 1)
training = [any(epoch.norms_training.values()) for epoch in run.epochs.values()]
checkout.check("Batch norms that train", any(training), False)

# %%
# Pitfalls
# --------

# %%
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

# %%
# ``got an unexpected keyword argument 'accumulative_counts'``: it is in ``optimizer``
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# PyTorch's optimizer knows of no iterations to add up. The key belongs beside it.
right = "dict(accumulative_counts=accumulate)"
inner = checkout.edit(config, {right: f"dict(optimizer={right})"})
failure = checkout.fails(checkout.train, inner)
reason = "got an unexpected keyword argument 'accumulative_counts'"
checkout.check(f"It says: {reason}", reason in failure.message, True)

# %%
# It learns at an eighth of the rate: ``--auto-scale-lr`` counts the images of an iteration
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/accumulate_gradients_auto.rst
line = "auto_scale_lr = dict(base_batch_size=16 / accumulate)  # of an iteration\n"
unaware = checkout.edit(config, {line: ""})
del quick["train_dataloader__batch_size"]
slow = checkout.train(unaware, evaluate=False, warmed_up=True, **quick)
checkout.check("Learning rate", set(slow.rates), {0.01 / 8})

# %%
# Batch norms that train see an iteration, not a step
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/accumulate_gradients_norms.rst
norms = checkout.train(
    retinanet,
    evaluate=False,
    model__backbone__norm_eval=False,
    optim_wrapper__accumulative_counts=2,
)
moved = norms.model.backbone.layer4[1].bn2.num_batches_tracked
checkout.check("Updates of the statistics before its one step", int(moved), 2)

# %%
# Proof
# -----

# %%
# It steps after every eighth iteration, and at the end
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/accumulate_gradients_steps.rst
iterations = len(run.losses)
expected = sorted({*range(8, iterations + 1, 8), iterations})
print(f"iterations of an epoch: {iterations // epochs}")
checkout.check("Iterations that end with a step", run.steps, expected)
checkout.check("Images of a step", run.images_per_step, 16)

# %%
# Its learning rate is that of eight GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/accumulate_gradients_warm_up.rst
stock = checkout.config("retinanet/retinanet_r50_fpn_1x_coco.py")
rate, warm = api().rate(stock), stock.param_scheduler[0]
checkout.check("Iterations of the standard warm-up", warm.end, 500)
steps = [(iteration / 8) / warm.end for iteration in range(iterations)]
share = [warm.start_factor + (1 - warm.start_factor) * step for step in steps]
far = max(abs(a / (rate * b) - 1) for a, b in zip(run.rates, share, strict=True))
checkout.check(
    "Largest difference from its rates, for as many steps", far, at_most=5e-4
)

# %%
for name in (config, four):
    warm = checkout.train(name, evaluate=False, warmed_up=True, **quick)
    checkout.check("Learning rate after warm-up", set(warm.rates), {rate})
    checkout.check("Images of a step", warm.images_per_step, 16)

# %%
# It trains on several GPUs
# ~~~~~~~~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/accumulate_gradients_gpus.rst
printed = checkout.launch(config, iterations=2, **flag, **fit.RESNET18)
reason = "Scaling the original LR by 2.0"
checkout.check(f"It says: {reason}", reason in printed, True)

# %%
# What was not tried
# ~~~~~~~~~~~~~~~~~~
# .. include:: ../../gallery/words/accumulate_gradients_not_tried.rst
