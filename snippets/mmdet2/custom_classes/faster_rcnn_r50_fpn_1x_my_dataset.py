_base_ = '../faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py'

classes = ('kitten', 'mug')  # as the annotation file names and orders them
data_root = 'data/my_dataset/'

model = dict(roi_head=dict(bbox_head=dict(num_classes=len(classes))))

data = dict(
    train=dict(
        classes=classes,
        ann_file=data_root + 'annotations/train.json',
        img_prefix=data_root + 'train/'),
    val=dict(
        classes=classes,
        ann_file=data_root + 'annotations/val.json',
        img_prefix=data_root + 'val/'),
    test=dict(
        classes=classes,
        ann_file=data_root + 'annotations/val.json',
        img_prefix=data_root + 'val/'))

evaluation = dict(classwise=True)  # the log then has the AP of each class
