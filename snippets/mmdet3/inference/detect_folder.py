"""Detect objects in the images of a folder; keep drawings and a COCO file.

python configs/inference/detect_folder.py CONFIG CHECKPOINT IMAGES OUT
"""
import sys
from pathlib import Path

import mmcv
from mmdet.apis import DetInferencer
from mmengine.fileio import dump

SCORE = 0.3  # what scores less is left out
BATCH = 4  # images at a time

config, checkpoint, images, out = sys.argv[1:]
detect = DetInferencer(config, checkpoint)  # on a GPU if there is one
names = enumerate(detect.model.dataset_meta['classes'])
coco = dict(
    images=[],
    annotations=[],
    categories=[dict(id=label, name=name) for label, name in names])

paths = sorted(
    str(path) for path in Path(images).iterdir()
    if path.suffix.lower() in ('.jpg', '.jpeg', '.png'))
results = detect(paths, BATCH, pred_score_thr=SCORE, out_dir=out)
for path, found in zip(paths, results['predictions']):
    height, width = mmcv.imread(path).shape[:2]
    number = len(coco['images']) + 1
    coco['images'].append(
        dict(
            id=number,
            file_name=Path(path).name,
            height=height,
            width=width))
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

dump(coco, f'{out}/detections.json')
