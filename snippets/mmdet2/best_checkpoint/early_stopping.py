from mmcv.runner import HOOKS, Hook


@HOOKS.register_module()
class EarlyStoppingHook(Hook):
    """End training when a metric has not risen for so many evaluations.

    It needs a priority after that of the evaluation, which is 70, and before
    that of the log, which is 90.
    """

    def __init__(self, metric, patience):
        self.metric = metric
        self.patience = patience
        self.best = float('-inf')
        self.waited = 0

    def after_train_epoch(self, runner):
        score = runner.log_buffer.output.get(self.metric)
        if score is None:  # this epoch was not evaluated
            return
        if score > self.best:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            runner.logger.info(
                f'{self.metric} was {self.best:.4f} and did not rise in '
                f'{self.waited} evaluations: training ends')
            runner._max_epochs = runner.epoch + 1
