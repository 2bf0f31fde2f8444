"""What Lightning 2.6 leaves out of a checkpoint, and the places at which it can be resumed from one."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping
from torch.optim.lr_scheduler import LambdaLR


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
            if hasattr(logger, "rewind"):
                logger.rewind(trainer.global_step)
        self._rewound = True


def counts_steps(trainer: Trainer) -> bool:
    """Whether steps end training; Lightning 2.6 then takes an epoch's end for a place amid that epoch."""
    return trainer.max_steps != -1


def is_resumable(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a checkpoint that is saved at the end of this batch holds all that a resumed run needs."""
    if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
        return False
    every_n_epochs, every_n_batches = trainer.check_val_every_n_epoch, trainer.val_check_batch
    if not every_n_batches or not trainer.enable_validation:
        return True
    if every_n_epochs is None:
        return (trainer.fit_loop.total_batch_idx + 1) % every_n_batches != 0
    return (trainer.current_epoch + 1) % every_n_epochs != 0 or (batch_idx + 1) % every_n_batches != 0


def forget_epoch(trainer: Trainer) -> None:
    """Take back that Lightning has counted an epoch that does not begin; a second `fit` would skip it."""
    for progress in (trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_progress.total):
        progress.ready -= 1


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
                progress = trainer.fit_loop.epoch_loop.scheduler_progress
                progress.increment_ready()
                trainer.lightning_module.lr_scheduler_step(config.scheduler, metric)
                progress.increment_completed()
