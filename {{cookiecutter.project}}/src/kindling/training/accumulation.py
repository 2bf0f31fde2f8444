"""Several batches that make one step: each counts as much as it has of the samples."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from torch import Tensor
from torch.optim import Optimizer


class Accumulation(Callback):
    """Make a step of several batches that of one large batch, also where they differ in size or are too few.

    Lightning 2.6 divides the gradients of each by `accumulate_grad_batches`, those of an epoch's last step, too, which
    may have fewer batches. Of data that do not say how many samples a batch has, all batches count alike.
    """

    def __init__(self) -> None:
        self._size = self._first = self._total = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._total = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._size = _samples(batch)
        if batch_idx % trainer.accumulate_grad_batches == 0 or not self._total:  # after a checkpoint amid a step
            self._first, self._total = self._size, 0
        self._total += self._size

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if self._size != self._first:
            weight = self._size / self._first
            loss.register_hook(lambda gradient: gradient * weight)  # type: ignore[no-untyped-call]

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        weight = trainer.accumulate_grad_batches * self._first / self._total
        if weight != 1:
            weights = (weights for group in optimizer.param_groups for weights in group["params"])
            torch._foreach_mul_([parameter.grad for parameter in weights if parameter.grad is not None], weight)


def accumulates(trainer: Any) -> bool:
    """Whether a step may be made of several batches, whose gradients torch adds up."""
    scheduled = any(isinstance(callback, GradientAccumulationScheduler) for callback in trainer.callbacks)
    return (scheduled or trainer.accumulate_grad_batches != 1) and not trainer.strategy.handles_gradient_accumulation


def _samples(batch: Any) -> int:
    """Return how many samples a batch has, those of all processes together; 1 if nothing says so."""
    size = getattr(batch, "size", 1)
    return getattr(getattr(batch, "step", None), "total", 0) or (size if isinstance(size, int) else 1)
