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
        self.scores = []

    def after_train_epoch(self, runner):
        score = runner.log_buffer.output.get(self.metric)
        if score is None:  # this epoch was not evaluated
            return
        self.scores.append(score)
        best = max(self.scores)
        waited = len(self.scores) - 1 - self.scores.index(best)
        if waited >= self.patience:
            runner.logger.info(
                f'{self.metric} was {best:.4f} and did not rise in {waited} '
                'evaluations: training ends')
            runner._max_epochs = runner.epoch + 1
