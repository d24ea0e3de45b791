from pathlib import Path

import pytest

from howto.checkout.checkpoints import Checkpoint, Detectron2Checkpoint, HubCheckpoint, at, named
from howto.project.errors import HowtoError

KINDS = {
    "https://download.pytorch.org/models/resnet50-0676ba61.pth": (
        Checkpoint,
        "resnet50-0676ba61.pth",
        "download.pytorch.org",
        "hub/checkpoints/resnet50-0676ba61.pth",
    ),
    "timm/efficientnet_b1.ft_in1k": (
        HubCheckpoint,
        "timm/efficientnet_b1.ft_in1k",
        "huggingface.co",
        f"huggingface/models--timm--efficientnet_b1.ft_in1k/snapshots/{'0' * 40}/model.safetensors",
    ),
    "https://dl.fbaipublicfiles.com/detectron2/ImageNetPretrained/MSRA/R-50.pkl": (
        Detectron2Checkpoint,
        "detectron2/ImageNetPretrained/MSRA/R-50.pkl",
        "dl.fbaipublicfiles.com",
        "iopath/detectron2/ImageNetPretrained/MSRA/R-50.pkl",
    ),
}


@pytest.mark.parametrize("address", KINDS)
def test_an_address_says_what_kind_of_checkpoint_it_is_and_where_that_is_kept(address):
    kind, name, host, place = KINDS[address]
    checkpoint = at(address, dict)
    assert (type(checkpoint), checkpoint.name, checkpoint.host) == (kind, name, host)
    assert checkpoint.place(Path("home")) == Path("home", place)
    assert (checkpoint.address, checkpoint.build) == (address, dict)
    assert type(named(name)) is kind


@pytest.mark.parametrize(
    ("kind", "name", "counts"),
    [
        (Checkpoint, "resnet50-0676ba61.pth", True),
        (Checkpoint, "resnet50.pth", False),
        (HubCheckpoint, "0123456789abcdef" * 4, True),
        (HubCheckpoint, "0123456789abcdef0123456789abcdef01234567", False),  # git's, of a small file
    ],
)
def test_the_end_of_a_files_name_is_its_hash_if_it_looks_like_one(tmp_path, kind, name, counts):
    path = tmp_path / name
    path.touch()
    if counts:
        with pytest.raises(HowtoError, match="is damaged, or another file"):
            kind(name).check_hash(path)
    else:
        kind(name).check_hash(path)
