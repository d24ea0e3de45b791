import hashlib
import io
import pickle
import socket
import threading
import time
import types

import numpy
import pytest
import skimage.data
import torch
from mmcv import Config
from mmcv.runner import load_checkpoint
from mmcv.runner.checkpoint import _load_checkpoint_with_prefix

from howto.checkout import inert, weights
from howto.project.errors import HowtoError

MOBILENET = "https://download.openmmlab.com/mmclassification/v0/mobilenet_v3/convert/mobilenet_v3_small-8427ecf0.pth"


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """A cache folder in which a stand-in is made once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path, stand_ins):
    """A user with an empty torch cache on a machine without a network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(stand_ins))
    monkeypatch.setattr(weights, "reachable", lambda host: False)


def resnet(depth):
    init = dict(type="Pretrained", checkpoint=f"torchvision://resnet{depth}")
    return Config(dict(model=dict(backbone=dict(type="ResNet", depth=depth, init_cfg=init))))


def mobilenet():
    init = dict(type="Pretrained", checkpoint=MOBILENET, prefix="backbone.")
    return Config(dict(model=dict(backbone=dict(type="mmcls.MobileNetV3", arch="small", init_cfg=init))))


def efficientnet():
    backbone = dict(type="mmcls.TIMMBackbone", model_name="efficientnet_b1", pretrained=True)
    return Config(dict(model=dict(backbone=backbone)))


def load(home, name):
    content = torch.load(home / "hub/checkpoints" / name)
    return content.get("state_dict", content)


def backbones():
    """Models that were written without a thought of this project, and the stand-in that each has to take.

    And the number of its parameters, as torchvision, MMClassification and timm publish it.
    """
    import timm
    import torchvision
    from mmcls.models import MobileNetV3

    mobile = MobileNetV3(arch="small", out_indices=(3, 8, 11))
    return {
        "torchvision": (resnet(18), "resnet18-f37072fd.pth", None, torchvision.models.resnet18(), 11_689_512),
        "mmcls": (mobilenet(), "mobilenet_v3_small-8427ecf0.pth", "backbone.", mobile, 2_542_856),
        "timm": (efficientnet(), "efficientnet_b1-533bc792.pth", None, timm.create_model("efficientnet_b1"), 7_794_184),
    }


@pytest.mark.parametrize("library", ["torchvision", "mmcls", "timm"])
def test_a_stand_in_fits_the_model_that_the_real_file_is_for_and_gives_activations_of_order_one(library, tmp_path):
    cfg, name, prefix, model, parameters = backbones()[library]
    assert weights.provide(cfg, tmp_path) == {name: "stand-in"}
    path, state = tmp_path / "hub/checkpoints" / name, load(tmp_path, name)
    if prefix:
        model.load_state_dict(_load_checkpoint_with_prefix(prefix, str(path)), strict=True)
    else:
        load_checkpoint(model, str(path), strict=True)
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert sum(value.numel() for key, value in state.items() if not key.endswith(statistics)) == parameters
    photograph = torch.tensor(skimage.data.coffee()).permute(2, 0, 1)[None].float()
    model.eval()
    with torch.no_grad():
        outputs = model(torch.nn.functional.interpolate((photograph - 116) / 58, size=224))
    for output in outputs if isinstance(outputs, tuple) else [outputs]:
        assert output.isfinite().all()
        assert 1e-3 < float(output.std()) < 1e2


def test_a_stand_in_is_the_same_everywhere_made_once_and_anew_if_it_is_broken(tmp_path, monkeypatch):
    weights.provide(resnet(18), tmp_path / "one")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights.provide(resnet(18), tmp_path)
    one, other = (load(home, "resnet18-f37072fd.pth") for home in (tmp_path / "one", tmp_path))
    assert [key for key in one if not torch.equal(one[key], other[key])] == []
    path = (tmp_path / "hub/checkpoints/resnet18-f37072fd.pth").resolve()
    made, whole = path.stat().st_mtime_ns, path.read_bytes()
    weights.provide(resnet(18), tmp_path)
    assert path.stat().st_mtime_ns == made
    for content in (b"not a checkpoint", whole[: len(whole) // 2]):
        path.write_bytes(content)
        weights.provide(resnet(18), tmp_path)
        assert load(tmp_path, "resnet18-f37072fd.pth")["conv1.weight"].shape == (64, 3, 7, 7)


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Call it with a state dict: torchvision's ResNet-18 then lies in the user's own torch cache, named by its hash."""

    def publish(content, named=True):
        folder = tmp_path / "torch/hub/checkpoints"
        folder.mkdir(parents=True)
        torch.save(content, folder / "half")
        digest = hashlib.sha256((folder / "half").read_bytes()).hexdigest()
        path = (folder / "half").rename(folder / f"resnet18-{digest[:8]}.pth" if named else folder / "resnet18.pth")
        urls = {"resnet18": f"https://download.pytorch.org/models/{path.name}"}
        monkeypatch.setattr(weights, "torchvision_urls", lambda: urls)
        return path

    return publish


@pytest.fixture
def state(tmp_path):
    weights.provide(resnet(18), tmp_path / "home")
    return load(tmp_path / "home", "resnet18-f37072fd.pth")


def test_a_file_in_the_users_cache_is_used_though_it_is_from_before_batches_were_counted(publish, state, tmp_path):
    path = publish({key: value for key, value in state.items() if not key.endswith("num_batches_tracked")})
    assert weights.provide(resnet(18), tmp_path / "home") == {path.name: "real"}
    assert (tmp_path / "home/hub/checkpoints" / path.name).resolve() == path


@pytest.mark.parametrize("content", [b"<html>captive portal</html>", "half"], ids=["text", "half"])
def test_a_file_that_is_not_what_its_name_says_stops_with_one_line_that_mends_it(publish, state, tmp_path, content):
    path = publish(state)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    before = path.read_bytes()
    with pytest.raises(HowtoError) as error:
        weights.provide(resnet(18), tmp_path / "home")
    found = hashlib.sha256(before).hexdigest()[:8]
    start = f"{path} is damaged, or another file: its sha256 begins with {found}, its name says "
    assert str(error.value).startswith(start) and str(error.value).endswith(f"; delete it: rm {path}")
    assert path.read_bytes() == before  # it is the user's to delete


def test_a_file_in_the_users_cache_without_weights_stops_with_one_line_that_mends_it(publish, tmp_path):
    path = publish({"state_dict": "text"})
    with pytest.raises(HowtoError, match="is not a readable checkpoint; delete it: rm") as error:
        weights.provide(resnet(18), tmp_path / "home")
    assert str(error.value).endswith(str(path)) and "\n" not in str(error.value)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("named", [True, False], ids=["named by its hash", "of any name"])
def test_code_in_a_checkpoint_does_not_run_and_what_trains_gets_a_copy_without_it(publish, state, tmp_path, named):
    meta = dict(epoch=12, iter=87960, config=types.SimpleNamespace(), best=numpy.float64(0.4))
    path = publish({"state_dict": state, "meta": meta, "evil": Malicious(tmp_path / "ran")}, named)
    assert weights.provide(resnet(18), tmp_path / "home") == {path.name: "real"}
    copied = torch.load(tmp_path / "home/hub/checkpoints" / path.name, weights_only=True)
    assert not (tmp_path / "ran").exists()
    assert all(torch.equal(copied["state_dict"][key], value) for key, value in state.items())
    assert copied["meta"] == {"epoch": 12, "iter": 87960}


def test_what_a_pickle_asks_for_beside_arrays_is_not_called(tmp_path):
    content = {"weight": numpy.arange(6.0).reshape(2, 3), "evil": Malicious(tmp_path / "ran"), "name": "one"}
    found = inert.load(io.BytesIO(pickle.dumps(content)))
    assert (found["weight"] == content["weight"]).all() and found["name"] == "one"
    assert isinstance(found["evil"], inert.Inert)
    with pytest.raises(pickle.UnpicklingError, match="open is no array"):
        inert.Strict(io.BytesIO(pickle.dumps(content))).load()
    del content["evil"]
    assert inert.Strict(io.BytesIO(pickle.dumps(content))).load()["name"] == "one"
    assert not (tmp_path / "ran").exists()


RETINANET = (
    "https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_r18_fpn_1x_coco/"
    "retinanet_r18_fpn_1x_coco_20220407_171055-614fd399.pth"
)


def test_a_detector_that_is_loaded_as_a_whole_has_the_keys_and_the_epoch_of_the_published_one(tmp_path):
    cfg = Config(dict(model=dict(backbone=dict(type="ResNet", depth=18)), load_from=RETINANET))
    name = RETINANET.rpartition("/")[2]
    assert weights.provide(cfg, tmp_path) == {name: "stand-in"}
    assert weights.hosts(cfg) == {name: "download.openmmlab.com"}
    path = tmp_path / "hub/checkpoints" / name
    model = weights._detector(RETINANET)
    assert load_checkpoint(model, str(path), strict=True)["meta"] == {"epoch": 12, "iter": 12 * 7330}
    biases = [value for name, value in model.named_parameters() if name.endswith("bias")]
    assert biases and all(value.any() for value in biases)  # a bias of 0 could be anybody's


def test_what_names_no_checkpoint_that_a_stand_in_could_be_made_of_needs_none(tmp_path):
    own = efficientnet()
    own.model.backbone.pretrained_cfg = dict(file=str(tmp_path / "own.pth"))
    address = "https://download.openmmlab.com/mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain/cspnext-s_imagenet_600e.pth"
    init = dict(type="Pretrained", checkpoint=address, prefix="backbone.")  # kept beside MMDetection's detectors
    for backbone in (dict(type="ResNet", depth=18), own.model.backbone, dict(type="CSPDarknet", init_cfg=init)):
        assert weights.provide(Config(dict(model=dict(backbone=backbone))), tmp_path) == {}


def test_a_checkpoint_that_nobody_knows_the_model_of_says_where_to_put_it(tmp_path):
    cfg = mobilenet()
    cfg.model.backbone.init_cfg.checkpoint = MOBILENET.replace("8427ecf0", "00000000")
    with pytest.raises(HowtoError, match=f"so no stand-in can be made; download it into {tmp_path}/torch/hub"):
        weights.provide(cfg, tmp_path)


REACHABLE = weights.reachable  # before any test replaces it


@pytest.fixture
def network(monkeypatch):
    """Every host is this process: returns the listening socket that its connections arrive at."""
    server = socket.create_server(("127.0.0.1", 0))
    address = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname())]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: address)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(weights, "reachable", REACHABLE)
    REACHABLE.cache_clear()
    yield server
    server.close()
    REACHABLE.cache_clear()


@pytest.mark.timeout(30)
def test_a_host_that_never_answers_or_whose_name_is_never_looked_up_is_given_up_in_time(network, tmp_path, monkeypatch):
    held = []
    threading.Thread(target=lambda: held.append(network.accept()), daemon=True).start()
    started = time.monotonic()
    assert weights.provide(resnet(18), tmp_path) == {"resnet18-f37072fd.pth": "stand-in"}
    assert time.monotonic() - started < 10
    REACHABLE.cache_clear()
    monkeypatch.setattr(weights, "PATIENCE", 1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: time.sleep(20))
    assert not weights.reachable("download.pytorch.org")
    assert time.monotonic() - started < 15
