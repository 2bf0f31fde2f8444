"""Learning-rate schedules that `torch.optim.lr_scheduler` lacks."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup(optimizer: Optimizer, total_steps: int, warmup: float = 0.1) -> LambdaLR:
    """Rise linearly over the first `warmup` share of the steps, then fall linearly to zero at the last.

    BERT was trained this way (Devlin et al., 2018, https://arxiv.org/abs/1810.04805, appendix A.2).
    """
    rising = max(1, round(warmup * total_steps))
    falling = max(1, total_steps - rising)
    return LambdaLR(
        optimizer, lambda step: min((step + 1) / (rising + 1), max(0.0, (total_steps - step) / falling), 1.0)
    )
