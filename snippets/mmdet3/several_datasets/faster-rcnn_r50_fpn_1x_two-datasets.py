_base_ = '../faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

# For each output of the head, what a dataset's file calls it, and in the
# order that the file has.
own = dict(
    type='CocoDataset',
    metainfo=dict(classes=('kitten', 'mug')),
    data_root='data/my_dataset/',
    ann_file='annotations/train.json',
    data_prefix=dict(img='train/'),
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    pipeline={{_base_.train_pipeline}})
coco = dict(
    type='CocoDataset',
    metainfo=dict(classes=('cat', 'cup')),
    data_root='data/coco/',
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img='train2017/'),
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    pipeline={{_base_.train_pipeline}})

model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        # The first one's names are those of the checkpoint.
        ignore_keys=['classes', 'palette'],
        datasets=[
            # Three times in each epoch, as it is small.
            dict(type='RepeatDataset', times=3, dataset=own),
            coco
        ]))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type='CocoDataset',
                metainfo=dict(classes=('kitten', 'mug')),
                data_root='data/my_dataset/',
                ann_file='annotations/val.json',
                data_prefix=dict(img='val/'),
                test_mode=True,
                pipeline={{_base_.test_pipeline}}),
            dict(
                type='CocoDataset',
                metainfo=dict(classes=('cat', 'cup')),
                data_root='data/coco/',
                ann_file='annotations/instances_val2017.json',
                data_prefix=dict(img='val2017/'),
                test_mode=True,
                pipeline={{_base_.test_pipeline}})
        ]))
test_dataloader = val_dataloader

# Each is evaluated by itself: own/coco/bbox_mAP, public/coco/bbox_mAP.
val_evaluator = dict(
    _delete_=True,
    type='MultiDatasetsEvaluator',
    dataset_prefixes=['own', 'public'],
    metrics=[
        dict(
            type='CocoMetric',
            ann_file='data/my_dataset/annotations/val.json',
            metric='bbox'),
        dict(
            type='CocoMetric',
            ann_file='data/coco/annotations/instances_val2017.json',
            metric='bbox')
    ])
test_evaluator = val_evaluator
