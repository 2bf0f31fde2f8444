"""What a check does inside a training."""

import os
import signal
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn


class Probe(Callback):
    """What a check does inside a training.

    Args:
        interrupt: Whether to send SIGINT, as Ctrl-C does, in the middle of the second epoch.
        begin: File for the weights that training begins with.
        dropout: Whether the model keeps its dropout.
    """

    def __init__(self, interrupt: bool = False, begin: str | None = None, dropout: bool = True) -> None:
        self.interrupt = interrupt
        self.begin = begin
        self.dropout = dropout

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.begin and trainer.is_global_zero:
            torch.save({name: weight.detach().clone() for name, weight in pl_module.named_parameters()}, self.begin)
        for module in pl_module.modules() if not self.dropout else ():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.p = 0.0
            elif isinstance(getattr(module, "dropout", None), float):  # nn.LSTM, nn.MultiheadAttention
                module.dropout = 0.0  # type: ignore[assignment]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        middle = int(trainer.num_training_batches) // 2 - 1
        if self.interrupt and trainer.current_epoch == 1 and batch_idx == middle:
            os.kill(os.getpid(), signal.SIGINT)
