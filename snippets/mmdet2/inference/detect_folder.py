"""Detect objects in the images of a folder; keep drawings and a COCO file.

python configs/inference/detect_folder.py CONFIG CHECKPOINT IMAGES OUT
"""
import sys
from pathlib import Path

import mmcv
import torch
from mmdet.apis import inference_detector, init_detector

SCORE = 0.3  # what scores less is left out
BATCH = 4  # images at a time

config, checkpoint, images, out = sys.argv[1:]
device = 'cuda:0' if torch.cuda.is_available() else 'cpu'
model = init_detector(config, checkpoint, device=device)
names = [dict(id=n, name=name) for n, name in enumerate(model.CLASSES)]
coco = dict(images=[], annotations=[], categories=names)

paths = sorted(
    str(path) for path in Path(images).iterdir()
    if path.suffix.lower() in ('.jpg', '.jpeg', '.png'))
for start in range(0, len(paths), BATCH):
    batch = paths[start:start + BATCH]
    for path, result in zip(batch, inference_detector(model, batch)):
        name = Path(path).name
        model.show_result(
            path, result, score_thr=SCORE, out_file=f'{out}/{name}')
        boxes = result[0] if isinstance(result, tuple) else result  # or masks
        height, width = mmcv.imread(path).shape[:2]
        number = len(coco['images']) + 1
        coco['images'].append(
            dict(id=number, file_name=name, height=height, width=width))
        for label, found in enumerate(boxes):
            for x1, y1, x2, y2, score in found.tolist():
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

mmcv.dump(coco, f'{out}/detections.json')
