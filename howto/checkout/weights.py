"""Let the configs' own pretrained weights load, real ones where they can be had and marked stand-ins elsewhere."""

import contextlib
import functools
import importlib
import os
import socket
import ssl
import threading
import unittest.mock
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from howto.checkout import family
from howto.checkout.checkpoints import PATIENCE, Checkpoint, at
from howto.checkout.checkpoints import load as load  # what pages read with that a run has saved
from howto.checkout.family import api
from howto.project.errors import HowtoError
from howto.project.quiet import quiet

HOSTS = ("download.pytorch.org", "download.openmmlab.com", "github.com", "huggingface.co", "dl.fbaipublicfiles.com")
# Where OpenMMLab keeps its checkpoints, and where the index of onedl says that they are.
OPENMMLAB = ("https://download.openmmlab.com/", "https://mmassets.onedl.ai/")
CLASSIFIERS = tuple(f"{host}mmclassification/" for host in OPENMMLAB)
DETECTORS = tuple(f"{host}mmdetection/" for host in OPENMMLAB)
ITERATIONS = 7330  # of an epoch on COCO's 117266 images that show something, 16 a step


def provide(cfg, home: Path) -> dict[str, str]:
    """Put every checkpoint that training `cfg` begins with under `home`, for :func:`looking_in`.

    A checkpoint of the user's own torch or Hugging Face cache is linked; else it is downloaded into that cache; else,
    where its host cannot be reached, a stand-in with the same name, keys, shapes and prefix is made once per machine.

    Args:
        cfg: A ``Config`` with a ``model``.
        home: Folder to link them in, as torch's cache and as that of the Hugging Face hub.

    Returns:
        For each checkpoint's file name, or repository on the hub, ``real`` or ``stand-in``.

    Raises:
        HowtoError: If a download fails, or a cached file cannot be read or has another hash than its name ends with.
    """
    kinds = {}
    for checkpoint in _of(cfg):
        real = checkpoint.cached()
        if not real and reachable(checkpoint.host):
            try:
                checkpoint.download()
            except (OSError, ValueError, RuntimeError) as error:
                told = f"downloading {checkpoint.address} failed: {error}; run again, or put it where it is kept"
                raise HowtoError(told) from error
            real = checkpoint.cached()
        if real:
            checkpoint.check_hash(real)
            if checkpoint.read(real) is None:
                raise HowtoError(f"{real} is not a readable checkpoint; delete it: rm {real}")
        with quiet():
            checkpoint.link(home, checkpoint.without_code(real) if real else checkpoint.stand_in())
        kinds[checkpoint.name] = "real" if real else "stand-in"
    return kinds


def hosts(cfg) -> dict[str, str]:
    """By its name, the host of every checkpoint that :func:`provide` puts in place."""
    return {checkpoint.name: checkpoint.host for checkpoint in _of(cfg)}


def environment(home: Path) -> dict[str, str]:
    """The variables with which a new process finds what :func:`provide` put under `home`, and asks no host for it."""
    hub = {"HF_HUB_CACHE": str(home / "huggingface"), "HF_HUB_OFFLINE": "1"}
    return {"TORCH_HOME": str(home), "FVCORE_CACHE": str(home / "iopath"), **hub}


@contextlib.contextmanager
def looking_in(home: Path) -> Iterator[None]:
    """Have this process, too, find what :func:`provide` put under `home`."""
    from huggingface_hub import constants  # it reads its variables once, when it is imported

    with (
        unittest.mock.patch.dict(os.environ, environment(home)),
        unittest.mock.patch.multiple(constants, HF_HUB_CACHE=str(home / "huggingface"), HF_HUB_OFFLINE=True),
    ):
        yield


@functools.cache
def reachable(host: str) -> bool:
    """Whether `host` completes a TLS handshake within :data:`PATIENCE` seconds; asked once per process."""
    answered = []

    def connect() -> None:
        with contextlib.suppress(OSError), socket.create_connection((host, 443), timeout=PATIENCE) as connection:
            ssl.create_default_context().wrap_socket(connection, server_hostname=host).close()
            answered.append(True)

    # Looking a name up knows no time-out of its own, and a pool's thread would hold the process up at its end.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return bool(answered)


def _of(cfg) -> Iterator[Checkpoint]:
    """As :func:`wanted`, of a config: its model, and what it loads into the whole of it."""
    whole = cfg.get("load_from") or ""
    if whole.startswith(DETECTORS):
        yield at(whole, functools.partial(_detector, whole))
    yield from wanted([cfg.model, dict(type="Pretrained", checkpoint=whole)])


def wanted(node: object) -> Iterator[Checkpoint]:
    """Each checkpoint that a model config names."""
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from wanted(item)
    if not isinstance(node, dict):
        return
    kind = node.get("type")
    kind = getattr(kind, "__name__", str(kind))  # a pure-Python config has the class itself
    if kind == "Pretrained":
        checkpoint = node["checkpoint"]
        if checkpoint.startswith("torchvision://"):
            import torchvision

            name = checkpoint.removeprefix("torchvision://")
            yield at(torchvision_urls()[name], functools.partial(torchvision.models.get_model, name))
        elif checkpoint.startswith(CLASSIFIERS):
            yield at(checkpoint, functools.partial(_classifier, checkpoint))
    if kind.endswith("TIMMBackbone") and node.get("pretrained") and not node.get("pretrained_cfg"):
        import timm

        name = node["model_name"]
        address = timm.models.get_pretrained_cfg_value(name, "hf_hub_id")  # timm prefers it, too
        address = address or timm.models.get_pretrained_cfg_value(name, "url")
        yield at(address, functools.partial(timm.create_model, name))
    if str(node.get("weights")).startswith("detectron2://"):
        address = node["weights"].replace("detectron2://", "https://dl.fbaipublicfiles.com/detectron2/")
        yield at(address, functools.partial(_detectron2_resnet, node["resnets"]["depth"]))
    for value in node.values():
        yield from wanted(value)


def torchvision_urls() -> dict[str, str]:
    """The address of each checkpoint that ``torchvision://`` stands for."""
    return importlib.import_module(f"{api().LIBRARIES[0]}.runner.checkpoint").get_torchvision_models()


def _detectron2_resnet(depth: int):
    """Detectron2's ResNet, with batch norms that can be calibrated."""
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.backbone import build_resnet_backbone

    cfg = get_cfg()
    cfg.MODEL.RESNETS.merge_from_list(["DEPTH", depth, "NORM", "BN", "OUT_FEATURES", ["res5"]])
    resnet = build_resnet_backbone(cfg, ShapeSpec(channels=3))
    # The published weights take pixels less their mean; nothing divides by a deviation.
    resnet.register_forward_pre_hook(lambda _, images: (images[0] * 58,))
    return resnet


def _classifier(url: str):
    """The classifier whose checkpoint `url` is."""
    _, build = api().classifiers()
    return build(classifier_config(url))


def _detector(url: str):
    """The detector whose checkpoint `url` is, with random weights, and what else its training saved."""
    package, build = api().detectors()
    found = _described(url, package)
    cfg = family.load(package / found["Config"])
    cfg.model.backbone.init_cfg = None
    model = build(cfg)
    model.init_weights()
    for value in model.parameters():
        if not value.any():  # a trained bias is not 0, and no two are the same
            value.data.normal_(std=0.01)
    epochs = found["Metadata"]["Epochs"]
    model.meta = dict(epoch=epochs, iter=epochs * ITERATIONS)
    return model


def classifier_config(url: str) -> Path:
    """The config of the classifier whose checkpoint `url` is: the metafiles name that of each.

    Raises:
        HowtoError: If they do not know the checkpoint.
    """
    package, _ = api().classifiers()
    return package / _described(url, package)["Config"]


def _described(url: str, package: Path) -> dict:
    """What a package's metafiles say of the model whose checkpoint `url` is."""
    name = Path(urlsplit(url).path).name  # onedl's metafiles name another host, and the same files
    found = next((model for model in index(package) if str(model["Weights"]).rpartition("/")[2] == name), None)
    if not found:
        raise HowtoError(
            f"{url} is in no metafile, so no stand-in can be made; download it into {Checkpoint.user_cache()}"
        )
    return found


@functools.cache
def index(package: Path) -> list[dict]:
    """The models of a package's metafiles: those that have ``Weights`` and a ``Config``."""
    import yaml

    metafiles = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(package.glob("configs/*/metafile.yml"))]
    # model-index.yml leaves some out, and some metafiles are a list
    models = [model for each in metafiles for model in (each if isinstance(each, list) else each.get("Models") or ())]
    return [model for model in models if {"Weights", "Config"} <= model.keys()]
