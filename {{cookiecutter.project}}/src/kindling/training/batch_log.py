"""A row for each batch."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from ..loggers.csv import Writer


class Batches(Callback):
    """Write a row for each batch into `batches.csv`: its epoch, number, loss, learning rate and optimizer step.

    All are counted from zero, as in `metrics.csv`. A resumed run goes on behind the rows that its checkpoint knows.
    Of several processes the first writes its own batches. It asks for the loss, for which a GPU has to be waited for.

    Args:
        dirpath: Folder of the file.
    """

    def __init__(self, dirpath: str) -> None:
        self.dirpath = dirpath
        self._row: dict[str, Any] = {}
        self._rewound = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._rewound = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not self._rewound:
            self.rewind(trainer.global_step)
            self._rewound = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_start(trainer, pl_module)  # a training that had finished did not start

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # Afterwards both will be those of the next step.
        rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self._row = {"epoch": trainer.current_epoch, "batch": batch_idx, "step": trainer.global_step, "lr": rates}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_global_zero:
            # A module that steps its optimizers itself may return no loss.
            loss = outputs.get("loss") if isinstance(outputs, dict) else None
            # Lightning divides it by the number of batches whose gradients it adds up.
            self.write(self._row, None if loss is None else float(loss) * trainer.accumulate_grad_batches)

    def rewind(self, step: int) -> None:
        """Forget the batches of optimizer step `step` and later ones: training is about to make that step."""
        self._writer = BatchWriter(self.dirpath)
        self._writer.rewind(step)

    def write(self, row: dict[str, Any], loss: float | None) -> None:
        """Write what is known about a batch that is done."""
        numbers = {"epoch": row["epoch"], "batch": row["batch"], "lr": row["lr"][0]}
        numbers |= {} if loss is None else {"loss": loss}
        self._writer.log_metrics(numbers, row["step"])
        self._writer.save()


class BatchWriter(Writer):
    """The rows of `batches.csv`."""

    NAME_METRICS_FILE = "batches.csv"
    merges = False  # several batches may make a step
