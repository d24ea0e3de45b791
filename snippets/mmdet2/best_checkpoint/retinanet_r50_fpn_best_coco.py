_base_ = '../retinanet/retinanet_r50_fpn_1x_coco.py'

evaluation = dict(save_best='bbox_mAP')  # best_bbox_mAP_epoch_N.pth
checkpoint_config = dict(max_keep_ckpts=1)  # and the last one

custom_imports = dict(imports=['configs.best_checkpoint.early_stopping'])
custom_hooks = [
    dict(type='NumClassCheckHook'),
    dict(
        type='EarlyStoppingHook',
        metric='bbox_mAP',
        patience=3,  # evaluations without a new best
        priority=80)  # after the evaluation
]
