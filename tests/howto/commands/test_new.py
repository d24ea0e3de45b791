import os
import subprocess
import sys

import pytest

from howto.commands.new import SCRIPT, new
from howto.project import stacks
from howto.project.errors import HowtoError
from howto.project.rendering import render

STACK = stacks.named("mmdet2")


@pytest.mark.parametrize("name", ["Soft", "soft-nms", "soft_", "../soft", "", "class nms"])
def test_a_name_that_cannot_be_one_is_refused(name):
    with pytest.raises(HowtoError, match="cannot be the name of a how-to"):
        new(STACK, name)


def test_a_how_to_that_is_there_is_left_alone():
    with pytest.raises(HowtoError, match="choose another name"):
        new(STACK, "mosaic")


@pytest.mark.parametrize(("stack", "factor"), [("mmdet2", ""), ("onedl", "-onedl")])
def test_a_scaffolded_script_is_one_for_both_families_under_a_question(project, stack, factor):
    done = project.howto("new", "soft_nms", HOWTO_STACK=stack)
    assert done.returncode == 0, done.stderr
    assert f"tox -e verify{factor} -- soft_nms" in done.stdout
    source = project.root / "gallery/plot_soft_nms.py"
    for family, named in (("mmdet2", "soft_nms"), ("mmdet3", "soft-nms")):
        text = render(source, family)
        compile(text, "plot_soft_nms.py", "exec")
        assert text.splitlines()[1:3] == ["How do I soft nms?", "=================="]
        assert (project.root / f"snippets/{family}/soft_nms/retinanet_r18_fpn_{named}_1x_coco.py").is_file()
    assert len(SCRIPT.splitlines()) < 90


@pytest.mark.slow
def test_a_scaffolded_how_to_builds_and_its_tests_pass(tiny):
    done = tiny.howto("new", "soft_nms")
    assert done.returncode == 0, done.stderr
    done = tiny.howto("build")
    assert done.returncode == 0, done.stderr
    assert (tiny.site / "how-to/plot_soft_nms.html").is_file()
    environment = {**os.environ, "PYTHONPATH": str(tiny.root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "tests/snippets/test_soft_nms.py"]
    done = subprocess.run(command, cwd=tiny.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
