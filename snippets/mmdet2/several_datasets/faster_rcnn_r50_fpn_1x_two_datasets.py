_base_ = '../faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py'

# For each output of the head, what a dataset's file calls it, and in the
# order that the file has.
own = dict(
    type='CocoDataset',
    classes=('kitten', 'mug'),
    ann_file='data/my_dataset/annotations/train.json',
    img_prefix='data/my_dataset/train/',
    pipeline={{_base_.train_pipeline}})
coco = dict(
    type='CocoDataset',
    classes=('cat', 'cup'),
    ann_file='data/coco/annotations/instances_train2017.json',
    img_prefix='data/coco/train2017/',
    pipeline={{_base_.train_pipeline}})

# Each is evaluated by itself, in this order: 0_bbox_mAP, 1_bbox_mAP.
both = dict(
    _delete_=True,
    type='ConcatDataset',
    pipeline={{_base_.test_pipeline}},  # inference_detector looks for it here
    datasets=[
        dict(
            type='CocoDataset',
            classes=('kitten', 'mug'),
            ann_file='data/my_dataset/annotations/val.json',
            img_prefix='data/my_dataset/val/',
            pipeline={{_base_.test_pipeline}},
            test_mode=True),
        dict(
            type='CocoDataset',
            classes=('cat', 'cup'),
            ann_file='data/coco/annotations/instances_val2017.json',
            img_prefix='data/coco/val2017/',
            pipeline={{_base_.test_pipeline}},
            test_mode=True)
    ])

model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))

data = dict(
    train=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            # Three times in each epoch, as it is small.
            dict(type='RepeatDataset', times=3, dataset=own),
            coco
        ]),
    val=both,
    test=both)
