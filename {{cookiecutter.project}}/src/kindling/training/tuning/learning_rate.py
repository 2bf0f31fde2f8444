"""A learning rate from a short training in which it rises until the loss no longer falls."""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer

from ...errors import UsageError, short
from .tune import Trial

log = logging.getLogger(__name__)

FEWEST_STEPS = 20
REACH = 0.15  # share of all steps that the average of the losses takes in on either side
# How far the average has to fall, in standard errors of it. With 200 steps from 1e-5 to 1, BERT on the docstrings falls
# by 5, and two seeds end with rates ten times apart; with 400 it falls by 12 to 20, and they agree.
CLEARLY = 10.0
DIVERGED = 4.0  # times the lowest average
MEMORY = 0.9  # of that average, which ends the trial


class LearningRateFinder:
    """Suggests the learning rate at which the loss falls fastest while the rate rises from `min` to `max`.

    That is where its slope over the logarithm of the rate is steepest. `suggestion` of Lightning's `lr_find` takes the
    slope over the rate itself; small rates lie so close together that noise decides there.

    Args:
        min: The rate of the first step.
        max: The rate of the last.
        steps: Optimizer steps from one to the other; each multiplies the rate by the same factor.
        picture: File that shows the losses.
        option: Where the rate stands in the configuration; `task.lr`, say, where a module makes its own optimizer.
    """

    def __init__(self, min: float, max: float, steps: int, picture: str, option: str = "optimizer.lr") -> None:
        if not 0 < min < max:
            raise UsageError(f"tune.lr.min={min} tune.lr.max={max}: expected 0 < min < max")
        if steps < FEWEST_STEPS:
            raise UsageError(f"tune.lr.steps={steps}: too few to tell a learning rate from; use {FEWEST_STEPS} or more")
        self.min = min
        self.max = max
        self.steps = steps
        self.picture = Path(picture)
        self.option = option

    def find(self, trial: Trial) -> float:
        rising = RisingRate(np.geomspace(self.min, self.max, self.steps))
        data, task, trainer = trial(self.steps, [rising])
        trainer.fit(task, datamodule=data)
        rates, step = np.unique(rising.rates, return_inverse=True)  # a step may take several batches
        losses = np.bincount(step, rising.losses) / np.bincount(step)
        if len(losses) < FEWEST_STEPS:
            raise UsageError(f"tune.lr.min={self.min}: the loss diverges from there on; begin with a smaller rate")
        average, error = averaged(losses, round(REACH * self.steps))
        lowest = int(average.argmin())
        if average[0] - average[lowest] <= CLEARLY * error:
            raise UsageError(
                f"tune.lr.steps={self.steps}: the loss falls too little to tell at which rate; use more steps, or a "
                f"tune.lr.min and tune.lr.max that are not {self.min:g} and {self.max:g}"
            )
        slope = np.gradient(average, np.log(rates))
        suggestion = float(f"{rates[slope[: lowest + 1].argmin()]:.3g}")

        from .pictures import draw_learning_rates  # here, as Matplotlib takes most of a second to import

        draw_learning_rates(self.picture, rates, losses, average, suggestion)
        log.info("Learning rate: %s, where the loss falls fastest: %s", suggestion, short(self.picture))
        return suggestion


class RisingRate(Callback):
    """Gives each step its learning rate and keeps the losses, until they diverge.

    Args:
        schedule: The rate of each optimizer step.
    """

    def __init__(self, schedule: np.ndarray) -> None:
        self.schedule = schedule.tolist()
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._sum = self._weight = 0.0
        self._lowest = math.inf

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.lr_scheduler_configs.clear()  # the rate is nobody else's

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.rates.append(self.schedule[trainer.global_step])
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rates[-1]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not isinstance(outputs, dict) or "loss" not in outputs:
            raise UsageError(
                f"tune=lr: {type(pl_module).__name__} steps its optimizers itself and returns no loss to go by; "
                "leave tune out"
            )
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        self._sum, self._weight = MEMORY * self._sum + loss, MEMORY * self._weight + 1
        average = self._sum / self._weight
        self._lowest = min(self._lowest, average)
        if not math.isfinite(loss) or average > DIVERGED * self._lowest > 0:
            trainer.should_stop = True
            self.rates.pop()
        else:
            self.losses.append(loss)


def averaged(losses: np.ndarray, reach: int) -> tuple[np.ndarray, float]:
    """Return for each loss the average of those up to `reach` before and after it, near ones first, and its error."""
    weights = np.hanning(2 * reach + 3)[1:-1]
    pad = len(weights) // 2
    inside = slice(pad, pad + len(losses))
    average = np.convolve(losses, weights)[inside] / np.convolve(np.ones_like(losses), weights)[inside]
    # Neighbours differ by chance; those after the lowest average, by more and more.
    noise = np.diff(losses[: average.argmin() + 1]).std() / np.sqrt(2) if average.argmin() > 1 else 0.0
    return average, float(noise * np.sqrt((weights**2).sum()) / weights.sum())
