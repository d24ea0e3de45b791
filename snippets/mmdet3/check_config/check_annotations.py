"""Find what is wrong in a COCO annotation file before you train on it.

$ python configs/check_config/check_annotations.py train.json
"""
import functools
import json
import sys
from collections import Counter


def faults(content, names=(), evaluated=True):
    """What is wrong in a COCO file, and what to write instead.

    `names` are the classes of a config; `evaluated` is a file of val or test.
    """
    lacks = [key for key in ('images', 'annotations', 'categories')
             if not isinstance(content, dict) or not content.get(key)]
    if lacks:
        yield f'it has no {some(lacks)}', 'a COCO file of object detection'
        return
    kinds = [key for key in ('images', 'annotations', 'categories')
             if not all(isinstance(row, dict) for row in content[key])]
    if kinds:
        yield f'rows of {some(kinds)} are no objects in braces', 'them as COCO does'
        return
    yield from identities(content)
    yield from categories(content, names)
    yield from flags(content['annotations'], evaluated)
    yield from boxes(content)
    images = content['images']
    bare = [each for each in images if not each.get('width')
            or not each.get('height')]
    if bare:
        yield (f'{len(bare)} images have no width and height',
               'those of the image file')
    elif all(min(each['width'], each['height']) < 32 for each in images):
        yield ('every image is smaller than 32 pixels, so none trains',
               'larger images, or another min_size')
    turned = [each['file_name'] for each in images
              if '\\' in str(each.get('file_name'))]
    if turned:
        yield f'file_name with a backslash: {turned[0]}', '/ in each file_name'


def identities(content):
    """With an id twice, boxes of one image are on another, or none load."""
    for kind in ('images', 'annotations', 'categories'):
        counts = Counter(each.get('id') for each in content[kind])
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            yield f'ids twice in {kind}: {some(twice)}', 'each id once'
    for key, kind in (('image_id', 'images'), ('category_id', 'categories')):
        ids = {each.get('id') for each in content[kind]}
        lost = [each.get(key) for each in content['annotations']
                if each.get(key) not in ids]
        if lost:
            yield (f'{key} of {len(lost)} objects is no id in {kind}: '
                   f'{some(map(repr, lost))}',
                   'that id, of the same kind: 3 is not "3"')


def categories(content, names):
    """A name that stands there twice shifts labels; one unused never trains."""
    rows = Counter(each.get('name') for each in content['categories'])
    twice = [name for name, count in rows.items() if count > 1]
    if twice:
        yield (f'the category {some(twice)} stands there twice',
               'only the row that objects have')
    ids = {each.get('id'): each.get('name') for each in content['categories']}
    used = {ids.get(each.get('category_id')) for each in content['annotations']}
    first = content['categories'][0].get('name')
    if first in names and len(names) > 1 and set(names) - used == {first}:
        yield (f'no object has the first category, {first}, of which a class '
               'is made', f'classes without {first!r}')


def flags(annotations, evaluated):
    """MMDetection and pycocotools leave objects out by these, and say nothing."""
    for key, write in (('area', 'the width times the height of the box'),
                       ('iscrowd', '0')):
        lacking = [each for each in annotations if key not in each]
        if lacking and (key == 'area' or evaluated):
            yield (f'{len(lacking)} objects have no {key}: KeyError',
                   f'"{key}": {write}')
    if not any(each.get('area', 1) for each in annotations):
        yield ('every area is 0, so no object trains',
               'the width times the height of the box')
    if all(each.get('iscrowd') for each in annotations):
        yield 'iscrowd is 1 everywhere, so no object trains', '"iscrowd": 0'
    if evaluated and any(each.get('id') == 0 for each in annotations):
        yield ('annotation ids start from 0: pycocotools takes that object for '
               'missed', 'ids from 1, by number_annotations.py')


def boxes(content):
    """A box that is no [x, y, width, height] in pixels trains a wrong place."""
    annotations = content['annotations']
    right = [each for each in annotations if len(each.get('bbox') or ()) == 4 and
             all(isinstance(side, (int, float)) for side in each['bbox'])]
    if len(right) < len(annotations):
        yield (f'{len(annotations) - len(right)} boxes are not four numbers',
               'bbox=[x, y, width, height] in pixels, without quotes')
    if right and all(max(each['bbox']) <= 1 for each in right):
        yield ('every box is relative to its image, so no object trains',
               'bbox in pixels: times the width and the height of the image')
        return
    empty = [each for each in right if min(each['bbox'][2:]) < 1]
    if len(empty) > .01 * len(annotations):
        yield (f'{len(empty)} boxes are less than a pixel wide or high',
               'the file without them')
    images = {each.get('id'): each for each in content['images']}
    outside, corners = 0, 0
    for each in right:
        x, y, width, height = each['bbox']
        image = images.get(each.get('image_id')) or {}
        edge, bottom = image.get('width'), image.get('height')
        if edge and bottom:
            outside += (x < -2 or y < -2 or x + width > edge + 2
                        or y + height > bottom + 2)
            corners += 0 <= x < width <= edge and 0 <= y < height <= bottom
    if outside and corners == len(right):
        yield (f'{outside} boxes reach outside, and all could be two corners',
               'bbox=[x, y, width, height], not [x1, y1, x2, y2]')
    elif outside > .01 * len(annotations):
        yield (f'{outside} boxes reach outside their images',
               'boxes that end at the edge')


@functools.lru_cache(4)
def read(path):
    """The content of an annotation file; 500 MB take 20 s and 3 GB."""
    with open(path, encoding='utf-8-sig') as file:
        return json.load(file)


def some(items):
    """A few of many, for a message."""
    items = list(items)
    more = f' and {len(items) - 3} more' if len(items) > 3 else ''
    return ', '.join(str(each) for each in items[:3]) + more


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    sys.stdout.reconfigure(errors='backslashreplace')  # whatever a name has
    try:
        found = list(faults(read(sys.argv[1])))
    except (OSError, ValueError) as error:
        print(f'✗ {sys.argv[1]}: {type(error).__name__}: {error}')
        sys.exit(2)
    for what, write in found:
        print(f'✗ {what}\n      write {write}')
    sys.exit(int(bool(found)))
