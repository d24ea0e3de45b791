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


def count(data):
    """Print what a dataset trains; return what is wrong."""
    objects = [each for index in range(len(data))
               for each in data.get_data_info(index)['instances']]
    used = [each for each in objects if not each['ignore_flag']]
    trained = Counter(each['bbox_label'] for each in used)
    names = data.metainfo['classes']
    print(f'{data.ann_file}: {len(data)} images')
    for label, name in enumerate(names):
        print(f'  label {label}, {name}: {trained[label]} objects')
        if not trained[label]:
            yield f'no object trains {name}'
    print(f'  ignored: {len(objects) - len(used)} objects')
    for label in sorted(set(trained) - set(range(len(names)))):
        yield (f'{trained[label]} objects have label {label}, which no class '
               'has: two categories have one name')


if len(sys.argv) != 2:
    sys.exit(__doc__.strip())
sys.stdout.reconfigure(errors='backslashreplace')  # whatever a name has in it
register_all_modules()
wrong = []
for part in parts(Config.fromfile(sys.argv[1]).train_dataloader.dataset):
    try:  # with serialize_data=True a dataset without images is an error
        wrong += count(DATASETS.build({**part, 'serialize_data': False}))
    except (OSError, KeyError, TypeError, ValueError, AssertionError) as error:
        wrong.append(f"{part.get('ann_file')}: "
                     f'{type(error).__name__}: {error}')
if wrong:
    sys.exit('\n'.join(wrong))
