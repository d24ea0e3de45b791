_base_ = '../retinanet/retinanet_r50_fpn_1x_coco.py'

accumulate = 8  # iterations of 2 images: a step sees 16, as on 8 GPUs

optim_wrapper = dict(accumulative_counts=accumulate)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=500 * accumulate)  # still 500 steps
auto_scale_lr = dict(base_batch_size=16 / accumulate)  # of an iteration
