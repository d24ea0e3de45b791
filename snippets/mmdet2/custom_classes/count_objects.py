"""Count the images and the objects that a config trains on.

$ python configs/custom_classes/count_objects.py CONFIG
"""
import sys
from collections import Counter

from mmcv import Config
from mmdet.datasets import build_dataset


def parts(node):
    """The datasets that a config joins or wraps."""
    if isinstance(node, (list, tuple)):
        return [part for each in node for part in parts(each)]
    inner = node.get('datasets') or node.get('dataset')
    return parts(inner) if inner else [node]


if len(sys.argv) != 2:
    sys.exit(__doc__.strip())
wrong = []
for part in parts(Config.fromfile(sys.argv[1]).data.train):
    built = build_dataset(part)
    for data in getattr(built, 'datasets', [built]):  # ann_file may be a list
        known = [data.get_ann_info(index) for index in range(len(data))]
        count = Counter(label for each in known for label in each['labels'])
        ignored = sum(len(each['bboxes_ignore']) for each in known)
        print(f'{data.ann_file}: {len(data)} images')
        for label, name in enumerate(data.CLASSES):
            print(f'  label {label}, {name}: {count[label]} objects')
            if not count[label]:
                wrong.append(f'no object trains {name}')
        print(f'  ignored: {ignored} objects')
        for label in sorted(set(count) - set(range(len(data.CLASSES)))):
            wrong.append(f'{count[label]} objects have label {label}, which no '
                         'class has: two categories have one name')
if wrong:
    sys.exit('\n'.join(wrong))
