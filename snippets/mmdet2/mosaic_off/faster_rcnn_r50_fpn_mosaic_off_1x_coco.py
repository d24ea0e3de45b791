_base_ = '../faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py'

custom_imports = dict(imports=['configs.mosaic_off.mosaic_off_hook'])
custom_hooks = [
    dict(type='NumClassCheckHook'),  # of the base, whose list this replaces
    dict(type='MosaicOffHook', num_last_epochs=2)  # of 12
]

data_root = 'data/coco/'
img_scale = (800, 1333)  # (height, width): Mosaic and MixUp read it so
img_norm_cfg = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)

train_pipeline = [
    dict(type='Mosaic', img_scale=img_scale, pad_val=114.0),
    dict(
        type='RandomAffine',
        scaling_ratio_range=(0.1, 2),
        border=(-img_scale[0] // 2, -img_scale[1] // 2)),
    dict(
        type='MixUp',
        img_scale=img_scale,
        ratio_range=(0.8, 1.6),
        pad_val=114.0),
    # For the last epochs: so far images have this size.
    dict(type='Resize', img_scale=img_scale[::-1], keep_ratio=True),
    dict(type='RandomFlip', flip_ratio=0.5),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='Pad', size_divisor=32),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels'])
]

data = dict(
    persistent_workers=True,  # else each epoch draws the same mosaics
    train=dict(
        _delete_=True,
        type='MultiImageMixDataset',
        dataset=dict(
            type='CocoDataset',
            ann_file=data_root + 'annotations/instances_train2017.json',
            img_prefix=data_root + 'train2017/',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True)
            ],
            filter_empty_gt=False),
        pipeline=train_pipeline))
