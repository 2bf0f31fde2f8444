"""Learning-rate schedules that know the total number of steps."""

import math

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


def cosine(optimizer: Optimizer, total_steps: int) -> LambdaLR:
    """Fall along half a cosine to zero at the last step (Loshchilov & Hutter, 2016, https://arxiv.org/abs/1608.03983).

    `CosineAnnealingLR` keeps its number of steps in checkpoints, and rises again when a run is given more epochs.
    """
    return LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * min(1.0, step / total_steps))) / 2)
