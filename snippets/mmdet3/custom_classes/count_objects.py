"""Count the images and the objects that a config trains on.

$ python configs/custom_classes/count_objects.py CONFIG
"""
import sys
from collections import Counter

from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config


def parts(node):
    """The datasets that a config joins or wraps."""
    if isinstance(node, (list, tuple)):
        return [part for each in node for part in parts(each)]
    inner = node.get('datasets') or node.get('dataset')
    return parts(inner) if inner else [node]


if len(sys.argv) != 2:
    sys.exit(__doc__.strip())
register_all_modules()
wrong = []
for part in parts(Config.fromfile(sys.argv[1]).train_dataloader.dataset):
    # serialize_data=True would stop at a dataset without images.
    data = DATASETS.build({**part, 'serialize_data': False})
    known = [each for index in range(len(data))
             for each in data.get_data_info(index)['instances']]
    trains = [each for each in known if not each['ignore_flag']]
    count = Counter(each['bbox_label'] for each in trains)
    names = data.metainfo['classes']
    print(f'{data.ann_file}: {len(data)} images')
    for label, name in enumerate(names):
        print(f'  label {label}, {name}: {count[label]} objects')
        if not count[label]:
            wrong.append(f'no object trains {name}')
    print(f'  ignored: {len(known) - len(trains)} objects')
    for label in sorted(set(count) - set(range(len(names)))):
        wrong.append(f'{count[label]} objects have label {label}, which no '
                     'class has: two categories have one name')
if wrong:
    sys.exit('\n'.join(wrong))
