"""Tell how well the anchors of a config cover the objects it trains on.

$ python configs/small_objects/coverage.py CONFIG 500

It reads 500 images, as training does. Sizes are the roots of areas, in pixels
of the network's input. A median object of a row overlaps its best anchor by
"IoU", and trains as many anchors as "positives".
"""
import sys

import torch
from mmdet.registry import DATASETS, TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

cfg = Config.fromfile(sys.argv[1])
init_default_scope('mmdet')
dataset = DATASETS.build(cfg.train_dataloader.dataset)
head = cfg.model.get('rpn_head') or cfg.model.bbox_head
training = cfg.model.train_cfg.get('rpn') or cfg.model.train_cfg
generator = TASK_UTILS.build(head.anchor_generator)
assigner = TASK_UTILS.build(training.assigner)
unit = cfg.model.data_preprocessor.pad_size_divisor

sizes, overlaps, positives = [], [], []
for index in range(min(len(dataset), int(sys.argv[2]))):
    item = dataset[index]
    objects = item['data_samples'].gt_instances
    boxes = objects.bboxes.tensor
    padded = [-(-side // unit) * unit for side in item['inputs'].shape[-2:]]
    maps = [[-(-side // stride) for side in padded]
            for stride, _ in generator.strides]
    anchors = torch.cat(generator.grid_priors(maps, device='cpu'))
    taken = assigner.assign(InstanceData(priors=anchors), objects).gt_inds
    sizes += (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt().tolist()
    overlaps += bbox_overlaps(boxes, anchors).max(dim=1).values.tolist()
    positives += [int((taken == n + 1).sum()) for n in range(len(boxes))]

rows = torch.tensor([sizes, overlaps, positives])
print('{:>12}{:>9}{:>7}{:>11}'.format('size', 'objects', 'IoU', 'positives'))
edges = torch.tensor([0, 16, 32, 64, 128, 256, 512, 1024, 2048])
places = torch.bucketize(rows[0], edges)
for place in places.unique():
    row = rows[:, places == place]
    iou, taken = row[1:].quantile(0.5, dim=1)
    name = f'{edges[place - 1]} to {edges[place]}'
    print(f'{name:>12}{row.shape[1]:9}{iou:7.2f}{taken:11.0f}')
