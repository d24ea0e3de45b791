_base_ = '../faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

# Beside the standard anchors, 8 strides wide, those of half the size, and of
# twice, since large objects grow with the images.
model = dict(rpn_head=dict(anchor_generator=dict(scales=[4, 8, 16])))

# Objects are half as large again as with the standard (1333, 800).
scale = (2000, 1200)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor'))
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
