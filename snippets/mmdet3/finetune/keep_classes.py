"""Keep a COCO detector's outputs for the classes that you name.

python configs/finetune/keep_classes.py CONFIG kept.pth cat cup
"""
import sys

import torch
from mmdet.evaluation import get_classes
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

config, out, *names = sys.argv[1:]
checkpoint = CheckpointLoader.load_checkpoint(
    Config.fromfile(config).load_from, map_location='cpu')
state = checkpoint['state_dict']

coco = get_classes('coco')
labels = [coco.index(name) for name in names]
background = len(coco)  # the last output of fc_cls; fc_reg has none for it
for kind in ('weight', 'bias'):
    cls = f'roi_head.bbox_head.fc_cls.{kind}'
    reg = f'roi_head.bbox_head.fc_reg.{kind}'
    state[cls] = state[cls][[*labels, background]]
    boxes = state[reg].unflatten(0, (len(coco), 4))[labels]
    state[reg] = boxes.flatten(0, 1)  # four numbers of each class

torch.save(dict(state_dict=state), out)
