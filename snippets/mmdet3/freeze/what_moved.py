"""Say what training changed, part by part.

python configs/freeze/what_moved.py CONFIG CHECKPOINT
"""
import collections
import sys

import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

config, checkpoint = sys.argv[1:]
before, after = (
    CheckpointLoader.load_checkpoint(path, map_location='cpu')['state_dict']
    for path in (Config.fromfile(config).load_from, checkpoint))

found, moved = collections.Counter(), collections.Counter()
for name, value in after.items():
    part = name.split('.')[0]
    kind = 'statistics' if 'running_' in name else 'weights'
    if 'num_batches' not in name:
        found[part, kind] += 1
        moved[part, kind] += not torch.equal(value, before[name])
for part, kind in found:
    print(f'{part}: {moved[part, kind]} of {found[part, kind]} {kind} moved')
