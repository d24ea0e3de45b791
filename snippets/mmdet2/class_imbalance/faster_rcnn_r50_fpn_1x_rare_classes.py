_base_ = '../faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py'

classes = ('kitten', 'mug')
data_root = 'data/my_dataset/'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            num_classes=len(classes),
            # One weight for each class, and the last for the background.
            loss_cls=dict(class_weight=[1.0, 3.0, 1.0]))))

data = dict(
    train=dict(
        _delete_=True,
        type='ClassBalancedDataset',
        # Images of classes that fewer than 30 % have come more often.
        oversample_thr=0.3,
        dataset=dict(
            type='CocoDataset',
            classes=classes,
            ann_file=data_root + 'annotations/train.json',
            img_prefix=data_root + 'train/',
            pipeline={{_base_.train_pipeline}})),
    val=dict(
        classes=classes,
        ann_file=data_root + 'annotations/val.json',
        img_prefix=data_root + 'val/'),
    test=dict(
        classes=classes,
        ann_file=data_root + 'annotations/val.json',
        img_prefix=data_root + 'val/'))
