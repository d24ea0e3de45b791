_base_ = '../faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

classes = ('kitten', 'mug')  # as the annotation file names and orders them
metainfo = dict(classes=classes)
data_root = 'data/my_dataset/'

# Trained on COCO. What has another shape here is left out: the last two layers.
load_from = 'https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth'  # noqa: E501

model = dict(
    backbone=dict(init_cfg=None),  # load_from replaces them
    roi_head=dict(bbox_head=dict(num_classes=len(classes))))

# A tenth, for 8 GPUs with 2 images each.
optim_wrapper = dict(optimizer=dict(lr=0.002))

train_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        data_root=data_root,
        ann_file='annotations/train.json',
        data_prefix=dict(img='train/')))
val_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        data_root=data_root,
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/')))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
