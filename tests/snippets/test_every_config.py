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
from howto.project.errors import HowtoError
from howto.project.howtos import HowTo

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
        self.name = name
        self.cfg = self.checkout.config(name)
        self.path = self.checkout.root / "configs" / topic / name

    @property
    def launched_on_its_page(self) -> bool:
        howto = HowTo(stacks.current(), self.checkout.topic)
        return launches(howto.text, self.name, trained(howto))

    @property
    def stock(self):
        """The stock config whose detector this one changes: the one that it names, else the first with its model."""
        text = self.path.read_text("utf-8")
        if whole := re.search(r"\.\.[./]?(\w+[./][\w-]+_coco)(\.py| import)", text):
            return self.checkout.config(f"{whole[1].replace('.', '/')}.py")
        model = re.search(r"_base_[./]models[./]([\w-]+)", text)[1]
        return self.checkout.config(str(next(self.checkout.root.glob(f"configs/*/{model}_1x_coco.py"))))


def trained(howto: HowTo) -> str:
    """File name of the config that a page's readers train; empty if it has no such config."""
    try:
        return howto.config.name
    except HowtoError:
        return ""


def launches(page: str, name: str, own: str) -> bool:
    """Whether a page, whose script this is, trains the config `name` in two processes, which must succeed.

    A page names it by a variable, in the spelling of either family, or not at all if it is its `own`.
    """
    named = [config.replace("-", "_") for config in re.findall(r'^config = "(.+)"$', page, re.MULTILINE)]
    first = [r"\[?config\b"] if name.replace("-", "_") in named else []
    first += [r"\[?checkout\.own\b", r"\w+=", r"\*\*", r"\)"] if name == own else []
    call = rf"checkout\.(?:launch|train_in_two_processes)\((?:{'|'.join(first)}).*$"
    return bool(first) and any("succeeds=False" not in found for found in re.findall(call, page, re.MULTILINE))


def sides(node: object, key: object = None) -> Iterator[int]:
    """All heights and widths that a part of a config names as image scales."""
    if isinstance(node, int) and key in api().SCALES:
        yield node
    items = node.items() if isinstance(node, dict) else [(key, each) for each in node] if hasattr(node, "index") else []
    for name, value in items:
        yield from () if isinstance(value, str) else sides(value, name)


@pytest.fixture(scope="module", params=CONFIGS, ids="/".join)
def subject(request) -> Subject:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HOWTO_COCO", raising=False)
        return Subject(*request.param)


@pytest.fixture(scope="module")
def model(subject):
    return subject.checkout.build(subject.cfg)


@pytest.fixture(scope="module")
def step(subject, model) -> tuple[dict, float]:
    """What the config's own pipeline makes of a photograph, and the loss of one step on it; its gradients stay."""
    dataset = subject.checkout.dataset(subject.cfg)
    with subject.checkout.inside():
        item = dataset[0]
        model.train()
        loss = api().loss(model, [item])
        loss.backward()
    return item, float(loss)


def test_it_trains_at_its_own_scale(step, model):
    assert 0 < step[1] < 100
    assert all(torch.isfinite(value.grad).all() for value in model.parameters() if value.grad is not None)


def test_its_images_are_as_large_as_it_says(subject, step):
    (train, *_) = api().datasets(subject.cfg).values()
    assert set(sides(train)) & set(api().shape(step[0]))


def test_the_levels_have_the_strides_that_anchors_and_boxes_count_on(model):
    levels, boxes = measure.neck_strides(model), measure.roi_strides(model)
    assert levels == measure.anchor_strides(model)
    assert levels[: len(boxes)] == boxes


def test_all_that_trains_gets_a_gradient_or_it_says_that_something_gets_none(subject, step, model):
    unused = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert bool(unused) == subject.cfg.get("find_unused_parameters", False), unused


def test_it_trains_in_two_processes_here_or_on_its_page(subject):
    if not subject.launched_on_its_page:
        subject.checkout.launch(subject.name, iterations=3)
        assert list(subject.checkout.root.glob("work_dirs/*_two_processes0/epoch_*.pth"))


def test_pages_that_launch_their_config_are_told_from_those_that_do_not():
    pages = {howto.topic: (howto.text, trained(howto)) for howto in howtos.of(stacks.current())}
    launched = {topic for topic, name in CONFIGS if launches(pages[topic][0], name, pages[topic][1])}
    assert {"finetune", "freeze", "unfreeze_backbone"} < launched
    assert "mosaic" not in launched
    page = 'config = "one.py"\nsaid = checkout.launch(config{})\n'
    assert launches(page.format(", iterations=2"), "one.py", "")
    assert not launches(page.format(", succeeds=False"), "one.py", "")
    assert not launches(page.format(""), "other.py", "other.py")
    assert not launches(page.replace("launch(config", "launch(variant").format(""), "one.py", "one.py")
    for arguments in ("iterations=2", "**small", "checkout.own", ""):
        assert launches(f"checkout.launch({arguments})", "one.py", "one.py")
        assert not launches(f"checkout.launch({arguments})", "one.py", "other.py")


def test_its_rate_is_that_of_the_stock_config_for_eight_gpus_or_a_tenth_to_finetune(subject):
    own, stock = subject.cfg, subject.stock
    assert api().rate(own) == pytest.approx(api().rate(stock) / (10 if own.load_from else 1))
    assert own.auto_scale_lr.base_batch_size * api().accumulated(own) == 8 * api().images(own)


# One with the plain data set of readers, and one whose data set is wrapped; the others train on their pages.
RESUMED = [(topic, name) for topic, name in CONFIGS if topic in ("custom_classes", "mosaic")]


@pytest.fixture(scope="module", params=RESUMED, ids="/".join)
def epoch(request):
    """One epoch on small images, at the rate that ``--auto-scale-lr`` leads to on one GPU once it has warmed up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HOWTO_COCO", raising=False)
        subject = Subject(*request.param)
    return subject, subject.checkout.train(subject.name, evaluate=False, warmed_up=True)


def test_on_one_gpu_the_rate_is_scaled_to_the_images_of_a_step(epoch):
    subject, run = epoch
    images = subject.cfg.auto_scale_lr.base_batch_size * api().accumulated(subject.cfg)
    rate = api().rate(subject.cfg) * run.images_per_step / images
    assert run.rates == [pytest.approx(rate)] * len(run.losses)
    assert all(0 < loss < 100 for loss in run.losses)


def test_what_it_saved_is_evaluated_by_the_stock_script(epoch):
    subject, run = epoch
    path, checkpoint = (each.relative_to(subject.checkout.root) for each in (subject.path, run.checkpoint))
    metric = " --eval bbox" if FAMILY == "mmdet2" else ""
    assert "Evaluating bbox..." in subject.checkout.shell(f"python tools/test.py {path} {checkpoint}{metric} {{fit}}")


def test_it_resumes(epoch):
    subject, run = epoch
    resumed = subject.checkout.train(subject.name, epochs=2, evaluate=False, warmed_up=True, resume_from=run.checkpoint)
    assert list(resumed.epochs) == [1]
    assert resumed.rates == run.rates
