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


def count(data):
    """Print what a dataset trains; return what is wrong."""
    known = [data.get_ann_info(index) for index in range(len(data))]
    trained = Counter(label for each in known for label in each['labels'])
    print(f'{data.ann_file}: {len(data)} images')
    for label, name in enumerate(data.CLASSES):
        print(f'  label {label}, {name}: {trained[label]} objects')
        if not trained[label]:
            yield f'no object trains {name}'
    ignored = sum(len(each['bboxes_ignore']) for each in known)
    print(f'  ignored: {ignored} objects')
    for label in sorted(set(trained) - set(range(len(data.CLASSES)))):
        yield (f'{trained[label]} objects have label {label}, which no class '
               'has: two categories have one name')


if len(sys.argv) != 2:
    sys.exit(__doc__.strip())
sys.stdout.reconfigure(errors='backslashreplace')  # whatever a name has in it
wrong = []
for part in parts(Config.fromfile(sys.argv[1]).data.train):
    try:
        built = build_dataset(part)
        for data in getattr(built, 'datasets', [built]):  # a list of files
            wrong += count(data)
    except (OSError, KeyError, TypeError, ValueError, AssertionError) as error:
        wrong.append(f"{part.get('ann_file')}: "
                     f'{type(error).__name__}: {error}')
if wrong:
    sys.exit('\n'.join(wrong))
