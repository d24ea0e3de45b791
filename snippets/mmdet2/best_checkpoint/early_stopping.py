import torch.distributed as dist
from mmcv.runner import HOOKS, EpochBasedRunner, Hook, get_dist_info


@HOOKS.register_module()
class EarlyStoppingHook(Hook):
    """End training when a metric has not risen for so many evaluations.

    It needs a priority after that of the evaluation, which is 70, and before
    that of the log, which is 90.
    """

    def __init__(self, metric, patience):
        self.metric = metric
        self.patience = patience
        self.scores = []

    def before_run(self, runner):
        if not isinstance(runner, EpochBasedRunner):
            raise TypeError(f'{type(runner).__name__} has no epochs to end; '
                            'EarlyStoppingHook needs an EpochBasedRunner')

    def after_train_epoch(self, runner):
        ends = [self.has_waited(runner)]
        if get_dist_info()[1] > 1:  # of several, the first has the metric
            dist.broadcast_object_list(ends)
        if ends[0]:
            runner._max_epochs = runner.epoch + 1

    def has_waited(self, runner):
        results = runner.log_buffer.output
        if self.metric not in results:
            if 'eval_iter_num' in results:  # else the epoch is not evaluated
                runner.logger.warning(
                    f'no {self.metric} in this evaluation: it does not count')
            return False
        self.scores.append(results[self.metric])
        best = max(self.scores)
        waited = len(self.scores) - 1 - self.scores.index(best)
        if waited < self.patience:
            return False
        runner.logger.info(
            f'{self.metric} was {best:.4f} and did not rise in {waited} '
            'evaluations: training ends')
        return True
