"""How far training has come, on the screen and in the log."""

import logging
import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from tqdm.contrib.logging import logging_redirect_tqdm

from ..runs.metrics import is_metric
from .logs import running_means

log = logging.getLogger(__name__)


class Progress(TQDMProgressBar):
    """A progress bar on a terminal, and on a terminal as in a log file one line per epoch that stays."""

    def __init__(self, refresh_rate: int = 20) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stderr.isatty() else 0, leave=False)
        self._epoch = 0
        self._started = 0.0

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        shown = super().get_metrics(trainer, pl_module) | running_means(trainer)
        return {name: value for name, value in shown.items() if name != "v_num"}

    def on_train_start(self, trainer: Trainer, *args: Any) -> None:
        super().on_train_start(trainer, *args)
        if trainer.fit_loop.restarted_mid_epoch:  # whose start is past
            self._epoch, self._started = trainer.current_epoch + 1, time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        self._print_epoch(trainer)
        super().on_train_epoch_start(trainer, *args)
        self._epoch, self._started = trainer.current_epoch + 1, time.monotonic()
        self.train_progress_bar.set_description(f"Epoch {self._epoch}")  # Lightning's counts from zero

    def on_train_end(self, trainer: Trainer, *args: Any) -> None:
        super().on_train_end(trainer, *args)
        self._print_epoch(trainer)

    def _print_epoch(self, trainer: Trainer) -> None:
        # At the end of an epoch its training metrics are not yet logged; at the start of the next they are.
        if self._epoch and trainer.is_global_zero:
            epochs = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
            metrics = [
                (name, value)
                for name, value in trainer.callback_metrics.items()
                if is_metric(name) and not name.endswith("_step")
            ]
            shown = "  ".join(f"{name} {value:.4f}" for name, value in sorted(metrics))
            seconds = time.monotonic() - self._started
            with logging_redirect_tqdm():  # above the bar on the terminal, and in train.log
                log.info("epoch %d%s  %s  %.1f s", self._epoch, epochs, shown, seconds)
