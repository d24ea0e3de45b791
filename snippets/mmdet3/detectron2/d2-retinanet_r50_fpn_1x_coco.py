_base_ = [
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_1x.py', '../_base_/default_runtime.py'
]

# Needs detectron2. The keys are those below MODEL of its own
# COCO-Detection/retinanet_R_50_FPN_1x.yaml, in lower case; what is left out
# keeps Detectron2's default: 80 classes, the mean that the weights expect ...
model = dict(
    type='Detectron2Wrapper',
    detector=dict(
        meta_architecture='RetinaNet',
        weights='detectron2://ImageNetPretrained/MSRA/R-50.pkl',
        backbone=dict(name='build_retinanet_resnet_fpn_backbone'),
        resnets=dict(depth=50, out_features=['res3', 'res4', 'res5']),
        fpn=dict(in_features=['res3', 'res4', 'res5']),
        anchor_generator=dict(
            sizes=[[x, x * 2**(1.0 / 3), x * 2**(2.0 / 3)]
                   for x in [32, 64, 128, 256, 512]]),
        retinanet=dict(smooth_l1_loss_beta=0.0)))

optim_wrapper = dict(optimizer=dict(lr=0.01))
