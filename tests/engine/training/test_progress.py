"""The bar of a training on a terminal: it fits, it says where it is, and nothing of it stays."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from kindling.training import progress
from kindling.training.progress import Progress
from pytorch_lightning.callbacks import TQDMProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    screen = Terminal()  # not by a fixture, after which pytest captures anew
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", screen)
    return screen


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (60, set()),
        (80, {"train/loss"}),
        (120, {"train/loss", "val/loss", "val/accuracy"}),
        (200, {"train/loss", "val/loss", "val/accuracy", "val/f1"}),
    ],
)
def test_a_bar_shows_the_metrics_that_it_has_room_for(
    columns: int, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(progress, "running_means", lambda trainer: {"train/loss": 2.3025})
    measured = {"v_num": "csv", "val/loss": 2.3025, "val/accuracy": 0.125, "val/f1": 0.1}
    monkeypatch.setattr(TQDMProgressBar, "get_metrics", lambda *args: dict(measured))
    bar = Progress()
    shown = bar.get_metrics(None, None)  # type: ignore[arg-type]
    assert shown.keys() == names
    train = bar.init_train_tqdm()
    train.ncols, train.dynamic_ncols = columns - 1, None
    train.reset(2000)
    train.set_description("Epoch 12")
    train.n = 1000
    train.set_postfix(shown)
    train.start_t = train._time() - 10
    line = str(train)
    assert len(line) < columns
    assert len(line.split("|")[1]) >= 7


def test_a_bar_of_a_resumed_epoch_says_which_and_how_long_and_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    loop = SimpleNamespace(restarted_mid_epoch=True)
    trainer: Any = SimpleNamespace(fit_loop=loop, current_epoch=3, num_training_batches=180, max_epochs=8)
    bar = Progress(refresh_rate=1)
    bar._trainer = trainer
    bar.on_train_start(trainer)
    bar.train_progress_bar.n = 100
    assert str(bar.train_progress_bar).startswith("Epoch 4:  56%|")
    assert "100/180" in str(bar.train_progress_bar)
    bar.train_progress_bar.refresh()
    bar.on_exception(trainer, None, KeyboardInterrupt())
    assert screen.getvalue().rpartition("\r")[0].rpartition("\r")[2].strip() == ""  # the last line is empty
