_base_ = '../faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

metainfo = dict(classes=('kitten', 'mug'))
data_root = 'data/my_dataset/'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            num_classes=2,
            # One weight for each class, and the last for the background.
            loss_cls=dict(class_weight=[1.0, 3.0, 1.0]))))

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ClassBalancedDataset',
        # Images of classes that fewer than 30 % have come more often.
        oversample_thr=0.3,
        dataset=dict(
            type='CocoDataset',
            metainfo=metainfo,
            data_root=data_root,
            ann_file='annotations/train.json',
            data_prefix=dict(img='train/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline={{_base_.train_pipeline}})))
val_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        data_root=data_root,
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/')))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
