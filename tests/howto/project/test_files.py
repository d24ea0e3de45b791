import fcntl
import os
import re
import subprocess
import sys

from howto.project.files import snippet_folder
from howto.project.stacks import ROOT


def test_another_stack_s_configuration_waits_for_a_build_before_it_moves_the_pages(project):
    build, pages = project.root / "docs/_build", project.root / "docs/how-to"
    for folder in (build, pages):
        folder.mkdir(parents=True, exist_ok=True)
    (pages / "stack").write_text("mmdet2")
    with (build / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = subprocess.Popen(
            [sys.executable, "-c", "import runpy; runpy.run_path('conf.py')"], cwd=project.root, text=True,
            env={**os.environ, "HOWTO_STACK": "mmdet3"}, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert other.stdout.readline() == "waiting for another build in this checkout …\n"
        assert (pages / "stack").read_text() == "mmdet2"
    assert other.wait(timeout=30) == 0
    assert (pages / "stack").read_text() == "mmdet3"


def test_who_builds_may_ask_again_and_a_process_that_is_forked_has_not_asked(project):
    code = """
import os
import re
from howto.project import files
with files.building():
    with files.building():
        print("twice", flush=True)
    child = os.fork()
    if not child:
        print(files.build_lock.process == os.getpid(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
print(files.build_lock.process)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=project.root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["twice", "False", "0"]


def test_the_readme_shows_a_snippet_as_it_is_and_what_its_page_measured():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert (
        f"```python\n{(snippet_folder('mmdet2') / 'backbone_channels/get_channels.py').read_text('utf-8')}```" in readme
    )
    shapes = [(1, 64, 8, 8), (1, 128, 4, 4), (1, 256, 2, 2), (1, 512, 1, 1)]
    assert re.findall(r"`(\(1, [\d, ]+\))`", readme) == [str(shape) for shape in shapes]
    text = (ROOT / "gallery/plot_backbone_channels.py").read_text("utf-8")
    assert all(str(shape) in text for shape in shapes)  # where the page checks them
    (picture,) = re.findall(r"\]\((docs/\S+\.webp)\)", readme)
    assert (ROOT / picture).stat().st_size < 100_000
