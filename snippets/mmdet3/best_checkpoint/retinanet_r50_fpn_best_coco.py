_base_ = '../retinanet/retinanet_r50_fpn_1x_coco.py'

default_hooks = dict(
    checkpoint=dict(
        save_best='coco/bbox_mAP',  # best_coco_bbox_mAP_epoch_N.pth
        max_keep_ckpts=1))  # and the last one

custom_hooks = [
    *_base_.get('custom_hooks', []),  # of the base, whose list this replaces
    dict(
        type='EarlyStoppingHook',
        monitor='coco/bbox_mAP',
        min_delta=0.001,  # what counts as better; its default is 0.1
        patience=3)  # evaluations without a better one
]
