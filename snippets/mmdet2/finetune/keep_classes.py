"""Keep a COCO detector's outputs for the classes that you name.

python configs/finetune/keep_classes.py CONFIG OUT CLASS [CLASS ...]

CONFIG has your num_classes, and COCO's checkpoint in load_from. OUT is the file
to write. Name a class of COCO for each of yours, in your order.
"""
import sys
from pathlib import Path

import torch
from mmcv import Config
from mmcv.runner import CheckpointLoader
from mmdet.core import get_classes
from mmdet.models import build_detector

if len(sys.argv) < 4:
    sys.exit(__doc__)
config, out, *names = sys.argv[1:]
coco = get_classes('coco')
names = [name.replace(' ', '_') for name in names]  # as MMDetection writes
for name in names:
    if name not in coco:
        sys.exit(f'{name} is no class of COCO. These are: {", ".join(coco)}')
out = Path(out)
if out.exists():
    sys.exit(f'{out} exists. Choose another name for the file to write.')


def keep(name, value):
    """The outputs of a layer that belong to the classes, in their order."""
    labels, outputs = [coco.index(each) for each in names], len(coco)
    if len(value) % outputs:  # the background has one, too: the last
        labels, outputs = [*labels, outputs], outputs + 1
    if len(value) % outputs:
        sys.exit(f'{name}: {len(value)} outputs are not some for each class '
                 'of COCO. The script cannot keep any of this detector.')
    if 'cls' in name:  # scores: all classes of one anchor, then of the next
        split = value.reshape(-1, outputs, *value.shape[1:])
        return split[:, labels].flatten(0, 1)
    split = value.reshape(outputs, -1, *value.shape[1:])
    return split[labels].flatten(0, 1)  # boxes and masks: class by class


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


cfg = read(config, Config.fromfile)
if not cfg.get('load_from'):
    sys.exit(f'{config} has no load_from. Set it to a checkpoint of COCO.')
state = read(cfg.load_from, weights)

model = build_detector(cfg.model)
changed = {}
for name, value in model.state_dict().items():
    if name in state and state[name].shape != value.shape:
        changed[name] = keep(name, state[name])
        if changed[name].shape != value.shape:
            sys.exit(f'{name}: {len(names)} classes make {len(changed[name])} '
                     f'outputs, and your detector has {len(value)}. Name one '
                     'class of COCO for each of yours.')
if not changed:
    sys.exit(f'No layer of {cfg.load_from} has other outputs than your '
             'detector. Is it the checkpoint of this detector, and did you '
             'set num_classes?')

for name, value in changed.items():
    print(f'{name}: {len(value)} of {len(state[name])} outputs')
out.parent.mkdir(parents=True, exist_ok=True)
half = out.with_name(f'{out.name}.part')
torch.save(dict(state_dict={**state, **changed}), half)
half.replace(out)  # so that OUT is whole or is not there
