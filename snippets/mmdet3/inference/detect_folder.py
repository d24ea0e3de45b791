"""Detect objects in the images of a folder; keep drawings and a COCO file.

python configs/inference/detect_folder.py CONFIG CHECKPOINT IMAGES OUT
OUT is a new folder.
"""
import json
import signal
import sys
from collections import Counter
from glob import escape, glob
from itertools import islice
from pathlib import Path

import cv2
import mmcv
from mmdet.apis import DetInferencer

SCORE = 0.3  # what scores less is left out
BATCH = 4  # images at a time
SUFFIXES = '.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'

if len(sys.argv) != 5:
    sys.exit(__doc__)
sys.stdout.reconfigure(errors='backslashreplace')  # whatever a name has in it
config, checkpoint, *folders = sys.argv[1:]
images, out = (Path(folder).resolve() for folder in folders)
for path in (config, checkpoint):
    if '://' not in path and not Path(path).is_file():
        sys.exit(f'{path} is not a file')
if not images.is_dir():
    sys.exit(f'{images} is not a folder')
if images in (out, *out.parents):
    sys.exit(f'{out} lies in {images}: name a folder elsewhere')
if out.exists() and not (out.is_dir() and not any(out.iterdir())):
    sys.exit(f'{out} is not empty: name a new folder')

# In subfolders as well; names that begin with a dot are left out.
everything = map(Path, glob(f'{escape(str(images))}/**', recursive=True))
files = [path for path in everything if not path.is_dir()]
paths = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
others = Counter(path.suffix for path in {*files} - {*paths})
for suffix, number in sorted(others.items()):
    print(f'left out: {number} x {suffix or "no suffix"}')
if not paths:
    sys.exit(f'{images} has no file in {" ".join(SUFFIXES)}')
out.mkdir(parents=True, exist_ok=True)


def readable(paths):
    """Yield each path and its image; leave out what cannot be read."""
    for path in paths:
        try:
            image = mmcv.imread(str(path))
        except (OSError, cv2.error):
            image = None
        if image is None:
            print(f'left out: {path.relative_to(images)} cannot be read')
        else:
            yield path, image


# On a GPU if there is one.
detect = DetInferencer(config, checkpoint, show_progress=False)
names = enumerate(detect.model.dataset_meta['classes'])
names = [dict(id=label, name=name) for label, name in names]
coco = dict(images=[], annotations=[], categories=names)
pairs = readable(paths)
# Slurm and other services stop a program so when its time is over.
signal.signal(signal.SIGTERM, lambda *_: sys.exit('It was told to stop'))
try:
    while batch := list(islice(pairs, BATCH)):
        files = [str(path) for path, _ in batch]
        results = detect(files, BATCH, return_datasamples=True)
        for (path, image), result in zip(batch, results['predictions']):
            name = path.relative_to(images).as_posix()
            drawing = str(out / 'vis' / name)
            detect.visualizer.add_datasample(
                name, image[..., ::-1], result, draw_gt=False,
                pred_score_thr=SCORE, out_file=drawing)
            number = len(coco['images']) + 1
            height, width = image.shape[:2]
            coco['images'].append(
                dict(id=number, file_name=name, height=height, width=width))
            found = detect.pred2dict(result)
            for (x1, y1, x2, y2), label, score in zip(
                    found['bboxes'], found['labels'], found['scores']):
                if score > SCORE:
                    width, height = x2 - x1, y2 - y1
                    coco['annotations'].append(
                        dict(
                            id=len(coco['annotations']) + 1,
                            image_id=number,
                            category_id=label,
                            bbox=[x1, y1, width, height],
                            area=width * height,
                            iscrowd=0,
                            score=score))
finally:  # whatever stops it, what was done is kept
    file = out / 'detections.json'
    file.write_text(json.dumps(coco), encoding='utf-8')
    done = {key: len(items) for key, items in coco.items()}
    print(f'{done["images"]} images, {done["annotations"]} boxes: {file.name}')
