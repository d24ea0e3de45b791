_base_ = '../retinanet/retinanet_r50_fpn_1x_coco.py'

accumulate = 8  # iterations of 2 images: a step sees 16, as on 8 GPUs

optimizer_config = dict(
    type='GradientCumulativeOptimizerHook', cumulative_iters=accumulate)
lr_config = dict(warmup_iters=500 * accumulate)  # still 500 steps
auto_scale_lr = dict(base_batch_size=16 / accumulate)  # of an iteration
