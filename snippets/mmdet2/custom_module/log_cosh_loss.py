import math

from mmdet.models import LOSSES
from mmdet.models.losses import weighted_loss
from torch import nn
from torch.nn.functional import softplus


@weighted_loss  # takes weight, reduction and avg_factor besides
def log_cosh(pred, target):
    """The logarithm of the cosine hyperbolic of each difference."""
    apart = (pred - target).abs()
    return apart + softplus(-2 * apart) - math.log(2)


@LOSSES.register_module()
class LogCoshLoss(nn.Module):
    """A squared error where the difference is small, L1 where it is large.

    Args:
        loss_weight (float): What the loss is multiplied by.
    """

    def __init__(self, loss_weight=1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self,
                pred,
                target,
                weight=None,
                avg_factor=None,
                reduction_override=None):
        """The loss of boxes (n, 4), as the head calls it.

        Args:
            pred (Tensor): What the head predicts.
            target (Tensor): What it should, of the same shape.
            weight (Tensor): 0 for what does not count, of the same shape.
            avg_factor (float): What the sum is divided by.
            reduction_override (str): 'none' for one loss each, or 'sum'.
        """
        reduction = reduction_override or 'mean'
        return self.loss_weight * log_cosh(
            pred, target, weight, reduction=reduction, avg_factor=avg_factor)
