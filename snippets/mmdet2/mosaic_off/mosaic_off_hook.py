from mmcv.runner import HOOKS, EpochBasedRunner, Hook


@HOOKS.register_module()
class MosaicOffHook(Hook):
    """Train the last epochs on plain images, whatever the detector.

    Args:
        num_last_epochs (int): Number of those epochs.
        skip_type_keys (tuple[str]): Steps that they skip.
    """

    def __init__(self,
                 num_last_epochs,
                 skip_type_keys=('Mosaic', 'RandomAffine', 'MixUp')):
        self.num_last_epochs = num_last_epochs
        self.skip_type_keys = skip_type_keys
        self.off = False

    def before_run(self, runner):
        if not isinstance(runner, EpochBasedRunner):
            raise TypeError(
                f'{type(runner).__name__} has no epochs to count; '
                'MosaicOffHook needs an EpochBasedRunner')

    def before_train_epoch(self, runner):
        loader = runner.data_loader
        # A dataset that cannot skip should stop the first epoch already.
        skip = loader.dataset.update_skip_type_keys
        first = runner.max_epochs - self.num_last_epochs
        if runner.epoch < first or self.off:
            return
        skip(self.skip_type_keys)
        # Workers that live on have the dataset as it was: start others.
        loader._iterator = None
        self.off = True
        skipped = ', '.join(self.skip_type_keys)
        runner.logger.info(f'epoch {runner.epoch + 1}: no {skipped} any more')
