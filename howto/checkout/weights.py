"""Let the configs' own pretrained weights load, real ones where they can be had and marked stand-ins elsewhere."""

import contextlib
import functools
import hashlib
import os
import pickle
import queue
import re
import socket
import ssl
import threading
import unittest.mock
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from howto.checkout import inert
from howto.checkout.family import api
from howto.project.errors import HowtoError
from howto.project.quiet import quiet

HOSTS = ("download.pytorch.org", "download.openmmlab.com", "github.com", "huggingface.co", "dl.fbaipublicfiles.com")
# Where OpenMMLab keeps its checkpoints, and where the index of onedl says that they are.
OPENMMLAB = ("https://download.openmmlab.com/", "https://mmassets.onedl.ai/")
CLASSIFIERS = tuple(f"{host}mmclassification/" for host in OPENMMLAB)
DETECTORS = tuple(f"{host}mmdetection/" for host in OPENMMLAB)
ITERATIONS = 7330  # of an epoch on COCO's 117266 images that show something, 16 a step
PATIENCE = 5  # seconds that a host may take to answer before the build goes on without it
HUB_FILE = "model.safetensors"  # what timm 1.x loads from a repository of the Hugging Face hub


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
        HowtoError: If a cached file is not the one whose hash its name ends with, or holds other keys or shapes than
            the model that it belongs to.
    """
    kinds = {}
    for address, build in _of(cfg):
        url, name = urlsplit(address), _name(address)
        real = cached(name)
        if not real and reachable(_host(address)):
            _download(address, detectron2_cache() / name if name.endswith(".pkl") else user_cache() / name)
            real = cached(name)
        if real:
            _check_hash(real)
        with quiet():
            source = real or _stand_in(name, build)
            kinds[name] = "real" if real else "stand-in"
            _verify(source, build)
            source = _without_code(real) if real else source
        link = place(home, name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(source)
        if not url.hostname:
            main = link.parents[2] / "refs" / "main"  # the hub's branch, and the commit that it is at
            main.parent.mkdir(exist_ok=True)
            main.write_text(link.parent.name, "utf-8")
    return kinds


def hosts(cfg) -> dict[str, str]:
    """By its name, the host of every checkpoint that :func:`provide` puts in place."""
    return {_name(address): _host(address) for address, _ in _of(cfg)}


def place(home: Path, name: str) -> Path:
    """Where :func:`provide` links the checkpoint of that name: as torch, the hub's client or Detectron2 keeps it."""
    if name.endswith(".pkl"):
        return home / "iopath" / name
    if "/" not in name:
        return home / "hub" / "checkpoints" / name
    return home / "huggingface" / f"models--{name.replace('/', '--')}" / "snapshots" / ("0" * 40) / HUB_FILE


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
    answers = queue.SimpleQueue()

    def connect() -> None:
        try:
            with socket.create_connection((host, 443), timeout=PATIENCE) as connection:
                ssl.create_default_context().wrap_socket(connection, server_hostname=host).close()
            answers.put(True)
        except OSError:
            answers.put(False)

    # Looking a name up knows no time-out of its own, and a pool's thread would hold the process up at its end.
    threading.Thread(target=connect, daemon=True).start()
    try:
        return answers.get(timeout=PATIENCE)
    except queue.Empty:
        return False


def cache_folder() -> Path:
    """Where stand-ins are kept, once per machine."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    return Path(base) / "mmdet-howto" / "stand-ins" / recipe


def user_cache() -> Path:
    """Where torch keeps the checkpoints that it downloads for this user, found without importing torch."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TORCH_HOME") or Path(base, "torch")) / "hub" / "checkpoints"


def detectron2_cache() -> Path:
    """Where Detectron2 keeps the checkpoints that it downloads for this user."""
    return Path(os.environ.get("FVCORE_CACHE") or "~/.torch/iopath_cache").expanduser()


def cached(name: str) -> Path | None:
    """The user's own file of that name, or of that repository on the Hugging Face hub, if there is one."""
    if name.endswith(".pkl"):
        return detectron2_cache() / name if (detectron2_cache() / name).exists() else None
    if "/" not in name:
        return user_cache() / name if (user_cache() / name).exists() else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, HUB_FILE)
    return Path(found) if isinstance(found, str) else None


def _host(address: str) -> str:
    return urlsplit(address).hostname or "huggingface.co"


def _name(address: str) -> str:
    """A file's name, a repository on the hub, or the path of one of Detectron2's files."""
    url = urlsplit(address)
    name = Path(url.path).name if url.hostname else address
    return url.path[1:] if name.endswith(".pkl") else name


def _of(cfg) -> Iterator[tuple[str, Callable]]:
    """As :func:`wanted`, of a config: its model, and what it loads into the whole of it."""
    whole = cfg.get("load_from") or ""
    if whole.startswith(DETECTORS):
        yield whole, functools.partial(_detector, whole)
    yield from wanted([cfg.model, dict(type="Pretrained", checkpoint=whole)])


def wanted(node: object) -> Iterator[tuple[str, Callable]]:
    """Each checkpoint's URL, or repository on the hub, and what builds its model, that a model config names."""
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
            name = checkpoint.removeprefix("torchvision://")
            yield api().torchvision_urls()[name], functools.partial(_torchvision_model, name)
        elif checkpoint.startswith(CLASSIFIERS):
            yield checkpoint, functools.partial(_classifier, checkpoint)
    if kind.endswith("TIMMBackbone") and node.get("pretrained") and not node.get("pretrained_cfg"):
        import timm

        name = node["model_name"]
        address = timm.models.get_pretrained_cfg_value(name, "hf_hub_id")  # timm prefers it, too
        address = address or timm.models.get_pretrained_cfg_value(name, "url")
        yield address, functools.partial(timm.create_model, name)
    if str(node.get("weights")).startswith("detectron2://"):
        address = node["weights"].replace("detectron2://", "https://dl.fbaipublicfiles.com/detectron2/")
        yield address, functools.partial(_detectron2_resnet, node["resnets"]["depth"])
    for value in node.values():
        yield from wanted(value)


def _torchvision_model(name: str):
    import torchvision

    return torchvision.models.get_model(name)


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
    cfg = api().load(package / found["Config"])
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
        raise HowtoError(f"{url} is in no metafile, so no stand-in can be made; download it into {user_cache()}")
    return found


@functools.cache
def index(package: Path) -> list[dict]:
    """The models of a package's metafiles: those that have ``Weights`` and a ``Config``."""
    import yaml

    metafiles = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(package.glob("configs/*/metafile.yml"))]
    # model-index.yml leaves some out, and some metafiles are a list
    models = [model for each in metafiles for model in (each if isinstance(each, list) else each.get("Models") or ())]
    return [model for model in models if {"Weights", "Config"} <= model.keys()]


def _stand_in(name: str, build: Callable) -> Path:
    import torch

    hub = "/" in name and not name.endswith(".pkl")
    path = cache_folder() / (name.replace("/", "--") + (".safetensors" if hub else ""))
    if path.exists() and load(path):
        return path
    torch.manual_seed(0)
    model = build()
    _calibrate(model)
    state = model.state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}.half")
    if path.suffix == ".safetensors":
        import safetensors.torch

        safetensors.torch.save_file(state, half)
    elif path.suffix == ".pkl":
        arrays = {key: value.numpy() for key, value in state.items()}
        half.write_bytes(pickle.dumps({"model": arrays, "__author__": "stand-in", "matching_heuristics": True}))
    else:
        whole = {"meta": getattr(model, "meta", {}), "state_dict": state}
        torch.save(whole if any(key.startswith("backbone.") for key in state) else state, half)
    half.replace(path)
    return path


def _calibrate(model) -> None:
    """Set the batch norms' running statistics from a photograph, so that random weights give activations of order 1."""
    import skimage.data
    import torch

    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # average over the batches instead of decaying
    photograph = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float()
    photograph = torch.nn.functional.interpolate((photograph - 116) / 58, size=224)
    model.train()
    with torch.no_grad():
        features = model.extract_feat if hasattr(model, "extract_feat") else model
        features(torch.cat([photograph, photograph.flip(3)]))


def _check_hash(path: Path) -> None:
    """Stop at a file that has not the sha256 that its name ends with, if any."""
    if path.name == HUB_FILE:
        path = path.resolve()  # the hub's cache names a large file by its sha256, and links to it
    named = re.search(r"(?:-([0-9a-f]{8,64})\.pth|([0-9a-f]{64}))$", path.name)
    digits = named and (named[1] or named[2])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if named and not digest.startswith(digits):
        raise HowtoError(
            f"{path} is damaged, or another file: its sha256 begins with {digest[: len(digits)]}, its name says "
            f"{digits}; delete it: rm {path}"
        )


def load(path: Path) -> dict | None:
    """The checkpoint's state dict, or None if the file cannot be read. No code in it is run."""
    import torch

    if path.suffix == ".safetensors":  # a link in the hub's cache, or a stand-in
        import safetensors.torch

        with contextlib.suppress(Exception):
            return safetensors.torch.load_file(path)
        return None
    if path.suffix == ".pkl":
        return _detectron2_checkpoint(path)
    content = _content(path) or {}
    state = content.get("state_dict", content)
    if not isinstance(state, dict):
        return None
    return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)} or None


def _content(path: Path) -> dict | None:
    """All that torch has saved in a file, or None if it cannot be read. No code in it is run."""
    import torch

    with contextlib.suppress(Exception):  # torch.load raises whatever the broken bytes lead it to
        content = torch.load(path, map_location="cpu", pickle_module=inert, weights_only=False)
        return content if isinstance(content, dict) else None
    return None


def _without_code(path: Path) -> Path:
    """A checkpoint that torch loads without running code: the file itself, else a copy of its tensors and its epoch.

    What trains with it loads it as MMCV does, which runs whatever is pickled in it.
    """
    import torch

    if path.suffix != ".pth":
        return path  # safetensors hold no code; Detectron2's are refused where they do
    with contextlib.suppress(Exception):
        torch.load(path, map_location="cpu", weights_only=True)
        return path
    with path.open("rb") as file:
        copied = cache_folder() / "copies" / hashlib.file_digest(file, "sha256").hexdigest() / path.name
    if not copied.exists():
        copied.parent.mkdir(parents=True, exist_ok=True)
        half = copied.with_suffix(f".{os.getpid()}.half")
        saved = _content(path).get("meta")
        meta = {key: saved[key] for key in ("epoch", "iter") if isinstance(saved, dict) and key in saved}
        torch.save({"meta": meta, "state_dict": load(path)}, half)
        half.replace(copied)
    return copied


def _detectron2_checkpoint(path: Path) -> dict | None:
    """One of Detectron2's checkpoints by Detectron2's own names, or None if it holds anything but arrays."""
    import torch
    from detectron2.checkpoint import c2_model_loading

    with contextlib.suppress(Exception), path.open("rb") as file:
        content = inert.Strict(file, encoding="latin1").load()
        arrays = content["model"] if "model" in content else content.get("blobs", content)  # the latter are Caffe2's
        state = {key: torch.as_tensor(value) for key, value in arrays.items() if not key.endswith("_momentum")}
        return state if "model" in content else c2_model_loading.convert_c2_detectron_names(state)[0]
    return None


def _verify(path: Path, build: Callable) -> None:
    state = load(path)
    if state is None:
        raise HowtoError(f"{path} is not a readable checkpoint; delete it: rm {path}")
    expected = {key: tuple(value.shape) for key, value in build().state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    for key, shape in expected.items():
        if key.endswith("num_batches_tracked") or (path.suffix == ".pkl" and "running_" in key):
            continue  # checkpoints older than torch 0.4.1 lack it; Caffe2's have merged the statistics into the weights
        if found.get(key) != shape:
            raise HowtoError(
                f"{path} is another model's checkpoint: {key} is {found.get(key, 'missing')}, expected {shape}; "
                f"delete it: rm {path}"
            )


def _download(url: str, path: Path) -> None:
    """Download through torch.hub, which writes beside the file and checks the hash that its name ends with.

    What has no scheme is a repository of the Hugging Face hub; its client puts the file into its own cache.
    """
    if not urlsplit(url).scheme:
        import huggingface_hub

        try:
            huggingface_hub.hf_hub_download(url, HUB_FILE, etag_timeout=PATIENCE)
        except (OSError, ValueError, RuntimeError) as error:
            again = f"hf download {url} {HUB_FILE}"
            raise HowtoError(f"downloading {url} from the hub failed: {error}; run again, or: {again}") from error
        return
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    digest = torch.hub.HASH_REGEX.search(path.name)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # torch.hub sets none; it counts for each read, not for the whole download
    try:
        torch.hub.download_url_to_file(url, str(path), digest.group(1) if digest else None)
    except (OSError, RuntimeError) as error:
        raise HowtoError(f"downloading {url} failed: {error}; run again, or put the file at {path}") from error
    finally:
        socket.setdefaulttimeout(patience)
