_base_ = '../faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

data_root = 'data/coco/'
dataset_type = 'CocoDataset'
img_scale = (1333, 800)  # (width, height)

train_pipeline = [
    dict(type='Mosaic', img_scale=img_scale, pad_val=114.0),
    # Mosaic doubles width and height; the negative border takes that back.
    dict(
        type='RandomAffine',
        scaling_ratio_range=(0.1, 2),
        border=(-img_scale[0] // 2, -img_scale[1] // 2)),
    dict(type='RandomFlip', prob=0.5),
    # Normalising and padding is the work of the model's data_preprocessor.
    dict(type='PackDetInputs')
]

train_dataset = dict(
    _delete_=True,  # replace the stock train dataset instead of merging
    type='MultiImageMixDataset',
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=False, min_size=32),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True)
        ]),
    pipeline=train_pipeline)

train_dataloader = dict(dataset=train_dataset)
