"""A disk that is full or cannot be written fails the build with one line, and the last good site stays."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.howto.publish.test_build import append, content, pages


@pytest.fixture(autouse=True)
def namespaces():
    """Mounts are made in a namespace of their own, which needs no root and is gone with its process."""
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True).returncode:
        message = "this kernel lets nobody mount in a namespace of its own (unshare --map-root-user --mount)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


def howto(project, mount, after=""):
    """Mount, build once, and run `after`; what the build said, and its exit code."""
    build = f"{shlex.quote(sys.executable)} -m howto build; code=$?"
    script = f"set -e; {mount}; cd {project.root}; set +e; {build}; {after or ':'}; exit $code"
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script], cwd=project.root, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(project.root), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_a_tree_that_cannot_be_written_is_named_in_one_line(tiny):
    append(tiny, "gallery/plot_tiny.py", "\n# edited\n")
    before = content(tiny.root)
    done = howto(tiny, f"mount --bind {tiny.root} {tiny.root}; mount -o remount,bind,ro {tiny.root}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "Read-only file system" in line
    assert str(tiny.root / "docs") in line
    assert content(tiny.root) == before


def size(folder):
    """KiB on a tmpfs, whose pages have 4 KiB."""
    return sum(-(-path.stat().st_size // 4096) * 4 for path in folder.rglob("*"))


@pytest.mark.parametrize("during", ["execution", "writing the pages", "publishing"])
def test_a_disk_that_fills_up_leaves_the_last_good_site_and_the_next_build_is_whole(tiny, tmp_path, during):
    append(tiny, "gallery/plot_tiny.py", "\n# %%\nprint('more')\n")
    before, folder, kept = content(tiny.site), tiny.root / "docs/_build", tmp_path / "kept"
    pages_alone = size(folder / "work")
    shutil.rmtree(folder / "work")
    spare = {"execution": 0, "writing the pages": pages_alone // 2, "publishing": pages_alone + 200}[during]
    room = size(folder) + spare
    mount = f"cp -a {folder} {kept}; mount -t tmpfs -o size={room}k tmpfs {folder}; cp -a {kept}/. {folder}"
    done = howto(tiny, mount, after=f"rm -r {kept}; cp -a {folder} {kept}")
    assert done.returncode == 1
    assert "no space left on" in done.stderr.splitlines()[-1].lower()
    folder.rename(tmp_path / "old")
    kept.rename(folder)
    assert content(tiny.site) == before
    assert tiny.howto("build").returncode == 0
    assert pages(tiny) == ["tiny"]
    assert "more" in (tiny.site / "how-to/plot_tiny.html").read_text()
