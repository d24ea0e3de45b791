from mmcv.cnn import is_norm
from mmcv.parallel import is_module_wrapper
from mmcv.runner import DefaultOptimizerConstructor, EpochBasedRunner
from mmcv.runner.hooks import HOOKS, Hook
from mmcv.runner.optimizer import OPTIMIZER_BUILDERS
from torch.nn.parallel import DistributedDataParallel


@HOOKS.register_module()
class UnfreezeBackboneEpochBasedHook(Hook):
    """Train the frozen stages of a ResNet backbone from one epoch on.

    Works for :class:`mmdet.models.ResNet` and the backbones built on it
    (ResNeXt, Res2Net, RegNet, ResNeSt, ...), under an EpochBasedRunner.

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
        self.frozen_modules(self.get_backbone(runner.model))
        if not isinstance(runner, EpochBasedRunner):
            raise TypeError(
                f'{type(runner).__name__} has no epochs to wait for; '
                'UnfreezeBackboneEpochBasedHook needs an EpochBasedRunner')
        _, *others = runner.optimizer.param_groups
        if others and not hasattr(runner.optimizer, 'constructor'):
            raise TypeError(
                'paramwise_cfg skips what is frozen; in the config, set '
                "optimizer.constructor='FrozenTooOptimizerConstructor'")

    def before_train_epoch(self, runner):
        # Not ==: a run resumed after unfreeze_epoch starts frozen again.
        if runner.epoch < self.unfreeze_epoch:
            return
        backbone = self.get_backbone(runner.model)
        names = self.frozen_modules(backbone)
        if not names:
            return

        # ResNet.train() freezes `frozen_stages` again at every epoch's start.
        backbone.frozen_stages = -1
        # norm_cfg=dict(requires_grad=False) froze the norm layers on its own.
        train_norm = backbone.norm_cfg.get('requires_grad', True)
        for name in names:
            for module in getattr(backbone, name).modules():
                if train_norm or not is_norm(module):
                    for param in module.parameters(recurse=False):
                        param.requires_grad = True
        backbone.train()  # honours norm_eval

        if isinstance(runner.model, DistributedDataParallel):
            runner.model = self.wrap_again(runner.model)
        runner.logger.info(f'Epoch {runner.epoch}: unfroze '
                           f'{", ".join(names)} of {type(backbone).__name__}')

    @staticmethod
    def get_backbone(model):
        if is_module_wrapper(model):
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

    @staticmethod
    def wrap_again(model):
        """DDP only averages gradients of what required them when it wrapped."""
        return type(model)(
            model.module,
            device_ids=model.device_ids,
            dim=model.dim,
            broadcast_buffers=model.broadcast_buffers,
            find_unused_parameters=model.find_unused_parameters)


@OPTIMIZER_BUILDERS.register_module()
class FrozenTooOptimizerConstructor(DefaultOptimizerConstructor):
    """Applies `paramwise_cfg` to the parameters that are frozen as well."""

    def __call__(self, model):
        before = [(param, param.requires_grad) for param in model.parameters()]
        model.requires_grad_()
        optimizer = super().__call__(model)
        for param, requires_grad in before:
            param.requires_grad = requires_grad
        optimizer.constructor = self
        return optimizer
