import os
import re
import subprocess
import sys

import pytest

from howto.project import files
from howto.project.stacks import ROOT


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
    (
        ("build",),
        {"HOWTO_STACK": "nonsense"},
        "howto build: no stack is called 'nonsense'; set HOWTO_STACK to one of: ",
    ),
    (("install", "nonsense"), {}, "howto install: no stack is called 'nonsense'; set HOWTO_STACK to one of: "),
    (("build",), {"HOWTO_DEVICE": "gpu"}, "howto build: HOWTO_DEVICE=gpu is unknown; set it to auto, cpu or cuda"),
    (("verify", "mosaic"), {"HOWTO_COCO": "/nowhere"}, "howto verify: COCO: HOWTO_COCO=/nowhere is not COCO 2017: "),
    (
        ("build",),
        {"HOWTO_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": ""},  # before anything runs
        "howto build: HOWTO_DEVICE: HOWTO_DEVICE=cuda, but torch finds no usable GPU; ",
    ),
]


@pytest.mark.parametrize(("arguments", "environment", "line"), MISTAKES, ids=[line[6:50] for *_, line in MISTAKES])
def test_a_mistake_is_answered_in_one_line(arguments, environment, line):
    code, out, errors = howto(*arguments, **environment)
    assert (code, out, len(errors)) == (1, "", 1)
    assert errors[0].startswith(line)


def test_a_command_that_does_not_exist_is_answered_with_the_usage_and_help_names_every_one():
    for arguments in ([], ["build", "--fast"]):
        code, out, errors = howto(*arguments)
        assert (code, out) == (2, "")
        assert errors[0].startswith("usage: python -m howto")
    _, out, _ = howto("--help")
    assert {"install", "doctor", "build", "doctest", "verify"} <= set(re.findall(r"^ +(\w+) ", out, re.M))


def test_verify_executes_a_how_to_and_says_how_it_went(tiny_project):
    done = tiny_project.howto("verify", "tiny")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "1 topics, all passed"
    assert re.search(r"tiny\W+1\W+\d+\W+passed", done.stdout)


def test_verify_says_where_a_script_has_a_syntax_error_and_goes_on(tiny):
    tiny.add("another")
    tiny.edit("gallery/plot_another.py", "import runpy", "import runpy)")
    done = tiny.howto("verify", "another", "tiny")
    assert done.returncode == 1
    assert re.search(r"another\W+0\W+\d+\W+gallery/plot_another\.py:12: SyntaxError: unmatched '\)'", done.stdout), (
        done.stdout
    )
    assert re.search(r"tiny\W+1\W+\d+\W+passed", done.stdout)
    assert done.stdout.splitlines()[-1] == "2 topics, 1 passed"


def test_what_a_locale_cannot_write_is_built_all_the_same(tiny):
    tiny.edit("gallery/plot_tiny.py", "\nTwo.\n", "\nOne → two.\n")
    tiny.edit("snippets/mmdet2/tiny/one.py", "print(1 + 1)", "print(1 + 1)  # → 2")
    done = tiny.howto("build", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tiny.site / "how-to/plot_tiny.html").read_text("utf-8")
    assert "One → two." in page
    assert "# → 2" in page
