_base_ = '../faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

classes = ('kitten', 'mug')  # as the annotation file names and orders them
metainfo = dict(classes=classes)
data_root = 'data/my_dataset/'

model = dict(roi_head=dict(bbox_head=dict(num_classes=len(classes))))

train_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        data_root=data_root,
        ann_file='annotations/train.json',
        data_prefix=dict(img='train/')))
val_dataloader = dict(
    dataset=dict(
        metainfo=metainfo,
        data_root=data_root,
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/')))
test_dataloader = val_dataloader

# The log then has the AP of each class.
val_evaluator = dict(
    ann_file=data_root + 'annotations/val.json', classwise=True)
test_evaluator = val_evaluator

# Stops before the first epoch if num_classes is another number. The hooks
# that the standard config has, such as YOLOX's EMAHook, stay.
custom_hooks = [
    *_base_.get('custom_hooks', []),
    dict(type='NumClassCheckHook')
]
