import hashlib
import io
import pickle
import re
import socket
import subprocess
import sys
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

from howto.checkout import family, inert, weights
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
    """Models that were written without a thought of this project, with the stand-in that each has to take."""
    import timm
    import torchvision
    from mmcls.models import MobileNetV3

    return [
        (resnet(18), "resnet18-f37072fd.pth", None, torchvision.models.resnet18()),
        (
            mobilenet(),
            "mobilenet_v3_small-8427ecf0.pth",
            "backbone.",
            MobileNetV3(arch="small", out_indices=(3, 8, 11)),
        ),
        (efficientnet(), "efficientnet_b1-533bc792.pth", None, timm.create_model("efficientnet_b1")),
    ]


@pytest.fixture(scope="module", params=range(3), ids=["torchvision", "mmcls", "timm"])
def case(request):
    return types.SimpleNamespace(**dict(zip(("cfg", "name", "prefix", "model"), backbones()[request.param])))


def test_a_stand_in_is_said_to_be_one(case, tmp_path):
    assert weights.provide(case.cfg, tmp_path) == {case.name: "stand-in"}


def test_a_stand_in_fits_the_model_that_the_real_file_is_for(case, tmp_path):
    weights.provide(case.cfg, tmp_path)
    path = tmp_path / "hub/checkpoints" / case.name
    if case.prefix:
        state = _load_checkpoint_with_prefix(case.prefix, str(path))
        case.model.load_state_dict(state, strict=True)
    else:
        load_checkpoint(case.model, str(path), strict=True)


@pytest.mark.parametrize(
    ("cfg", "name", "parameters", "some"),
    [
        # Parameters as torchvision, MMClassification and timm publish them.
        (resnet(18), "resnet18-f37072fd.pth", 11_689_512, {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 512)}),
        (
            mobilenet(),
            "mobilenet_v3_small-8427ecf0.pth",
            2_542_856,
            {"backbone.layer0.conv.weight": (16, 3, 3, 3), "head.layers.1.fc.weight": (1000, 1024)},
        ),
        (
            efficientnet(),
            "efficientnet_b1-533bc792.pth",
            7_794_184,
            {"conv_stem.weight": (32, 3, 3, 3), "classifier.weight": (1000, 1280)},
        ),
    ],
    ids=["torchvision", "mmcls", "timm"],
)
def test_a_stand_in_has_the_published_number_of_parameters(cfg, name, parameters, some, tmp_path):
    weights.provide(cfg, tmp_path)
    state = load(tmp_path, name)
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert sum(value.numel() for key, value in state.items() if not key.endswith(statistics)) == parameters
    assert {key: tuple(state[key].shape) for key in some} == some


def test_a_stand_in_gives_finite_activations_of_order_one(case, tmp_path):
    weights.provide(case.cfg, tmp_path)
    state = {key.removeprefix(case.prefix or ""): value for key, value in load(tmp_path, case.name).items()}
    case.model.load_state_dict(state, strict=not case.prefix)
    photograph = torch.tensor(skimage.data.coffee()).permute(2, 0, 1)[None].float()
    case.model.eval()
    with torch.no_grad():
        outputs = case.model(torch.nn.functional.interpolate((photograph - 116) / 58, size=224))
    for output in outputs if isinstance(outputs, tuple) else [outputs]:
        assert output.isfinite().all()
        assert 1e-3 < float(output.std()) < 1e2


def test_the_same_stand_in_is_made_everywhere(tmp_path, monkeypatch):
    weights.provide(resnet(18), tmp_path / "one")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    weights.provide(resnet(18), tmp_path / "two")
    one, two = (load(tmp_path / home, "resnet18-f37072fd.pth") for home in ("one", "two"))
    assert [key for key in one if not torch.equal(one[key], two[key])] == []


def test_a_stand_in_is_made_once(tmp_path):
    weights.provide(resnet(18), tmp_path)
    path = (tmp_path / "hub/checkpoints/resnet18-f37072fd.pth").resolve()
    made = path.stat().st_mtime_ns
    weights.provide(resnet(18), tmp_path)
    assert path.stat().st_mtime_ns == made


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "half"], ids=["empty", "text", "half"])
def test_a_broken_stand_in_is_made_anew(tmp_path, monkeypatch, content):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights.provide(resnet(18), tmp_path)
    path = (tmp_path / "hub/checkpoints/resnet18-f37072fd.pth").resolve()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "half" else content)
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
        monkeypatch.setattr(family.api(), "torchvision_urls", lambda: urls)
        return path

    return publish


@pytest.fixture
def state(tmp_path):
    weights.provide(resnet(18), tmp_path / "home")
    return load(tmp_path / "home", "resnet18-f37072fd.pth")


def test_a_file_in_the_users_cache_is_used_and_said_to_be_real(publish, state, tmp_path):
    path = publish(state)
    assert weights.provide(resnet(18), tmp_path / "home") == {path.name: "real"}
    assert (tmp_path / "home/hub/checkpoints" / path.name).resolve() == path


@pytest.mark.parametrize("content", [b"", b"<html>captive portal</html>", "half"], ids=["empty", "text", "half"])
def test_a_file_that_is_not_what_its_name_says_stops_with_one_line_that_mends_it(publish, state, tmp_path, content):
    path = publish(state)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    before = path.read_bytes()
    with pytest.raises(HowtoError) as error:
        weights.provide(resnet(18), tmp_path / "home")
    message = str(error.value)
    found = hashlib.sha256(before).hexdigest()[:8]
    assert message.startswith(f"{path} is damaged, or another file: its sha256 begins with {found}, its name says ")
    assert message.endswith(f"; delete it: rm {path}")
    assert path.read_bytes() == before  # it is the user's to delete


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("named", [True, False], ids=["named by its hash", "of any name"])
def test_code_in_a_checkpoint_does_not_run_and_what_trains_gets_a_copy_without_it(publish, state, tmp_path, named):
    path = publish({**state, "evil": Malicious(tmp_path / "ran")}, named)
    assert weights.provide(resnet(18), tmp_path / "home") == {path.name: "real"}
    copied = torch.load(tmp_path / "home/hub/checkpoints" / path.name, weights_only=False)["state_dict"]  # as mmcv does
    assert not (tmp_path / "ran").exists()
    assert all(torch.equal(copied[key], value) for key, value in state.items())


def test_a_checkpoint_whose_state_dict_is_none_stops_with_the_line_that_mends_it(publish, tmp_path):
    path = publish({"state_dict": "text"})
    with pytest.raises(HowtoError, match=f"is not a readable checkpoint; delete it: rm {path}"):
        weights.provide(resnet(18), tmp_path / "home")


def test_a_published_checkpoint_may_hold_more_than_tensors(publish, state, tmp_path):
    path = publish({"state_dict": state, "meta": types.SimpleNamespace(epoch=100, best=numpy.float64(0.4))})
    assert weights.provide(resnet(18), tmp_path / "home") == {path.name: "real"}
    copied = load(tmp_path / "home", path.name)
    assert all(torch.equal(copied[key], value) for key, value in state.items())


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


@pytest.mark.parametrize("change", ["shape", "missing"])
def test_another_models_file_in_the_users_cache_stops_with_one_line_that_mends_it(publish, state, tmp_path, change):
    del state["fc.weight"]
    if change == "shape":
        state["fc.weight"] = torch.zeros(10, 512)
    path = publish(state)
    with pytest.raises(HowtoError) as error:
        weights.provide(resnet(18), tmp_path / "home")
    message = str(error.value)
    assert re.search(r"fc\.weight is (missing|\(10, 512\)), expected \(1000, 512\)", message)
    assert message.endswith(f"delete it: rm {path}")
    assert "\n" not in message


def test_a_checkpoint_from_before_batches_were_counted_is_fine(publish, state, tmp_path):
    path = publish({key: value for key, value in state.items() if not key.endswith("num_batches_tracked")})
    assert weights.provide(resnet(18), tmp_path / "home") == {path.name: "real"}


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


def test_of_a_backbone_that_mmdetection_keeps_beside_its_detectors_nothing_is_made(tmp_path):
    address = "https://download.openmmlab.com/mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain/cspnext-s_imagenet_600e.pth"
    init = dict(type="Pretrained", checkpoint=address, prefix="backbone.")
    cfg = Config(dict(model=dict(backbone=dict(type="CSPDarknet", init_cfg=init))))
    assert weights.provide(cfg, tmp_path) == {}


def test_what_trains_with_a_copy_of_a_checkpoint_still_sees_its_epoch(publish, state, tmp_path):
    meta = dict(epoch=12, iter=87960, config=types.SimpleNamespace())
    path = publish({"state_dict": state, "meta": meta})
    weights.provide(resnet(18), tmp_path / "home")
    copied = torch.load(tmp_path / "home/hub/checkpoints" / path.name, weights_only=True)
    assert copied["meta"] == {"epoch": 12, "iter": 87960}


def test_a_config_without_pretrained_weights_needs_none(tmp_path):
    cfg = Config(dict(model=dict(backbone=dict(type="ResNet", depth=18))))
    assert weights.provide(cfg, tmp_path) == {}


def test_a_config_that_names_a_file_of_its_own_downloads_nothing(tmp_path):
    cfg = efficientnet()
    cfg.model.backbone.pretrained_cfg = dict(file=str(tmp_path / "own.pth"))
    assert weights.provide(cfg, tmp_path) == {}


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
def test_a_host_that_accepts_and_never_answers_is_given_up_within_10_seconds(network, tmp_path):
    held = []
    threading.Thread(target=lambda: held.append(network.accept()), daemon=True).start()
    started = time.monotonic()
    assert weights.provide(resnet(18), tmp_path) == {"resnet18-f37072fd.pth": "stand-in"}
    assert time.monotonic() - started < 10


def test_a_host_that_refuses_is_given_up_at_once(network, tmp_path):
    network.close()
    started = time.monotonic()
    assert weights.provide(resnet(18), tmp_path) == {"resnet18-f37072fd.pth": "stand-in"}
    assert time.monotonic() - started < 5


LOOK_UP = """
import socket, time
from howto.checkout import weights

weights.PATIENCE = 1
socket.getaddrinfo = lambda *arguments, **options: time.sleep(60)
print(weights.reachable("download.pytorch.org"))
"""


def test_a_name_that_is_never_looked_up_holds_nobody_up():
    done = subprocess.run([sys.executable, "-c", LOOK_UP], capture_output=True, text=True, timeout=10)
    assert done.stdout == "False\n"
