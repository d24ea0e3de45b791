import torch.distributed as dist
from mmcv.parallel import MMDistributedDataParallel
from mmcv.runner import HOOKS, Hook, get_dist_info

# When several GPUs evaluate, MMCV asks for it, and PyTorch 2 has it no more.
MMDistributedDataParallel._use_replicated_tensor_module = False


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

    def after_train_epoch(self, runner):
        ends = [self.has_waited(runner)]
        if get_dist_info()[1] > 1:  # of several, the first has the metric
            dist.broadcast_object_list(ends)
        if ends[0]:
            runner._max_epochs = runner.epoch + 1

    def has_waited(self, runner):
        score = runner.log_buffer.output.get(self.metric)
        if score is None:  # this epoch was not evaluated
            return False
        self.scores.append(score)
        best = max(self.scores)
        waited = len(self.scores) - 1 - self.scores.index(best)
        if waited < self.patience:
            return False
        runner.logger.info(
            f'{self.metric} was {best:.4f} and did not rise in {waited} '
            'evaluations: training ends')
        return True
