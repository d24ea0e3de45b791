import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_scaffolded_how_to_passes_with_its_tests(project):
    done = project.howto("new", "soft_nms")
    assert done.returncode == 0, done.stderr
    done = project.howto("verify", "soft_nms")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 topics, all passed"
    environment = {**os.environ, "PYTHONPATH": str(project.root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "tests/snippets/test_soft_nms.py"]
    done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
