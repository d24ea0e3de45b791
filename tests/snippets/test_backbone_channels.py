"""The script prints a backbone's channels wherever it is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from howto import stacks
from howto.files import snippet_folder

SCRIPT = snippet_folder(stacks.current().family) / "backbone_channels/get_channels.py"
SHAPES = ["(1, 64, 8, 8)", "(1, 128, 4, 4)", "(1, 256, 2, 2)", "(1, 512, 1, 1)"]


def run(script: Path, folder: Path) -> list[str]:
    """What the script prints when it is run in a folder, by line."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run([sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("folder", ["an empty folder", "the file system's root"])
def test_prints_the_shapes_from_any_folder(folder, tmp_path):
    assert run(SCRIPT, tmp_path if folder == "an empty folder" else Path("/")) == SHAPES


def test_prints_the_shapes_of_another_backbone_put_in_its_place(tmp_path):
    other = tmp_path / "other.py"
    other.write_text(SCRIPT.read_text().replace("ResNet(depth=18)", "ResNet(depth=50)"))
    assert run(other, tmp_path) == ["(1, 256, 8, 8)", "(1, 512, 4, 4)", "(1, 1024, 2, 2)", "(1, 2048, 1, 1)"]
