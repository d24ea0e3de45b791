import os
import re
import subprocess
import sys

import pytest

from howto import files
from howto.stacks import ROOT


def howto(*arguments, **environment):
    """Run ``python -m howto`` and return its exit code, what it printed and its error lines."""
    done = subprocess.run(
        [sys.executable, "-m", "howto", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


TOPICS = ", ".join(files.topics("mmdet2"))
MISTAKES = [
    (("verify", "nonsense"), {}, f"howto verify: there is no how-to 'nonsense'; there are: {TOPICS}"),
    (("verify", "../mosaic"), {}, f"howto verify: there is no how-to '../mosaic'; there are: {TOPICS}"),
    (
        ("verify",),
        {"HOWTO_STACK": "nonsense"},
        "howto verify: no stack is called 'nonsense'; set HOWTO_STACK to one of: ",
    ),
    (
        ("build",),
        {"HOWTO_STACK": "nonsense"},
        "howto build: no stack is called 'nonsense'; set HOWTO_STACK to one of: ",
    ),
    (("install", "nonsense"), {}, "howto install: no stack is called 'nonsense'; set HOWTO_STACK to one of: "),
    (("build",), {"HOWTO_DEVICE": "gpu"}, "howto build: HOWTO_DEVICE=gpu is unknown; set it to auto, cpu or cuda"),
    (("verify", "mosaic"), {"HOWTO_COCO": "/nowhere"}, "howto verify: COCO: HOWTO_COCO=/nowhere is not COCO 2017: "),
]


@pytest.mark.parametrize(("arguments", "environment", "line"), MISTAKES, ids=[line[6:50] for *_, line in MISTAKES])
def test_a_mistake_is_answered_in_one_line(arguments, environment, line):
    code, out, errors = howto(*arguments, **environment)
    assert (code, out, len(errors)) == (1, "", 1)
    assert errors[0].startswith(line)


def test_cuda_without_a_gpu_stops_before_anything_runs():
    code, out, errors = howto("build", HOWTO_DEVICE="cuda", CUDA_VISIBLE_DEVICES="")
    assert (code, out) == (1, "")
    assert errors[0].startswith("howto build: HOWTO_DEVICE: HOWTO_DEVICE=cuda, but torch finds no usable GPU; ")
    assert len(errors) == 1


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("build", "--fast")], ids=str)
def test_a_command_that_does_not_exist_is_answered_with_the_usage(arguments):
    code, out, errors = howto(*arguments)
    assert (code, out) == (2, "")
    assert errors[0].startswith("usage: python -m howto")


def test_help_names_every_command():
    code, out, _ = howto("--help")
    assert code == 0
    assert [
        name for name in ("install", "doctor", "build", "doctest", "verify") if not re.search(rf"^ +{name} ", out, re.M)
    ] == []


def test_verify_executes_a_how_to_and_says_how_it_went():
    code, out, _ = howto("verify", "backbone_channels")
    assert code == 0, out
    assert out.splitlines()[-1] == "1 topics, all passed"
    assert re.search(r"backbone_channels\W+[1-9]\d*\W+\d+\W+passed", out)
