_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_1x.py', '../_base_/default_runtime.py'
]

custom_imports = dict(
    imports=['configs.unfreeze_backbone.unfreeze_backbone_epoch_based_hook'],
    allow_failed_imports=False)

model = dict(backbone=dict(frozen_stages=4))  # all of it starts frozen

# Epochs count from 0: one epoch with the backbone frozen, then all trains.
custom_hooks = [
    *_base_.get('custom_hooks', []),  # of the base, whose list this replaces
    dict(type='UnfreezeBackboneEpochBasedHook', unfreeze_epoch=1)
]
