from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping
from torch.optim.lr_scheduler import LambdaLR

from ..loggers.csv import CSVLogger


class Resume(Callback):
    """Carry through a checkpoint what Lightning 2.6 leaves out of it.

    That is: the metrics that early stopping and plateau schedules read after the epoch, the step of a plateau schedule
    that comes after the checkpoint of the epoch's end, that training had already been stopped early, and how much of
    the CSV file belongs to the time before.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None
        self._patience: dict[str, int] = {}
        self._plateau_is_due = False
        self._left_out = False
        self._rewound = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._rewound = False
        self._patience = {callback.state_key: callback.patience for callback in _early_stopping(trainer)}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        epochs, batches = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop.batch_progress
        checkpoint["resume"] = {
            "metrics": {name: float(value) for name, value in trainer.callback_metrics.items()},
            "epochs": trainer.current_epoch + 1,
            "epoch_is_ending": batches.is_last_batch and epochs.completed < epochs.ready,
            "batches": [batches.current.ready, trainer.num_training_batches],
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._restored = checkpoint.get("resume") if "loops" in checkpoint else None
        self._left_out = checkpoint.get("left_out", False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._rewind(trainer)
        if self._left_out:
            _follow_schedules(trainer)
        if self._restored is None:
            return
        trainer.callback_metrics.update(
            {name: torch.tensor(value) for name, value in self._restored["metrics"].items()}
        )
        if self._restored["epoch_is_ending"]:
            _step_plateaus(trainer, self._restored["epochs"])
        # In an epoch that began before the checkpoint, Lightning does not step a plateau schedule.
        self._plateau_is_due = not self._restored["epoch_is_ending"] and trainer.fit_loop.restarting
        for callback in _early_stopping(trainer):
            patience = self._patience.get(callback.state_key, callback.patience)
            if callback.stopped_epoch and patience <= callback.patience:
                trainer.should_stop = True  # it had; only more patience lets it go on
            callback.patience = patience
        self._restored = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._plateau_is_due:
            _step_plateaus(trainer, trainer.current_epoch)
            self._plateau_is_due = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._rewind(trainer)  # a training that had finished did not start; what follows it is repeated

    def _rewind(self, trainer: Trainer) -> None:
        for logger in trainer.loggers if not self._rewound else ():
            if isinstance(logger, CSVLogger):
                logger.rewind(trainer.global_step)
        self._rewound = True


def _early_stopping(trainer: Trainer) -> list[EarlyStopping]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, EarlyStopping)]


def _follow_schedules(trainer: Trainer) -> None:
    """Give the optimizers the rates of their schedules, one of which may not come from the checkpoint."""
    for config in trainer.lr_scheduler_configs:
        if isinstance(config.scheduler, LambdaLR):
            for group, rate in zip(config.scheduler.optimizer.param_groups, config.scheduler.get_lr(), strict=True):
                group["lr"] = rate


def _step_plateaus(trainer: Trainer, epochs: int) -> None:
    for config in trainer.lr_scheduler_configs:
        if config.reduce_on_plateau and config.interval == "epoch" and epochs % config.frequency == 0:
            metric = trainer.callback_metrics.get(str(config.monitor))
            if metric is not None:
                trainer.lightning_module.lr_scheduler_step(config.scheduler, metric)
