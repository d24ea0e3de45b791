"""What a real run asks of every config of every how-to: its own scale, several GPUs, its learning rate; resuming."""

import re
from collections.abc import Iterator

import pytest
import torch

from howto import Workspace
from howto.checkout import measure
from howto.checkout.family import api
from howto.commands.edits import is_config
from howto.project import howtos, stacks

FAMILY = stacks.current().family
CONFIGS = [
    (howto.topic, path.name)
    for howto in howtos.runnable(stacks.current())
    for path in howto.snippets
    if is_config(path.read_text("utf-8"))
]


class Subject:
    """A config of a how-to in a checkout of its own, and what is made of it, each once."""

    def __init__(self, topic: str, name: str) -> None:
        self.checkout = Workspace(topic)
        self.cfg = self.checkout.config(name)
        self.path = self.checkout.root / "configs" / topic / name

    @property
    def stock(self):
        """The stock config whose detector this one changes: the one that it names, else the first with its model."""
        text = self.path.read_text("utf-8")
        if whole := re.search(r"\.\.[./]?(\w+[./][\w-]+_coco)(\.py| import)", text):
            return self.checkout.config(f"{whole[1].replace('.', '/')}.py")
        model = re.search(r"_base_[./]models[./]([\w-]+)", text)[1]
        return self.checkout.config(str(next(self.checkout.root.glob(f"configs/*/{model}_1x_coco.py"))))


def sides(node: object, key: object = None) -> Iterator[int]:
    """All heights and widths that a part of a config names as image scales."""
    if isinstance(node, int) and key in api().SCALES:
        yield node
    items = node.items() if isinstance(node, dict) else [(key, each) for each in node] if hasattr(node, "index") else []
    for name, value in items:
        yield from () if isinstance(value, str) else sides(value, name)


def of(*topics: str):
    """Run a test for each config of these how-tos, or of all."""
    return pytest.mark.parametrize(
        "config", [each for each in CONFIGS if not topics or each[0] in topics], ids="/".join
    )


@of("mmcls_backbone", "mosaic", "mosaic_off", "small_objects", "timm_backbone")
def test_what_has_scales_or_levels_of_its_own_trains_at_full_size_and_each_weight_gets_a_gradient_or_it_says_so(config):
    """One step on a photograph that the config's own pipeline has prepared; others have the stock config's."""
    subject = Subject(*config)
    model, dataset = subject.checkout.build(subject.cfg), subject.checkout.dataset(subject.cfg)
    levels, boxes = measure.neck_strides(model), measure.roi_strides(model)
    assert levels == measure.anchor_strides(model)
    assert levels[: len(boxes)] == boxes
    with subject.checkout.inside():
        item = dataset[0]
        model.train()
        loss = api().loss(model, [item])
        loss.backward()
    assert set(sides(api().split(subject.cfg, "train"))) & set(api().shape(item))  # its images are as large as it says
    assert 0 < float(loss) < 100
    assert all(torch.isfinite(value.grad).all() for value in model.parameters() if value.grad is not None)
    unused = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert bool(unused) == subject.cfg.get("find_unused_parameters", False), unused


@of()
def test_its_rate_is_that_of_the_stock_config_for_eight_gpus_or_a_tenth_to_finetune(config):
    subject = Subject(*config)
    own, stock = subject.cfg, subject.stock
    assert api().rate(own) == pytest.approx(api().rate(stock) / (10 if own.load_from else 1))
    assert own.auto_scale_lr.base_batch_size * api().accumulated(own) == 8 * api().images(own)


@of("mmcls_backbone", "timm_backbone")
def test_it_trains_in_two_processes_though_its_page_launches_it_with_a_mistake_alone(config):
    topic, name = config
    checkout = Workspace(topic)
    checkout.launch(name, iterations=3)
    assert list(checkout.root.glob("work_dirs/*_two_processes0/epoch_*.pth"))


# One with the plain data set of readers, and one whose data set is wrapped; the others train on their pages.
@of("custom_classes", "mosaic")
def test_on_one_gpu_it_trains_at_the_scaled_rate_is_evaluated_by_the_stock_script_and_resumes(config):
    subject, name = Subject(*config), config[1]
    run = subject.checkout.train(name, evaluate=False, warmed_up=True)
    images = subject.cfg.auto_scale_lr.base_batch_size * api().accumulated(subject.cfg)
    rate = api().rate(subject.cfg) * run.images_per_step / images
    assert run.rates == [pytest.approx(rate)] * len(run.losses)
    assert all(0 < loss < 100 for loss in run.losses)
    path, checkpoint = (each.relative_to(subject.checkout.root) for each in (subject.path, run.checkpoint))
    metric = " --eval bbox" if FAMILY == "mmdet2" else ""
    assert "Evaluating bbox..." in subject.checkout.shell(f"python tools/test.py {path} {checkpoint}{metric} {{fit}}")
    resumed = subject.checkout.train(name, epochs=2, evaluate=False, warmed_up=True, resume_from=run.checkpoint)
    assert (list(resumed.epochs), resumed.rates) == ([1], run.rates)
