"""timm 1.x asks the Hugging Face hub for its weights: what lies in that cache, and what takes its place."""

import hashlib
import os
import subprocess
import sys

import pytest
import timm
import torch
from huggingface_hub import constants
from mmdet.registry import MODELS
from mmengine.config import Config
from safetensors.torch import save_file

from howto.checkout import checkpoints, weights
from howto.checkout.isolation import isolated
from howto.project.errors import HowtoError

NAME = "timm/efficientnet_b1.ra4_e3600_r240_in1k"
BACKBONE = dict(type="mmpretrain.TIMMBackbone", model_name="efficientnet_b1", features_only=True, pretrained=True)
CFG = Config(dict(model=dict(backbone=BACKBONE)))


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def hub(monkeypatch, tmp_path, stand_ins):
    """The empty cache of a user on a machine without a network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(stand_ins))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(weights, "reachable", lambda host: False)
    return tmp_path / "hub"


def put(hub, state):
    """Put a file into the cache as the hub's client does: named by its sha256, with a link to it."""
    repository = hub / f"models--{NAME.replace('/', '--')}"
    for folder in ("blobs", "refs", "snapshots/0123abc"):
        (repository / folder).mkdir(parents=True)
    save_file(state, repository / "file")
    blob = repository / "blobs" / hashlib.sha256((repository / "file").read_bytes()).hexdigest()
    (repository / "file").rename(blob)
    (repository / "refs/main").write_text("0123abc")
    (repository / "snapshots/0123abc/model.safetensors").symlink_to(f"../../blobs/{blob.name}")
    return blob


def test_a_stand_in_is_loaded_by_the_code_that_loads_the_real_one(tmp_path):
    with isolated(tmp_path):
        assert weights.provide(CFG, tmp_path) == {NAME: "stand-in"}
        with weights.looking_in(tmp_path):
            loaded = MODELS.build(BACKBONE).timm_model.state_dict()
    state = checkpoints.load(checkpoints.named(NAME).place(tmp_path))
    assert [key for key, value in loaded.items() if not torch.equal(value, state[key])] == []


def test_a_new_process_finds_it_too_and_asks_no_host(tmp_path):
    with isolated(tmp_path):
        weights.provide(CFG, tmp_path)
    model = "timm.create_model('efficientnet_b1', pretrained=True)"
    code = f"import timm; print(sum(p.sum().item() for p in {model}.parameters()))"
    own = {**os.environ, **weights.environment(tmp_path)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=own, capture_output=True, text=True)
    state = checkpoints.load(checkpoints.named(NAME).place(tmp_path))
    model = timm.create_model("efficientnet_b1")
    model.load_state_dict(state)
    assert float(done.stdout) == pytest.approx(sum(p.sum().item() for p in model.parameters()))


def test_the_users_own_file_is_the_real_one(tmp_path, hub):
    assert checkpoints.named(NAME).cached() is None
    put(hub, timm.create_model("efficientnet_b1").state_dict())
    with isolated(tmp_path):
        assert weights.provide(CFG, tmp_path) == {NAME: "real"}
    assert checkpoints.named(NAME).cached() == checkpoints.named(NAME).place(tmp_path).readlink()


def test_a_file_that_is_not_what_its_sha256_says_stops(tmp_path, hub):
    blob = put(hub, timm.create_model("efficientnet_b1").state_dict())
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    with isolated(tmp_path), pytest.raises(HowtoError, match=f"damaged.*delete it: rm .*{blob.name}"):
        weights.provide(CFG, tmp_path)
