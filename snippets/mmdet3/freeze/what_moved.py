"""Say what training changed, part by part.

python configs/freeze/what_moved.py CONFIG CHECKPOINT
"""
import collections
import sys

import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

if len(sys.argv) != 3:
    sys.exit(__doc__)
config, checkpoint = sys.argv[1:]


def read(path, how):
    """What a file has; if it is missing or broken, end with the reason."""
    try:
        return how(path)
    except Exception as error:
        sys.exit(f'{path}: {type(error).__name__}: {error}')


def weights(path):
    """The weights in a checkpoint, by name."""
    content = CheckpointLoader.load_checkpoint(path, 'cpu')
    return content.get('state_dict', content)


load_from = read(config, Config.fromfile).get('load_from')
if not load_from:
    sys.exit(f'{config} has no load_from, so there is nothing to compare with. '
             'If a command has set it, take the config in work_dirs/.')
before, after = read(load_from, weights), read(checkpoint, weights)

found, moved, others = collections.Counter(), collections.Counter(), []
for name, value in after.items():
    if 'num_batches' in name:
        continue
    if name not in before or before[name].shape != value.shape:
        others.append(name)
        continue
    part = name.split('.')[0]
    kind = 'statistics' if 'running_' in name else 'weights'
    found[part, kind] += 1
    moved[part, kind] += not torch.equal(value, before[name])
if not found:
    sys.exit(f'{checkpoint} is of another model than {load_from}.')
for part, kind in found:
    print(f'{part}: {moved[part, kind]} of {found[part, kind]} {kind} moved')
if others:
    print('Not compared, as load_from has none of this name and shape:',
          *others, sep='\n    ')
