_base_ = [
    '../_base_/models/retinanet_r50_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_1x.py', '../_base_/default_runtime.py'
]

# Needs mmpretrain. Importing mmpretrain.models registers its backbones.
custom_imports = dict(
    imports=['mmpretrain.models'], allow_failed_imports=False)

pretrained = 'https://download.openmmlab.com/mmclassification/v0/mobilenet_v3/convert/mobilenet_v3_small-8427ecf0.pth'  # noqa: E501
model = dict(
    backbone=dict(
        _delete_=True,  # drop every ResNet key that _base_ set
        type='mmpretrain.MobileNetV3',
        arch='small',
        out_indices=(3, 8, 11),
        # The checkpoint is a classifier's: its keys start with 'backbone.'.
        init_cfg=dict(
            type='Pretrained', checkpoint=pretrained, prefix='backbone.')),
    neck=dict(in_channels=[24, 48, 96], start_level=0))
