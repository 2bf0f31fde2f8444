"""A metric to watch that nothing logs is refused before training; what a task logs besides its metrics is found."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from commands import Command
from interruption import same
from my_project.tasks import Classification
from torch import Tensor

QUICK = ["model=bow", "trainer.max_epochs=1", "logger=[]", "callbacks=[checkpoint]"]


class Logging(Classification):
    """Logs at every place where a task may."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("train/step", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log("val/loss_twice", 2.0, batch_size=batch.size)  # a name like one that is known
        self.logger.experiment.add_scalar("val/drawn", 1.0)  # in a run without a logger, too

    def on_train_epoch_end(self) -> None:
        self.log("epoch", float(self.trainer.current_epoch))


class Watching(pl.Callback):
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("val/watched", 1.0)


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        ("val/auroc", "did you mean val/accuracy?"),
        ("test/nothing", "choose from train/loss, val/accuracy, val/f1, val/loss"),
        ("val/acuracy", "did you mean val/accuracy?"),
    ],
)
def test_a_metric_that_nothing_logs_is_refused_and_nothing_is_written(
    monitor: str, expected: str, command: Command, dataset: list[str], tmp_path: Path
) -> None:
    result = command("train", *dataset, *QUICK, f"monitor={monitor}")
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line == f"train.py: monitor={monitor}: there is no such metric; {expected}"
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("monitor", ["train/step", "val/loss_twice", "epoch"])
def test_what_a_task_logs_itself_is_found(monitor: str, command: Command, dataset: list[str], tmp_path: Path) -> None:
    options = [*QUICK, "logger=[tensorboard]", f"task._target_={__name__}.Logging", f"monitor={monitor}"]
    result = command("train", *dataset, *options, f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert (tmp_path / "run/checkpoints/best.ckpt").is_file()


def test_what_a_callback_logs_is_left_to_training(command: Command, dataset: list[str], tmp_path: Path) -> None:
    options = [
        "monitor=val/watched",
        f"+callbacks.watching._target_={__name__}.Watching",
        f"paths.run={tmp_path / 'run'}",
    ]
    result = command("train", *dataset, *QUICK, *options)
    assert result.code == 0, result.err


def test_to_look_for_it_changes_no_number(command: Command, dataset: list[str], tmp_path: Path) -> None:
    weights = []
    for monitor in ("val/loss", "val/loss_twice"):
        run = tmp_path / monitor
        options = [*QUICK, "logger=[tensorboard]", f"task._target_={__name__}.Logging", f"monitor={monitor}"]
        assert command("train", *dataset, *options, f"paths.run={run}").code == 0
        weights.append(torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"])
    assert same(*weights)
