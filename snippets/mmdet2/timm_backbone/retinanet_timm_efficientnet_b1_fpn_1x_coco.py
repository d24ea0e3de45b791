_base_ = [
    '../_base_/models/retinanet_r50_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_1x.py', '../_base_/default_runtime.py'
]

# Needs timm and mmcls>=0.20.0. Importing mmcls.models registers TIMMBackbone.
custom_imports = dict(imports=['mmcls.models'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,  # drop every ResNet key that _base_ set
        type='mmcls.TIMMBackbone',
        model_name='efficientnet_b1',
        features_only=True,
        pretrained=True,
        out_indices=(1, 2, 3, 4)),
    neck=dict(in_channels=[24, 40, 112, 320]))

optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001)
