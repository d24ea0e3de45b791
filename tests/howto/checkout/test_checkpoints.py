from pathlib import Path

import pytest

from howto.checkout.checkpoints import Detectron2Checkpoint, HubCheckpoint, TorchCheckpoint, at, named

KINDS = {
    "https://download.pytorch.org/models/resnet50-0676ba61.pth": (
        TorchCheckpoint,
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


def test_the_end_of_a_files_name_is_its_hash_if_it_looks_like_one():
    digest = "0123456789abcdef" * 4
    assert TorchCheckpoint.digits(Path("resnet50-0676ba61.pth")) == "0676ba61"
    assert TorchCheckpoint.digits(Path("resnet50.pth")) == ""
    assert TorchCheckpoint.digits(Path("resnet50-0676ba61.pkl")) == ""
    assert HubCheckpoint.digits(Path("blobs", digest)) == digest
    assert HubCheckpoint.digits(Path("blobs", digest[:40])) == ""  # git's, of a small file


def test_what_old_checkpoints_are_without_is_not_missed():
    assert TorchCheckpoint.may_lack("bn1.num_batches_tracked")
    assert not TorchCheckpoint.may_lack("bn1.running_mean")
    assert Detectron2Checkpoint.may_lack("stem.conv1.norm.running_mean")
    assert not Detectron2Checkpoint.may_lack("stem.conv1.weight")
