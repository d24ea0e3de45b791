_base_ = '../faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py'

# What is frozen stays as it is here.
load_from = 'https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth'  # noqa: E501

model = dict(backbone=dict(frozen_stages=4, init_cfg=None))  # all of ResNet

optimizer = dict(
    lr=0.002,  # a tenth, for 8 GPUs with 2 images each
    paramwise_cfg=dict(
        custom_keys={
            'neck': dict(lr_mult=0),
            'rpn_head': dict(lr_mult=0)
        }))
