"""What the tests of the snippets share."""

import io
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from howto import Workspace
from howto.checkout import standby
from howto.project import files, stacks
from howto.project.howtos import HowTo
from howto.site.downloads import one_gpu, topic_zip

FAMILY = stacks.current().family
standby.keep()  # while no test has imported anything

# What this family does not have needs packages that this stack does not have.
OTHERS = {topic for stack in stacks.STACKS.values() for topic in files.topics(stack.family)} - {*files.topics(FAMILY)}
collect_ignore = [f"test_{topic}.py" for topic in sorted(OTHERS)]


@pytest.fixture(scope="module")
def checkout(request) -> Workspace:
    """The checkout of the how-to a test module is named after, with mini-COCO in it even if there is a real COCO."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HOWTO_COCO", raising=False)
        return Workspace(request.path.stem.removeprefix("test_"))


@pytest.fixture(scope="module")
def work_dir(checkout) -> Path:
    """What the stock ``tools/train.py`` leaves of one epoch of the how-to's zip, started with the command it gives."""
    howto = HowTo(stacks.current(), checkout.topic)
    page = howto.text.replace("\\\n# ", "")  # a command may go on below
    trained = re.search(r"^# \.\. train:: (\S+)$", page, re.MULTILINE)
    page = f"#    $ {one_gpu(howto.config)}" if trained else page
    found = re.search(r"^#    \$ (.*\bpython tools/train\.py configs/\w+/(\S+)\.py.*)$", page, re.MULTILINE)
    command, name = found.groups()
    folder = checkout.root / "work_dirs" / name
    shutil.rmtree(folder, ignore_errors=True)
    own = checkout.root / "configs" / checkout.topic
    aside = own.rename(own.with_name("aside"))
    with zipfile.ZipFile(io.BytesIO(topic_zip(howto))) as archive:
        archive.extractall(own.parent)
    checkout.shell(f"{command} {{fit}}")
    shutil.rmtree(own)
    aside.rename(own)
    return folder


@pytest.fixture(scope="session")
def resnet18() -> dict:
    """What to change in a Faster R-CNN config so that a smaller ResNet trains, in half the time."""
    return dict(
        model__backbone__depth=18,
        model__backbone__init_cfg__checkpoint="torchvision://resnet18",
        model__neck__in_channels=[64, 128, 256, 512],
    )
