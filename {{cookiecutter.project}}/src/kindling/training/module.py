"""A LightningModule with an optimizer and a scheduler from the configuration, whose logs of an epoch cost little."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import Optimizer

from ..errors import UsageError
from .logs import add_to_mean
from .position import total_steps
from .schedulers import build_scheduler, count_steps


class Module(LightningModule):
    """The base of a project's tasks. A LightningModule of any other base trains, too; this one gains speed.

    Args:
        optimizer: Maps parameters to an optimizer.
        scheduler: Lightning's scheduler configuration, in which `scheduler` maps the optimizer to a scheduler;
            one whose signature has `total_steps` is given the number of its steps.
        compiled: Whether `torch.compile` translates `self.model` for training.
    """

    def __init__(
        self,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
        scheduler: Mapping[str, Any] | None = None,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.compiled = compiled

    def log(self, name: str, value: Any, *args: Any, **options: Any) -> None:
        """Log as Lightning does; a mean over an epoch costs an addition per step, and is taken over all processes."""
        if not args and add_to_mean(self, name, value, options):
            return
        if self._trainer is not None and self.trainer.world_size > 1:
            options = {"sync_dist": True} | options
            if options.get("batch_size") is not None:
                options["batch_size"] = float(options["batch_size"])  # Lightning rounds the mean of whole numbers down
        super().log(name, value, *args, **options)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self.optimizer is None:
            raise UsageError(f"{type(self).__name__}: give it an optimizer, or define configure_optimizers()")
        optimizer = self.optimizer(self.parameters())
        if self.scheduler is None:
            return optimizer
        config, trainer = self.scheduler, self.trainer
        steps = partial(count_steps, config, partial(total_steps, trainer), trainer.max_epochs)
        scheduler = build_scheduler(config["scheduler"], optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {**self.scheduler, "scheduler": scheduler}}  # type: ignore[return-value]

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        precision, strategy = self.trainer.precision_plugin, self.trainer.strategy
        by_norm = bool(gradient_clip_val) and gradient_clip_algorithm != "value"
        mixed = isinstance(precision, MixedPrecision)
        unscaled = type(precision) is Precision or (isinstance(precision, MixedPrecision) and precision.scaler is None)
        if by_norm and isinstance(strategy, FSDPStrategy):
            sharded: Any = strategy.model  # each process has a part of the gradients; Lightning refuses
            sharded.clip_grad_norm_(gradient_clip_val)
        elif by_norm and unscaled:
            # Lightning does the same after 100 calls of functions, and refuses fused optimizers in bf16, although that
            # scales no gradients.
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val or 0.0)
        elif gradient_clip_val and mixed and optimizer.defaults.get("fused"):
            raise UsageError(
                f"trainer.precision={precision.precision}: gradients can't be clipped with optimizer.fused=true; "
                "use optimizer.fused=false, or bf16-mixed"
            )
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
