from mmcv.cnn import is_norm
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop


@HOOKS.register_module()
class UnfreezeBackboneEpochBasedHook(Hook):
    """Train the frozen stages of a ResNet backbone from one epoch on.

    Works for :class:`mmdet.models.ResNet` and the backbones built on it
    (ResNeXt, Res2Net, RegNet, ResNeSt, ...), in an EpochBasedTrainLoop.

    Args:
        unfreeze_epoch (int): First epoch, counted from 0, in which the whole
            backbone trains. Default: 1.

    Example:
        >>> from mmdet.models import ResNet
        >>> hook = UnfreezeBackboneEpochBasedHook()
        >>> hook.unfreeze_epoch
        1
        >>> hook.frozen_modules(ResNet(depth=18, frozen_stages=0))
        ['conv1', 'norm1']
        >>> hook.frozen_modules(ResNet(depth=18, frozen_stages=2))
        ['conv1', 'norm1', 'layer1', 'layer2']
    """

    def __init__(self, unfreeze_epoch=1):
        self.unfreeze_epoch = unfreeze_epoch

    def before_run(self, runner):
        # What cannot be unfrozen should stop the run now, not in an epoch.
        params = self.frozen_params(self.get_backbone(runner.model))
        if isinstance(runner.optim_wrapper, OptimWrapper):  # not so in a test
            if not isinstance(runner.train_loop, EpochBasedTrainLoop):
                raise TypeError(
                    f'{type(runner.train_loop).__name__} has no epochs to '
                    'wait for; UnfreezeBackboneEpochBasedHook needs an '
                    'EpochBasedTrainLoop')
            known = set()
            for group in runner.optim_wrapper.param_groups:
                known.update(group['params'])
            if not known.issuperset(params):
                self.build_optimizer_again(runner, params)

    def before_train_epoch(self, runner):
        # Not ==: a run resumed after unfreeze_epoch starts frozen again.
        if runner.epoch < self.unfreeze_epoch:
            return
        backbone = self.get_backbone(runner.model)
        names = self.frozen_modules(backbone)
        if not names:
            return
        for param in self.frozen_params(backbone):
            param.requires_grad = True
        # The loop calls model.train() after this hook, and ResNet.train()
        # freezes `frozen_stages` again. Without any, it only sees to norm_eval.
        backbone.frozen_stages = -1

        if isinstance(runner.model, MMDistributedDataParallel):
            runner.model = self.wrap_again(runner.model)
        runner.logger.info(f'Epoch {runner.epoch}: unfroze '
                           f'{", ".join(names)} of {type(backbone).__name__}')

    @staticmethod
    def get_backbone(model):
        if is_model_wrapper(model):
            model = model.module
        return model.backbone

    @staticmethod
    def frozen_modules(backbone):
        """Names of the modules that `frozen_stages` keeps from training."""
        if not all(
                hasattr(backbone, name)
                for name in ('frozen_stages', 'deep_stem', 'res_layers')):
            raise TypeError(
                f'{type(backbone).__name__} has no ResNet stages to unfreeze; '
                'UnfreezeBackboneEpochBasedHook works for ResNet backbones')
        stages = range(1, backbone.frozen_stages + 1)
        names = [f'layer{i}' for i in stages]
        if backbone.frozen_stages >= 0:
            stem = ['stem'] if backbone.deep_stem else ['conv1', 'norm1']
            names = stem + names
        return names

    def frozen_params(self, backbone):
        """Parameters that nothing but `frozen_stages` keeps from training."""
        names = self.frozen_modules(backbone)
        # norm_cfg=dict(requires_grad=False) froze the norm layers on its own.
        train_norm = backbone.norm_cfg.get('requires_grad', True)
        return [
            param for name in names
            for module in getattr(backbone, name).modules()
            if train_norm or not is_norm(module)
            for param in module.parameters(recurse=False)
        ]

    @staticmethod
    def build_optimizer_again(runner, params):
        """With `paramwise_cfg`, it was built without what is frozen."""
        for param in params:
            param.requires_grad = True  # until model.train() freezes it again
        cfg = runner.cfg
        runner.optim_wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
        schedulers = cfg.get('param_scheduler')
        runner.param_schedulers = schedulers  # scale_lr refuses built ones
        runner.scale_lr(runner.optim_wrapper, cfg.get('auto_scale_lr'))
        if schedulers is not None:
            runner.param_schedulers = runner.build_param_scheduler(schedulers)

    @staticmethod
    def wrap_again(model):
        """DDP only averages gradients of what required them when it wrapped."""
        return type(model)(
            model.module,
            detect_anomalous_params=model.detect_anomalous_params,
            device_ids=model.device_ids,
            dim=model.dim,
            broadcast_buffers=model.broadcast_buffers,
            find_unused_parameters=model.find_unused_parameters,
            gradient_as_bucket_view=model.gradient_as_bucket_view,
            static_graph=model.static_graph)
