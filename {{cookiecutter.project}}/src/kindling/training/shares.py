"""Several processes that share a batch out among them: each counts as much as it has of it."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor


class Shares(Callback):
    """Weight the gradients of each process with its share of the batch, as DDP takes their plain mean.

    The mean over the processes of gradient times weight is the gradient of the whole batch, however it divides. It is a
    hook on the loss, as DeepSpeed passes over a module's own `backward`.
    """

    def __init__(self) -> None:
        self._batch = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._batch = batch_idx

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if hasattr(data, "weight") and (weight := data.weight(self._batch)) != 1:
            loss.register_hook(lambda gradient: gradient * weight)
