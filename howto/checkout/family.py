"""Find what speaks to the MMDetection of the stack in use, and say what that has to offer."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from howto.project import stacks


class Family(Protocol):
    """What everything else asks of MMDetection, whichever it is: nothing else knows its configs, registries or API.

    :mod:`howto.checkout.mmdet2` and :mod:`howto.checkout.mmdet3` are the two that offer it, as modules. A ``cfg`` is
    the ``Config`` of that MMDetection; an `observer` is a :class:`howto.checkout.run.Observer`.

    Attributes:
        LIBRARIES: OpenMMLab's packages, by their loggers' names; the last one has the classifiers.
        SCALES: Keys of a pipeline's steps that hold an image scale (width, height), in pixels.
        KEYS: Where a config has what the families call differently, by the name that gallery scripts use: ``train``,
            ``val`` and ``test`` for the datasets, ``batch_size``, ``optimizer``, ``val_interval``, ``accumulate``,
            ``workers`` and ``persistent_workers`` for those that load images for training, ``checkpoint_interval``.
        TRAINED: What each logged line of training begins with.
        FIRST_EPOCH: What those of the first epoch begin with.
    """

    LIBRARIES: tuple[str, ...]
    SCALES: tuple[str, ...]
    KEYS: dict[str, str]
    TRAINED: str
    FIRST_EPOCH: str

    def load(self, path: Path):
        """The config at `path`, with what it is based on."""

    def import_modules(self, custom_imports: dict) -> None:
        """Import what a config's ``custom_imports`` names."""

    def schedule(self, cfg, device: str, epochs: int) -> dict[str, object]:
        """What to change, by dotted key, so that `cfg` trains for `epochs` epochs and logs each iteration.

        On the CPU, where ``device`` is ``cpu``, without worker processes.
        """

    def warmed_up(self, cfg) -> dict[str, object]:
        """What to change, by dotted key, so that `cfg` trains with the rate it has after warm-up, for its images."""

    def images(self, cfg) -> int:
        """Number of images that one process trains on in an iteration."""

    def accumulated(self, cfg) -> int:
        """Number of iterations whose gradients are added up before each step of the optimizer."""

    def rate(self, cfg) -> float:
        """The learning rate that a config names."""

    def rates(self, cfg) -> list[float]:
        """The learning rate of each epoch of a config, without warm-up."""

    def scaled(self, rate: float, factor: float) -> str:
        """What the log says where ``--auto-scale-lr`` multiplies `rate` by `factor`."""

    def optimizer(self, cfg) -> dict:
        """The config of the optimizer."""

    def epochs(self, cfg) -> int:
        """The number of epochs that a config trains for."""

    def split(self, cfg, name: str) -> dict:
        """The config of the dataset for ``train``, ``val`` or ``test``, wrappers included."""

    def classes(self, data) -> tuple[str, ...]:
        """The names of a dataset's classes, in the order of their labels."""

    def build_loss(self, keys: dict):
        """The loss of a head's ``loss_cls`` or the like."""

    def datasets(self, cfg) -> dict[str, object]:
        """The configs of the datasets for training, validation and test, in this order, by dotted key."""

    def detector(self, cfg):
        """The detector of `cfg` with its initial weights, as ``tools/train.py`` builds it."""

    def backbone(self, keys: dict):
        """The backbone of a config's keys, with its weights as they come."""

    def dataset(self, cfg, split: str):
        """The dataset of `cfg` for ``train``, ``val`` or ``test``."""

    def loader(self, cfg, data):
        """The ``DataLoader`` of one GPU that trains with `cfg`, for the dataset `data`, seeded with 0."""

    def step(self, keys: dict):
        """A step of a pipeline, from its keys in a config."""

    def plain(self, result: dict) -> dict:
        """What a step of a pipeline returns, with arrays.

        Returns:
            ``img`` (height, width, 3), BGR, uint8; ``gt_bboxes`` (n, 4), x1, y1, x2, y2 in pixels; ``gt_labels`` (n,).
        """

    def shape(self, item: dict) -> tuple[int, int]:
        """Height and width, in pixels and before padding, of the image that a pipeline returns."""

    def gt_boxes(self, item: dict):
        """The boxes of the image that a training pipeline returns: an array (n, 4), x1, y1, x2, y2 in its pixels."""

    def annotated(self, data) -> dict[str, list[tuple]]:
        """Of each image of a dataset in COCO's format, by file name, its objects, sorted.

        An object is its label and its box: x1, y1, x2, y2 in pixels, to one decimal.
        """

    def images_of(self, batch: dict) -> list[tuple]:
        """Of each item of a loader's batch, as training gets it, the path of its file, and the image.

        The image is (height, width, 3), BGR, uint8, without padding.
        """

    def train(self, cfg, evaluate: bool, resume_from: Path | None, observer):
        """Train on a GPU as ``tools/train.py`` does, and tell `observer` of each step; the trained detector."""

    def several_gpus(self, cfg, path: str, gpus: int) -> str:
        """The command that trains `cfg`, which is the file at `path`, on several GPUs of one machine."""

    def evaluating(self) -> str:
        """The options without which ``tools/test.py`` evaluates nothing."""

    def launching(self, cfg, evaluate: bool) -> list[str]:
        """Change `cfg` so that it can train in several processes; the options ``tools/train.py`` needs besides."""

    def hooks(self) -> tuple:
        """The registry of hooks, and what a hook is derived from."""

    def detect(self, model, cfg, photograph: Path):
        """Detections on one photograph, as this MMDetection returns them; boxes are x1, y1, x2, y2 in its pixels."""

    def boxes(self, result):
        """What a detector returns of one photograph as an array (boxes, 6): x1, y1, x2, y2, score, label."""

    def pickled(self, image: dict, boxes: list[dict], ids: list[int]):
        """What ``tools/test.py --out`` pickles of one image.

        Args:
            image: Its entry in a COCO file.
            boxes: Its boxes, in COCO's layout of results.
            ids: Ids of the categories, in the order of the labels.
        """

    def flops(self, model, image) -> float:
        """Multiply-adds of one pass over `image` (1, 3, height, width)."""

    def noise(self, size: int) -> dict:
        """What a training pipeline would return of a square image of noise, of `size` pixels a side, with one box."""

    def loss(self, model, items: list[dict]):
        """The sum of a detector's losses, a tensor, on a batch of what a training pipeline returns."""

    def torchvision_urls(self) -> dict[str, str]:
        """The address of each checkpoint that ``torchvision://`` stands for."""

    def classifiers(self) -> tuple[Path, Callable]:
        """Where the classifiers' configs and metafiles lie, and what builds the classifier of such a config's path."""

    def detectors(self) -> tuple[Path, Callable]:
        """Where mmdet's configs and metafiles lie, and what builds the detector of a ``cfg``, without its weights."""

    def registry(self) -> type:
        """The class of the registries."""

    def forget(self) -> None:
        """Drop what OpenMMLab keeps by name for a process's life, such as loggers that write to files that are gone."""


def api() -> Family:
    """The one of the stack in use."""
    return importlib.import_module(f"howto.checkout.{stacks.current().family}")
