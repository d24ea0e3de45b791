"""Tell how well the anchors of a config cover the objects it trains on.

$ python configs/small_objects/coverage.py CONFIG 500

It reads 500 images, as training does. Sizes are the roots of areas, in pixels
of the network's input. A median object of a row overlaps its best anchor by
"IoU", and has as many "positives": anchors that may train on it. The sampler
of an RPN draws some of an image's at random; it drew none for "untrained"
objects. This works for assigners by IoU (MaxIoUAssigner), as Faster R-CNN,
RetinaNet and SSD have; PAA and FreeAnchor choose among the positives again.
"""
import argparse
import math
import sys
from pathlib import Path

import torch
from mmdet.models.task_modules import AnchorGenerator, MaxIoUAssigner
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from mmdet.registry import DATASETS, MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

# Of a data set, its files or its config.
FAULTS = OSError, KeyError, TypeError, ValueError, AssertionError
parser = argparse.ArgumentParser()
parser.add_argument('config')
parser.add_argument('images', type=int)
args = parser.parse_args()
if not Path(args.config).is_file():
    sys.exit(f'There is no file {args.config}')
cfg = Config.fromfile(args.config)
init_default_scope('mmdet')
model = revert_sync_batchnorm(MODELS.build(cfg.model)).eval()
head = getattr(model, 'rpn_head', None) or getattr(model, 'bbox_head', None)
generator = getattr(head, 'prior_generator', None)
assigner = getattr(head, 'assigner', None)
if not (isinstance(generator, AnchorGenerator)
        and type(assigner) is MaxIoUAssigner):
    sys.exit('This works for detectors whose MaxIoUAssigner assigns anchors, '
             f'as Faster R-CNN, RetinaNet and SSD, not for {cfg.model.type}')


def maps(*sides):
    """Sizes of the feature maps, if they have the strides of the anchors."""
    return [[-(-side // stride) for side in sides]
            for stride, _ in generator.strides]


def check_strides(*sides):
    """Stop if the feature maps have other strides than the anchors."""
    sides = [min(side, 512) for side in sides]
    with torch.no_grad():
        levels = model.extract_feat(torch.zeros(1, 3, *sides))
    sizes = [[*level.shape[-2:]] for level in levels]
    if sizes != maps(*sides):
        strides = [round(sides[1] / width) for _, width in sizes]
        sys.exit('The anchors miss parts of the images: they have strides '
                 f'{[stride for stride, _ in generator.strides]}, the feature '
                 f'maps {strides}. Set strides={strides}')


try:
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
except FAULTS as error:
    if 'need at least one array' not in str(error):
        sys.exit(f'{args.config}: {type(error).__name__}: {error}')
    dataset = []  # no image is left
images = min(len(dataset), args.images)
sizes, overlaps, positives, drawn, sums = [], [], [], [], []
for index in range(images):
    try:
        item = dataset[index]
    except FAULTS as error:
        sys.exit(f'{args.config}: {type(error).__name__}: {error}')
    batch = model.data_preprocessor(
        dict(inputs=[item['inputs']], data_samples=[item['data_samples']]),
        training=True)
    height, width = batch['inputs'].shape[-2:]
    shape = batch['data_samples'][0].img_shape
    objects = batch['data_samples'][0].gt_instances
    boxes = objects.bboxes
    if index == 0:
        check_strides(height, width)
    anchors = torch.cat(generator.grid_priors(
        maps(height, width), device='cpu'))
    every = torch.ones(len(anchors), dtype=torch.bool)
    anchors = anchors[anchor_inside_flags(
        anchors, every, shape, head.train_cfg.allowed_border)]
    priors = InstanceData(priors=anchors)
    ious = bbox_overlaps(boxes, anchors)
    assigned = assigner.assign_wrt_overlaps(ious, objects.labels)
    sample = head.sampler.sample(assigned, priors, objects)
    taken = assigned.gt_inds[assigned.gt_inds > 0] - 1
    sizes += (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt().tolist()
    overlaps += ious.max(dim=1).values.tolist()
    positives += taken.bincount(minlength=len(boxes)).tolist()
    drawn += sample.pos_assigned_gt_inds.bincount(
        minlength=len(boxes)).tolist()
    sums.append(len(taken))

if not sizes:
    sys.exit(f'No object in {images} images: check classes, ids, boxes, '
             'iscrowd and area; images with a side under 32 pixels are left out, too')
rows = torch.tensor([sizes, overlaps, positives, drawn])
print('{:>12}{:>9}{:>7}{:>11}{:>11}'.format('size', 'objects', 'IoU',
                                            'positives', 'untrained'))
edges = [0, 16, 32, 64, 128, 256, 512, 1024, 2048, math.inf]
places = torch.bucketize(rows[0], torch.tensor(edges[1:-1]))
for place in places.unique():
    row = rows[:, places == place]
    iou, taken = row[1:3].quantile(0.5, dim=1)
    name = f'{edges[place]} to {edges[place + 1]}'
    print(f'{name:>12}{row.shape[1]:9}{iou:7.2f}{taken:11.0f}'
          f'{(row[3] == 0).sum():11}')
print(f'Positives of an image: {sum(sums) / images:.1f}, at most {max(sums)}')
lost = (rows[2] > 0) & (rows[3] == 0)
if lost.any():
    num = math.ceil(max(sums) / head.sampler.pos_fraction)
    print(f'{type(head.sampler).__name__} drew no positive for {lost.sum()} of '
          f'these objects; with num={num} it draws all')
