"""Let the configs' own pretrained weights load, real ones where they can be had and marked stand-ins elsewhere."""

import contextlib
import functools
import hashlib
import os
import queue
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from howto.errors import HowtoError
from howto.family import api
from howto.isolation import quiet

HOSTS = ("download.pytorch.org", "download.openmmlab.com", "github.com")
PATIENCE = 5  # seconds that a host may take to answer before the build goes on without it


def provide(cfg, home: Path) -> dict[str, str]:
    """Put every checkpoint that building and initialising `cfg` downloads into a ``TORCH_HOME`` at `home`.

    A checkpoint of the user's own torch cache is linked; else it is downloaded into that cache; else, where its host
    cannot be reached, a stand-in with the same file name, keys, shapes and prefix is made once per machine.

    Args:
        cfg: A ``Config`` with a ``model``.
        home: Folder that the caller sets ``TORCH_HOME`` to.

    Returns:
        For each checkpoint's file name ``real`` or ``stand-in``.

    Raises:
        HowtoError: If a cached file is not the one whose hash its name ends with, or holds other keys or shapes than
            the model that it belongs to.
    """
    kinds = {}
    for url, build in _wanted(cfg.model):
        name = Path(urlsplit(url).path).name
        real = user_cache() / name
        if not real.exists() and reachable(urlsplit(url).hostname):
            _download(url, real)
        known = real.exists() and _has_its_hash(real)
        with quiet():
            source = real if real.exists() else _stand_in(name, build)
            kinds[name] = "real" if real.exists() else "stand-in"
            _verify(source, build, known)
        link = home / "hub" / "checkpoints" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(source)
    return kinds


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


def _wanted(node: object) -> Iterator[tuple[str, Callable]]:
    """Each (URL, function that builds the model whose state dict lies there) that a model config names."""
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _wanted(item)
    if not isinstance(node, dict):
        return
    if node.get("type") == "Pretrained":
        checkpoint = node["checkpoint"]
        if checkpoint.startswith("torchvision://"):
            name = checkpoint.removeprefix("torchvision://")
            yield api().torchvision_urls()[name], functools.partial(_torchvision_model, name)
        elif checkpoint.startswith("https://download.openmmlab.com/mmclassification/"):
            yield checkpoint, functools.partial(_classifier, checkpoint)
    if str(node.get("type")).endswith("TIMMBackbone") and node.get("pretrained"):
        import timm

        name = node["model_name"]
        yield timm.models.get_pretrained_cfg_value(name, "url"), functools.partial(timm.create_model, name)
    for value in node.values():
        yield from _wanted(value)


def _torchvision_model(name: str):
    import torchvision

    return torchvision.models.get_model(name)


def _classifier(url: str):
    """The classifier whose checkpoint `url` is: the metafiles name the config of each."""
    import yaml

    package, build = api().classifiers()
    for metafile in sorted(package.glob("configs/*/metafile.yml")):  # model-index.yml leaves some out
        for model in yaml.safe_load(metafile.read_text("utf-8")).get("Models") or ():
            if model.get("Weights") == url:
                return build(package / model["Config"])
    raise HowtoError(f"{url} is in no metafile, so no stand-in can be made; download it into {user_cache()}")


def _stand_in(name: str, build: Callable) -> Path:
    import torch

    path = cache_folder() / name
    if path.exists() and _loads(path):
        return path
    torch.manual_seed(0)
    model = build()
    _calibrate(model)
    state = model.state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}.half")
    torch.save({"state_dict": state} if any(key.startswith("backbone.") for key in state) else state, half)
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


def _has_its_hash(path: Path) -> bool:
    """Whether a file has the sha256 that its name ends with, if any; a wrong one stops here, before it is loaded."""
    named = re.search(r"-([0-9a-f]{8,64})\.pth$", path.name)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if named and not digest.startswith(named[1]):
        raise HowtoError(
            f"{path} is damaged, or another file: its sha256 begins with {digest[: len(named[1])]}, its name says "
            f"{named[1]}; delete it: rm {path}"
        )
    return bool(named)


def _loads(path: Path, known: bool = False):
    """The checkpoint's state dict, or None if the file cannot be read.

    No code in it is run, unless it is `known` to be the published one and torch does not load it otherwise.
    """
    import torch

    for weights_only in (True, False) if known else (True,):
        with contextlib.suppress(Exception):  # torch.load raises whatever the broken bytes lead it to
            content = torch.load(path, map_location="cpu", weights_only=weights_only)
            return content.get("state_dict", content)
    return None


def _verify(path: Path, build: Callable, known: bool) -> None:
    state = _loads(path, known)
    if state is None:
        raise HowtoError(f"{path} is not a readable checkpoint; delete it: rm {path}")
    expected = {key: tuple(value.shape) for key, value in build().state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    for key, shape in expected.items():
        if key.endswith("num_batches_tracked"):
            continue  # checkpoints older than torch 0.4.1 lack it
        if found.get(key) != shape:
            raise HowtoError(
                f"{path} is another model's checkpoint: {key} is {found.get(key, 'missing')}, expected {shape}; "
                f"delete it: rm {path}"
            )


def _download(url: str, path: Path) -> None:
    """Download through torch.hub, which writes beside the file and checks the hash that its name ends with."""
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
