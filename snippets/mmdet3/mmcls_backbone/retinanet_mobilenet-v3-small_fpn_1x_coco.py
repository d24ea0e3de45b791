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
        norm_eval=True,  # as in _base_, for two images a GPU
        # The checkpoint is a classifier's: its keys start with 'backbone.'.
        init_cfg=dict(
            type='Pretrained', checkpoint=pretrained, prefix='backbone.')),
    # Three levels, and all of them are used: _base_ skips the first of four.
    neck=dict(in_channels=[24, 48, 96], start_level=0))

# layer12 is built as well; behind the last level it gets no gradient.
find_unused_parameters = True

optim_wrapper = dict(optimizer=dict(lr=0.01))  # as MMDetection's own RetinaNet
