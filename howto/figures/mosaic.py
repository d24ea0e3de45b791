"""Follow images through Mosaic and RandomAffine, by the random numbers they draw and by paint."""

import copy
from unittest import mock

from howto.checkout.family import api
from howto.checkout.isolation import seeded
from howto.project.errors import HowtoError

WHITE, PAD = 255, 114  # MMDetection pads with 114; half way between the two counts as paint


def sources(dataset, index: int, seed: int) -> list[dict]:
    """The four images that Mosaic puts together: top left, top right, bottom left, bottom right.

    Args:
        dataset: A ``MultiImageMixDataset`` whose first step is Mosaic.
        index: The image that Mosaic starts from.
        seed: Seed of the random numbers it draws.
    """
    with seeded(seed):
        others = dataset.pipeline[0].get_indexes(dataset.dataset)
    return [api().plain(dataset.dataset[number]) for number in (index, *others)]


def first_seed(dataset, index: int, tries: int = 500) -> int:
    """A seed whose draw shows well what Mosaic does, one of the four photographs being empty.

    The first one with no class in common between the photographs, and with every box kept in a picture that is at least
    half full; the first with an empty photograph, if none of `tries` is that good.
    """
    with_empty = []
    for seed in range(tries):
        labels = [set(source["gt_labels"].tolist()) for source in sources(dataset, index, seed)]
        if sum(map(bool, labels)) != 3:
            continue
        with_empty.append(seed)
        if sum(map(len, labels)) == len(set().union(*labels)):
            mosaic, affine = mixed(dataset, index, seed)
            if len(mosaic["gt_labels"]) == len(affine["gt_labels"]) and (affine["img"] != PAD).mean() > 0.5:
                return seed
    return with_empty[0]


def mixed(dataset, index: int, seed: int, steps: int = 2) -> list[dict]:
    """What the first steps make of an image, Mosaic, RandomAffine and perhaps MixUp, one result for each of them."""
    results = []
    for last in range(1, steps + 1):
        dataset.update_skip_type_keys(dataset.pipeline_types[last:])
        with seeded(seed):
            results.append(api().plain(dataset[index]))
    dataset.update_skip_type_keys([])
    return results


def painted_boxes(dataset, index: int, seed: int) -> list[list[tuple]]:
    """Where each box's paint lies after Mosaic and after RandomAffine: (label, (x1, y1, x2, y2)), those that show.

    Each box in turn is painted white on black images of the sources' sizes, and those go through the same steps with
    the same random numbers. The boxes' own coordinates take no part in it.
    """
    found = [[], []]
    for number, source in enumerate(sources(dataset, index, seed)):
        for box, label in zip(source["gt_bboxes"], source["gt_labels"], strict=True):
            x1, y1, x2, y2 = box.round().astype(int)
            for step, image in enumerate(_follow(dataset, index, seed, number, (slice(y1, y2), slice(x1, x2)))):
                rows, columns = (image > (WHITE + PAD) / 2).nonzero()
                if len(rows):
                    edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                    found[step].append((int(label), edges))
    return found


def images_shown(dataset, index: int, seed: int) -> int:
    """How many of the four sources have a pixel in the canvas: each in turn is painted white."""
    everything = (slice(None), slice(None))
    return sum((_follow(dataset, index, seed, number, everything)[0] == WHITE).any() for number in range(4))


def distance(box, paint, image) -> float:
    """How far a box's sides are from the paint's, in pixels.

    A box that the image's border cuts may be larger than what shows of its object, since its corners were turned before
    they were cut; for it only paint outside the box counts.
    """
    height, width = image.shape[:2]
    outside = [box[0] - paint[0], box[1] - paint[1], paint[2] - box[2], paint[3] - box[3]]
    cut = box[0] <= 0 or box[1] <= 0 or box[2] >= width or box[3] >= height
    return float(max(outside) if cut else max(map(abs, outside)))


def read(cfg, dataset) -> list[list[tuple[int, tuple[int, ...]]]]:
    """What the worker processes of the loader that MMDetection builds for training with `cfg` read, in two epochs.

    Args:
        cfg: A ``Config`` with worker processes.
        dataset: Its ``MultiImageMixDataset``. Each item goes through all of it; what comes of it is dropped.

    Returns:
        For each epoch and item ``(worker, (number, …))``: which process made it, and the numbers of the images that
        were read for it, the item's own first.
    """
    from torch.utils.data import get_worker_info

    mixing, reading, numbers = type(dataset), type(dataset.dataset), []
    mix, look = mixing.__getitem__, reading.__getitem__

    def noting(self, number: int):
        numbers.append(int(number))
        return look(self, number)

    def telling(self, number: int) -> tuple[int, tuple[int, ...]]:
        numbers.clear()
        mix(self, number)
        return get_worker_info().id, tuple(numbers)

    with mock.patch.object(mixing, "__getitem__", telling), mock.patch.object(reading, "__getitem__", noting):
        loader = api().loader(cfg, dataset)
        loader.collate_fn = list
        return [[note for batch in loader for note in batch] for epoch in range(2)]


def partners(notes: list[tuple[int, tuple[int, ...]]], worker: int | None = None) -> list[tuple[int, ...]]:
    """The images that were mixed with an item's own, in the order of the items, those of one `worker` or of all."""
    return [numbers[1:] for number, numbers in notes if worker in (None, number)]


def plain(checkout, image, path: str) -> bool:
    """Whether an image is the photograph in a file and nothing else: scaled, and mirrored or not.

    Args:
        checkout: The :class:`howto.Workspace` that the path is relative to.
        image: What a detector saw: (height, width, 3), BGR, uint8, without padding.
        path: The file.
    """
    import mmcv
    import numpy as np

    height, width = image.shape[:2]
    file = mmcv.imresize(mmcv.imread(checkout.root / path), (width, height)).astype(int)
    return min(np.abs(each - image).mean() for each in (file, file[:, ::-1])) < 2  # of 255; rounding makes 0.5 of it


def plain_epochs(checkout, run) -> list[int]:
    """The epochs of a run, counted from 1, all of whose images were photographs as they are.

    Args:
        checkout: The :class:`howto.Workspace` of the run.
        run: A run that has kept its images.

    Raises:
        HowtoError: If an epoch saw both, photographs and others.
    """
    kinds = {
        number + 1: {plain(checkout, image, path) for path, image in epoch.images}
        for number, epoch in run.epochs.items()
    }
    if mixed_up := [number for number, found in kinds.items() if len(found) != 1]:
        raise HowtoError(f"{checkout.topic}: epochs {mixed_up} saw photographs and others; each is to see one kind")
    return [number for number, found in kinds.items() if found == {True}]


def _follow(dataset, index: int, seed: int, painted: int, region: tuple[slice, slice]) -> list:
    """Red channel after each of the first two steps, with `region` of source number `painted` in white."""
    with seeded(seed):
        others = dataset.pipeline[0].get_indexes(dataset.dataset)

    class Painted:
        """The sources as black images; the same image may be drawn twice, so they are told apart by their turn."""

        turn = 0

        def __len__(self):
            return len(dataset.dataset)

        def __getitem__(self, number):
            assert number == (index, *others)[self.turn]
            result = copy.deepcopy(dataset.dataset[number])
            result["img"][:] = 0
            if self.turn == painted:
                result["img"][region] = WHITE
            self.turn = (self.turn + 1) % 4
            return result

    twin = copy.copy(dataset)
    twin.dataset = Painted()
    return [result["img"][..., 0] for result in mixed(twin, index, seed)]
