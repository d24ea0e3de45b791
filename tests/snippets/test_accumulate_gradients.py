"""The config that adds up gradients, with what its page does not try: a run that ends, or resumes, in between."""

import pytest
import torch

from howto.checkout import fit, weights
from howto.checkout.family import api
from howto.figures import updates

CONFIG = "retinanet_r50_fpn_accumulate8_coco.py"


@pytest.fixture(scope="module")
def run(checkout):
    """One epoch, of 4 iterations."""
    return checkout.train(CONFIG, evaluate=False, **fit.RESNET18)


def test_a_run_that_is_shorter_than_its_iterations_makes_its_step_at_the_end(run):
    assert (len(run.losses), run.steps) == (4, [4])


def test_resumed_in_between_it_steps_where_it_would_have_and_says_what_is_lost(checkout, run):
    resumed = checkout.train(CONFIG, epochs=3, evaluate=False, resume_from=run.checkpoint, **fit.RESNET18)
    assert (len(resumed.losses), resumed.steps) == (8, [4, 8])  # after the 8th and the 12th of all
    assert "the gradient of some iter" in resumed.log.replace("iterations", "iters")


def test_what_is_clipped_is_the_sum(checkout):
    """Each iteration's gradient is far longer than the limit: a step of rate 1 is as long as the limit, not more."""
    right, clip, optimizer = {
        "mmdet2": ("cumulative_iters=accumulate", "grad_clip=dict(_delete_=True, max_norm=0.01)", "optimizer__"),
        "mmdet3": ("accumulative_counts=accumulate", "clip_grad=dict(max_norm=0.01)", "optim_wrapper__optimizer__"),
    }[checkout.source.parent.name]
    clipped = checkout.edit(CONFIG, {right: f"{right}, {clip}"}, adapts=True)
    cfg = checkout.config(clipped, **fit.RESNET18)
    torch.save({"state_dict": checkout.build(cfg).state_dict()}, checkout.root / "start.pth")
    warm = {key.replace(".", "__"): value for key, value in api().warmed_up(cfg).items()}
    warm |= {"auto_scale_lr__enable": False, f"{optimizer}lr": 1.0, f"{optimizer}weight_decay": 0.0}
    run = checkout.train(clipped, evaluate=False, load_from="start.pth", **fit.RESNET18, **warm)
    before, after = weights.load(checkout.root / "start.pth"), run.model.state_dict()
    step = torch.cat([each.flatten() for each in updates.update(before, after).values()])
    assert float(step.norm()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("number", [6, 12, 32])
def test_the_rate_of_a_step_of_16_images_stays_if_its_iterations_do_not_divide_them(checkout, number):
    cfg = checkout.config(checkout.edit(CONFIG, {"accumulate = 8": f"accumulate = {number}"}))
    assert cfg.auto_scale_lr.base_batch_size * api().accumulated(cfg) == pytest.approx(16)
