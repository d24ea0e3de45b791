"""Count what each object of a COCO file was taken for.

$ python confused.py instances_val2017.json val.bbox.json 0.3 > confused.csv

Objects and boxes count once: a box first takes an object of its own class,
the surest box first, then any that is left. Overlap is at least a half. A box
on a crowd of its own class does not count.
"""
import csv
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from pycocotools.mask import iou


def read(path):
    """Return the content of a JSON file."""
    try:
        return json.loads(Path(path).read_text(encoding='utf-8-sig'))
    except (OSError, ValueError) as error:
        sys.exit(f'{path}: {error}')


if len(sys.argv) != 4:
    sys.exit(__doc__)
*paths, threshold = sys.argv[1:]
try:
    threshold = float(threshold)
except ValueError:
    sys.exit(f'The threshold must be a number, as 0.3, not {threshold}')
truth, results = map(read, paths)
if not isinstance(truth, dict) or not isinstance(results, list):
    sys.exit('Name the annotations first, then the boxes of an evaluation.')
for key in 'images', 'annotations', 'categories':
    if key not in truth:
        sys.exit(f'{paths[0]} has no {key}')
try:
    if not all('score' in each for each in results):
        sys.exit(f'{paths[1]}: a box without a score is not an evaluation\'s')
    images = dict.fromkeys(each['id'] for each in truth['images'])
    names = {each['id']: each['name'] for each in truth['categories']}
    annotations = [
        each for each in truth['annotations']
        if each.get('image_id') in images
    ]
    for path, items in zip(paths, (annotations, results)):
        for each in items:
            for key, known in ('image_id', images), ('category_id', names):
                if each.get(key) not in known:
                    sys.exit(f'{path}: {key} {each.get(key)!r} is not in '
                             f'{paths[0]}: {str([*known])[:60]}')
            sides = [type(side) in (int, float) for side in each['bbox']]
            if sides != [True] * 4:
                sys.exit(f'{path}: bbox must be four numbers: {each}')
    results.sort(key=lambda each: -each['score'])
except (KeyError, TypeError, AttributeError) as error:
    sys.exit(f'{" or ".join(paths)} is not as COCO has it: {error!r}')
lost = len(truth['annotations']) - len(annotations)
if lost:
    print(f'left out: {lost} objects of images that {paths[0]} does not list',
          file=sys.stderr)

objects, crowds, boxes = (defaultdict(list) for _ in range(3))
for each in annotations:
    group = crowds if each.get('iscrowd') else objects
    group[each['image_id']].append(each)
if not objects:
    print(f'{paths[0]} has no object without iscrowd', file=sys.stderr)
for each in results:
    if each['score'] >= threshold:
        boxes[each['image_id']].append(each)


def best(box, others, own_class, crowd=False):
    """Return the one of its class, or of others, that a box overlaps most."""
    others = [
        each for each in others
        if own_class == (each['category_id'] == box['category_id'])
    ]
    overlaps = [
        iou([box['bbox']], [each['bbox']], [crowd])[0, 0] for each in others
    ]
    if overlaps and max(overlaps) >= 0.5:
        return others[overlaps.index(max(overlaps))]


counts = Counter()
for image in images:
    left, found = objects[image], boxes[image]
    for own_class in True, False:
        for box in list(found):
            if taken := best(box, left, own_class):
                counts[taken['category_id'], box['category_id']] += 1
                left.remove(taken)
                found.remove(box)
            elif own_class and best(box, crowds[image], True, crowd=True):
                found.remove(box)
    counts.update((each['category_id'], 'missed') for each in left)
    counts.update(('no object', box['category_id']) for box in found)

repeated = Counter(names.values())
titles = [
    f'{name} (id {key})' if repeated[name] > 1 else name
    for key, name in names.items()
]
sys.stdout.reconfigure(encoding='utf-8')
table = csv.writer(sys.stdout, lineterminator='\n')
table.writerow(['', *titles, 'missed'])
for key, title in zip([*names, 'no object'], [*titles, 'no object']):
    row = [counts[key, other] for other in [*names, 'missed']]
    table.writerow([title, *row])
