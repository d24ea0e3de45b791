_base_ = '../faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py'

classes = ('kitten', 'mug')  # as the annotation file names and orders them
data_root = 'data/my_dataset/'

# Trained on COCO. What has another shape here is left out: the last two layers.
load_from = 'https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth'  # noqa: E501

model = dict(
    backbone=dict(init_cfg=None),  # load_from replaces them
    roi_head=dict(bbox_head=dict(num_classes=len(classes))))

optimizer = dict(lr=0.002)  # a tenth, for 8 GPUs with 2 images each

data = dict(
    train=dict(
        classes=classes,
        ann_file=data_root + 'annotations/train.json',
        img_prefix=data_root + 'train/'),
    val=dict(
        classes=classes,
        ann_file=data_root + 'annotations/val.json',
        img_prefix=data_root + 'val/'),
    test=dict(
        classes=classes,
        ann_file=data_root + 'annotations/val.json',
        img_prefix=data_root + 'val/'))
