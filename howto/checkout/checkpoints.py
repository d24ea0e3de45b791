"""The checkpoints that training begins with: where each kind of them is kept, downloaded from and read."""

import contextlib
import dataclasses
import hashlib
import os
import pickle
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from howto.checkout import inert
from howto.project.errors import HowtoError

PATIENCE = 5  # seconds that a host may take to answer before the build goes on without it
HUB = "huggingface.co"
HUB_FILE = "model.safetensors"  # what timm 1.x loads from a repository of the Hugging Face hub


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that a config names: a file that torch has saved, in torch's own cache, or of another kind below.

    Attributes:
        name: What it is called in a cache and in a record.
        address: Where it is downloaded from.
        build: Makes the model that it belongs to, with random weights.
    """

    name: str
    address: str = ""
    build: Callable | None = None
    suffix = ""  # what the name of a stand-in has after the checkpoint's own
    below = "hub/checkpoints"  # where its cache has it
    hashed = r"-([0-9a-f]{8,64})\.pth$"  # the first digits of its sha256, in the path of a file

    @property
    def host(self) -> str:
        """Who is asked for it."""
        return urlsplit(self.address).hostname or HUB

    def cached(self) -> Path | None:
        """The user's own file, if there is one."""
        path = self.user_cache() / self.name
        return path if path.exists() else None

    def place(self, home: Path) -> Path:
        """Where what loads it looks for it, if its cache is under `home`."""
        return home / self.below / self.name

    def download(self) -> None:
        """Put it into the user's cache, with the library that keeps that, which raises what it likes."""
        import torch

        path = self.user_cache() / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = torch.hub.HASH_REGEX.search(path.name)
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(PATIENCE)  # torch.hub sets none; it counts for each read, not for the whole download
        try:
            torch.hub.download_url_to_file(self.address, str(path), digest.group(1) if digest else None)
        finally:
            socket.setdefaulttimeout(before)

    @staticmethod
    def user_cache() -> Path:
        """Where its library keeps what it downloads for this user, found without importing it."""
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(os.environ.get("TORCH_HOME") or Path(base, "torch")) / "hub" / "checkpoints"

    @staticmethod
    def read(path: Path) -> dict | None:
        """The state dict in a file, or None if it cannot be read. No code in the file is run."""
        import torch

        content = _content(path) or {}
        state = content.get("state_dict", content)
        if not isinstance(state, dict):
            return None
        return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)} or None

    @staticmethod
    def write(model, path: Path) -> None:
        """Save the weights of a model as they are published."""
        import torch

        state = model.state_dict()
        whole = {"meta": getattr(model, "meta", {}), "state_dict": state}
        torch.save(whole if any(key.startswith("backbone.") for key in state) else state, path)

    @staticmethod
    def without_code(path: Path) -> Path:
        """The file itself if it is loaded without running code, else a copy of its tensors and its epoch.

        What trains with it loads it as MMCV does, which runs whatever is pickled in it.
        """
        import torch

        with contextlib.suppress(Exception):
            torch.load(path, map_location="cpu", weights_only=True)
            return path
        copied = cache_folder() / "copies" / _sha256(path) / path.name
        if not copied.exists():
            copied.parent.mkdir(parents=True, exist_ok=True)
            saved = _content(path).get("meta")
            meta = {key: saved[key] for key in ("epoch", "iter") if isinstance(saved, dict) and key in saved}
            with _whole(copied) as half:
                torch.save({"meta": meta, "state_dict": Checkpoint.read(path)}, half)
        return copied

    def link(self, home: Path, source: Path) -> None:
        """Have what looks under `home` find the file `source`."""
        link = self.place(home)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(source)

    def stand_in(self) -> Path:
        """A file with the same name, keys, shapes and prefix, and random weights; made once per machine."""
        import torch

        path = cache_folder() / (self.name.replace("/", "--") + self.suffix)
        if path.exists() and self.read(path):
            return path
        torch.manual_seed(0)
        model = self.build()
        _calibrate(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _whole(path) as half:
            self.write(model, half)
        return path

    def check_hash(self, path: Path) -> None:
        """Stop at a file that has not the sha256 that its name ends with, if any.

        Raises:
            HowtoError: If it has another.
        """
        path = path.resolve()  # a cache may name a file by its sha256, and link to it
        named = re.search(self.hashed, str(path))
        digits, digest = named[1] if named else "", _sha256(path)
        if not digest.startswith(digits):
            raise HowtoError(
                f"{path} is damaged, or another file: its sha256 begins with {digest[: len(digits)]}, its name says "
                f"{digits}; delete it: rm {path}"
            )


class HubCheckpoint(Checkpoint):
    """The safetensors of a repository on the Hugging Face hub, in the cache of the hub's client."""

    suffix = ".safetensors"
    hashed = r"/([0-9a-f]{64})$"

    def cached(self) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.name, HUB_FILE)
        return Path(found) if isinstance(found, str) else None

    def place(self, home: Path) -> Path:
        return home / "huggingface" / f"models--{self.name.replace('/', '--')}" / "snapshots" / ("0" * 40) / HUB_FILE

    def link(self, home: Path, source: Path) -> None:
        super().link(home, source)
        link = self.place(home)
        main = link.parents[2] / "refs" / "main"  # the hub's branch, and the commit that it is at
        main.parent.mkdir(exist_ok=True)
        main.write_text(link.parent.name, "utf-8")

    def download(self) -> None:
        import huggingface_hub

        huggingface_hub.hf_hub_download(self.address, HUB_FILE, etag_timeout=PATIENCE)

    @staticmethod
    def without_code(path: Path) -> Path:
        return path

    @staticmethod
    def read(path: Path) -> dict | None:
        import safetensors.torch

        with contextlib.suppress(Exception):
            return safetensors.torch.load_file(path)
        return None

    @staticmethod
    def write(model, path: Path) -> None:
        import safetensors.torch

        safetensors.torch.save_file(model.state_dict(), path)


class Detectron2Checkpoint(Checkpoint):
    """One of Detectron2's pickles, in Detectron2's own cache."""

    below = "iopath"

    @staticmethod
    def user_cache() -> Path:
        return Path(os.environ.get("FVCORE_CACHE") or "~/.torch/iopath_cache").expanduser()

    @staticmethod
    def without_code(path: Path) -> Path:
        return path

    @staticmethod
    def read(path: Path) -> dict | None:
        """The state dict by Detectron2's own names, or None if the file holds anything but arrays."""
        import torch
        from detectron2.checkpoint import c2_model_loading

        with contextlib.suppress(Exception), path.open("rb") as file:
            content = inert.Strict(file, encoding="latin1").load()
            arrays = content["model"] if "model" in content else content.get("blobs", content)  # the latter: Caffe2's
            state = {key: torch.as_tensor(value) for key, value in arrays.items() if not key.endswith("_momentum")}
            return state if "model" in content else c2_model_loading.convert_c2_detectron_names(state)[0]
        return None

    @staticmethod
    def write(model, path: Path) -> None:
        arrays = {key: value.numpy() for key, value in model.state_dict().items()}
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "stand-in", "matching_heuristics": True}))


def at(address: str, build: Callable) -> Checkpoint:
    """The checkpoint at a URL, or in a repository of the Hugging Face hub."""
    url = urlsplit(address)
    path = url.path.removeprefix("/")
    name = (path if path.endswith(".pkl") else Path(path).name) if url.hostname else address
    return dataclasses.replace(named(name), address=address, build=build)


def named(name: str) -> Checkpoint:
    """The checkpoint of a file's name, of the path of one of Detectron2's files, or of a repository on the hub."""
    if name.endswith(".pkl"):
        return Detectron2Checkpoint(name)
    return HubCheckpoint(name) if "/" in name else Checkpoint(name)


def load(path: Path) -> dict | None:
    """The state dict in a file, or None if the file cannot be read. No code in it is run."""
    kinds = {".safetensors": HubCheckpoint, ".pkl": Detectron2Checkpoint}
    return kinds.get(path.suffix, Checkpoint).read(path)


def cache_folder() -> Path:
    """Where stand-ins are kept, once per machine: those that these modules make, which may make others tomorrow."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    modules = (Path(__file__), Path(__file__).with_name("weights.py"))
    recipe = hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()[:12]
    return Path(base) / "mmdet-howto" / "stand-ins" / recipe


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A place to write a file at, which takes that of `path` when it is whole."""
    half = path.with_suffix(f".{os.getpid()}.half")
    yield half
    half.replace(path)


def _content(path: Path) -> dict | None:
    """All that torch has saved in a file, or None if it cannot be read. No code in it is run."""
    import torch

    with contextlib.suppress(Exception):  # torch.load raises whatever the broken bytes lead it to
        content = torch.load(path, map_location="cpu", pickle_module=inert, weights_only=False)
        return content if isinstance(content, dict) else None
    return None


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
