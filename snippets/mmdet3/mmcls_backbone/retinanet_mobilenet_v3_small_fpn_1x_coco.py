from mmengine.config import read_base
from mmpretrain.models import MobileNetV3

with read_base():
    from .._base_.datasets.coco_detection import *
    from .._base_.default_runtime import *
    from .._base_.models.retinanet_r50_fpn import *
    from .._base_.schedules.schedule_1x import *

pretrained = 'https://download.openmmlab.com/mmclassification/v0/mobilenet_v3/convert/mobilenet_v3_small-8427ecf0.pth'  # noqa: E501
model.backbone = dict(  # takes the place of the whole ResNet
    type=MobileNetV3,
    arch='small',
    out_indices=(3, 8, 11),
    norm_eval=True,  # as the ResNet, for two images a GPU
    # The checkpoint is a classifier's: its keys start with 'backbone.'.
    init_cfg=dict(
        type='Pretrained', checkpoint=pretrained, prefix='backbone.'))
# Three levels, and all of them are used: _base_ skips the first of four.
model.neck.update(in_channels=[24, 48, 96], start_level=0)

# layer12 is built as well; behind the last level it gets no gradient.
find_unused_parameters = True

optim_wrapper.optimizer.update(lr=0.01)  # as MMDetection's own RetinaNet
