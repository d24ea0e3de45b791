_base_ = '../retinanet/retinanet_r50_fpn_1x_coco.py'

# The path of log_cosh_loss.py, with dots for slashes and without .py.
custom_imports = dict(imports=['configs.custom_module.log_cosh_loss'])

model = dict(
    bbox_head=dict(loss_bbox=dict(type='LogCoshLoss', loss_weight=1.0)))
