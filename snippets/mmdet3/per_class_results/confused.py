"""Count what each object of a COCO file was taken for.

$ python confused.py instances_val2017.json val.bbox.json 0.3 > confused.csv

Objects and boxes count once: a box first takes an object of its own class,
the surest box first, then any that is left. Overlap is at least a half.
"""
import csv
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from pycocotools.mask import iou

truth, results = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
names = {each['id']: each['name'] for each in truth['categories']}
objects, crowds, boxes = (defaultdict(list) for _ in range(3))
for each in truth['annotations']:
    group = crowds if each.get('iscrowd') else objects
    group[each['image_id']].append(each)
for each in sorted(results, key=lambda each: -each['score']):
    if each['score'] >= float(sys.argv[3]):
        boxes[each['image_id']].append(each)


def best(box, others, crowd=False):
    """The one of others that overlaps most with a box, or None."""
    overlaps = [
        iou([box['bbox']], [each['bbox']], [crowd])[0, 0] for each in others
    ]
    if overlaps and max(overlaps) >= 0.5:
        return others[overlaps.index(max(overlaps))]


counts = Counter()
for image in sorted({*objects, *boxes}):
    left, found = objects[image], boxes[image]
    for own_class in True, False:
        for box in list(found):
            fits = [
                each for each in left
                if own_class == (each['category_id'] == box['category_id'])
            ]
            if taken := best(box, fits):
                counts[taken['category_id'], box['category_id']] += 1
                left.remove(taken)
                found.remove(box)
    counts.update((each['category_id'], 'missed') for each in left)
    counts.update(('no object', box['category_id']) for box in found
                  if not best(box, crowds[image], crowd=True))

table = csv.writer(sys.stdout, lineterminator='\n')
table.writerow(['', *names.values(), 'missed'])
for key, name in [*names.items(), ('no object', 'no object')]:
    row = [counts[key, other] for other in [*names, 'missed']]
    table.writerow([name, *row])
