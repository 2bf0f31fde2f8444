"""The checkpoint that training goes on from, and signals, which end training there."""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from ..errors import Interrupted, UsageError
from ..exits import stopping_signals
from .carry_over import counts_steps, forget_epoch, is_resumable

log = logging.getLogger(__name__)

STEPS_BETWEEN_AGREEMENTS = 10  # of several processes: an agreement costs them a wait for the slowest


class LastCheckpoint(Checkpoint):
    """Keep `last.ckpt`, from which training goes on as if nothing had happened, and stop there when a signal asks to.

    It is written where Lightning restores everything: at the end of an epoch, after a validation inside an epoch, and
    between two steps, but neither amid accumulated gradients, nor after an epoch's last batch, nor before a validation,
    which a resumed run would skip. Ctrl-C, SIGTERM and, under Slurm, SIGUSR1 end training at the next such place; a
    second one ends it at once.

    Args:
        dirpath: Folder of the checkpoint.
        every_n_epochs: Epochs from one to the next, beside those that the other two ask for.
        every_n_steps: Optimizer steps from one to the next.
        every_n_minutes: Minutes from one to the next.
    """

    def __init__(
        self,
        dirpath: str,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
        every_n_minutes: float | None = 5,
    ) -> None:
        for name, value in [("epochs", every_n_epochs), ("steps", every_n_steps), ("minutes", every_n_minutes)]:
            if value is not None and value <= 0:
                raise UsageError(f"every_n_{name}={value}: expected more than 0, or null")
        self.path = Path(dirpath, "last.ckpt")
        self.every_n_epochs = every_n_epochs
        self.every_n_steps = every_n_steps
        self.every_n_minutes = every_n_minutes
        self._received: int | None = None
        self._received_in: str | None = None
        self._stops = False  # whether training ends before the next epoch
        self._agreed_at = 0
        self._saved_at = 0.0
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._trainer, self._received, self._received_in, self._saved_at = trainer, None, None, time.monotonic()
        self._stops, self._agreed_at = False, trainer.global_step
        if threading.current_thread() is threading.main_thread():  # others can't be sent signals
            self._handlers = {number: signal.signal(number, self._receive) for number in stopping_signals()}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.world_size == 1 and self._received is None and not self._is_due(trainer):
            return  # the usual step, at the least cost
        if not is_resumable(trainer, batch_idx):
            return
        stop, due = self._received is not None, self._is_due(trainer)
        if self._stops:
            stop = True
        elif trainer.world_size == 1 or trainer.global_step >= self._agreed_at + STEPS_BETWEEN_AGREEMENTS:
            stop, due = _agree(trainer, stop), _agree(trainer, due)
            self._agreed_at = trainer.global_step
        else:
            stop, due = False, self._is_step(trainer)
        if stop or due:
            self._save(trainer)
        if stop and trainer.global_step != trainer.max_steps:  # the last step ends training by itself
            raise Interrupted(self._received or signal.SIGTERM, str(self.path))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        amid_step = batches % trainer.accumulate_grad_batches != 0
        if not trainer.is_last_batch and not amid_step:
            self._save(trainer)
        elif trainer.is_last_batch and counts_steps(trainer):
            self._stops = _agree(trainer, self._received is not None)
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_last_batch or counts_steps(trainer):
            return
        epochs = trainer.current_epoch + 1
        last = epochs == trainer.max_epochs or trainer.should_stop
        self._stops = _agree(trainer, self._received is not None)
        if last or epochs % self.every_n_epochs == 0 or self._stops:
            self._save(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        no_place = trainer.num_training_batches <= trainer.accumulate_grad_batches
        if self._stops and (no_place or not counts_steps(trainer)):  # not after the last epoch, which ends by itself
            forget_epoch(trainer)
            raise Interrupted(self._received or signal.SIGTERM, str(self.path))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore_handlers()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore_handlers()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._received is not None:
            checkpoint["interrupted"] = {"by": signal.Signals(self._received).name, "in": self._received_in}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            self._restore_handlers()
            raise Interrupted(number, str(self.path))
        self._received, self._received_in = number, getattr(self._trainer.state.stage, "value", None)
        line = f"{signal.Signals(number).name}: training stops after this step; send it again to stop at once"
        try:
            log.warning(line)
        except RuntimeError:  # the signal came amid a line to the screen, into which Python writes no other
            os.write(2, f"{line}\n".encode())

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _is_due(self, trainer: Trainer) -> bool:
        if self.every_n_minutes is not None and time.monotonic() - self._saved_at >= 60 * self.every_n_minutes:
            return True
        return self._is_step(trainer)

    def _is_step(self, trainer: Trainer) -> bool:
        if self.every_n_steps is None and trainer.max_steps == -1:
            return False
        step = trainer.global_step
        return step == trainer.max_steps or (self.every_n_steps is not None and step % self.every_n_steps == 0)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()


def _agree(trainer: Trainer, wish: bool) -> bool:
    """Return whether any of the processes has the wish."""
    return wish if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(wish, all=False)
