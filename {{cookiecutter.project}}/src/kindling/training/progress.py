"""How far training has come, on the screen and in the log."""

import logging
import sys
import time
from shutil import get_terminal_size
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm, convert_inf
from tqdm.contrib.logging import logging_redirect_tqdm

from ..digits import metric
from ..runs.metrics import is_metric
from .logs import running_means

log = logging.getLogger(__name__)

WIDTH = 60  # columns of "Epoch 12:  50%|", eight of the bar, and "| 1000/2000 [00:10<00:10, 100.00it/s]"


class Progress(TQDMProgressBar):
    """A progress bar on a terminal, and on a terminal as in a log file one line per epoch that stays."""

    def __init__(self, refresh_rate: int = 20) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stderr.isatty() else 0, leave=False)
        self._epoch = 0
        self._started = 0.0

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the metrics that the bar has room for: those of training, then the others."""
        running = running_means(trainer)
        found = running | super().get_metrics(trainer, pl_module) | running
        found.pop("v_num", None)
        shown: dict[str, Any] = {}
        room = get_terminal_size().columns - WIDTH
        for name, value in found.items():
            text = metric(float(value)) if isinstance(value, float | int) else str(value)
            room -= len(f", {name}={text}")
            if room >= 0:
                shown[name] = text
        return shown

    def init_train_tqdm(self) -> Tqdm:
        return _vanishing(super().init_train_tqdm())

    def init_validation_tqdm(self) -> Tqdm:
        return _vanishing(super().init_validation_tqdm())

    def init_test_tqdm(self) -> Tqdm:
        return _vanishing(super().init_test_tqdm())

    def on_train_start(self, trainer: Trainer, *args: Any) -> None:
        super().on_train_start(trainer, *args)
        if trainer.fit_loop.restarted_mid_epoch:  # whose start is past
            self._epoch, self._started = trainer.current_epoch + 1, time.monotonic()
            self.train_progress_bar.total = convert_inf(self.total_train_batches)
            self.train_progress_bar.set_description(f"Epoch {self._epoch}")

    def on_exception(self, trainer: Trainer, *args: Any) -> None:
        for bar in (self._train_progress_bar, self._val_progress_bar, self._test_progress_bar):
            if bar is not None:
                bar.close()

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


def _vanishing(bar: Tqdm) -> Tqdm:
    """Return a bar of which nothing stays on the screen once it is closed."""
    bar.leave = False
    return bar
