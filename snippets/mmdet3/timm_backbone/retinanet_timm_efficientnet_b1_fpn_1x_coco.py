from mmengine.config import read_base
from mmpretrain.models import TIMMBackbone

with read_base():
    from .._base_.datasets.coco_detection import *
    from .._base_.default_runtime import *
    from .._base_.models.retinanet_r50_fpn import *
    from .._base_.schedules.schedule_1x import *

model.backbone = dict(  # takes the place of the whole ResNet
    type=TIMMBackbone,
    model_name='efficientnet_b1',
    features_only=True,
    pretrained=True,
    out_indices=(1, 2, 3, 4))
model.neck.update(in_channels=[24, 40, 112, 320])

optim_wrapper.optimizer.update(lr=0.01)
