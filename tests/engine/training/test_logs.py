"""What is logged when: a row an epoch before its checkpoint, and the loss of every n steps."""

import csv
from pathlib import Path
from typing import Any

import pytest
from interruption import BASE, Crash, differences, run
from pytorch_lightning import Trainer


def table(file: Path) -> list[dict[str, float]]:
    with file.open(encoding="utf-8") as lines:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(lines)]


def test_an_epoch_is_a_row_and_a_step_is_one_in_another_file(tmp_path: Path, dataset: list[str]) -> None:
    options = [*BASE, "trainer.log_every_n_steps=2"]
    run(tmp_path, [*dataset, *options])
    epochs, steps = table(tmp_path / "csv/metrics.csv"), table(tmp_path / "csv/steps.csv")
    names = {"epoch", "step", "train/loss", "val/loss", "val/accuracy", "val/f1"}
    assert [row.keys() for row in epochs] == [names, names]
    assert [(row["epoch"], row["step"]) for row in epochs] == [(0, 5), (1, 11)]
    assert [row["step"] for row in steps] == [1, 3, 5, 7, 9, 11]
    assert all(row.keys() == {"epoch", "step", "lr-AdamW", "train/loss_step"} for row in steps)
    # The last batch has five texts of 125, the others 24.
    assert 0.5 < epochs[0]["train/loss"] < 1.5
    assert len({row["train/loss_step"] for row in steps}) == 6


@pytest.mark.parametrize("saved", [1, 2])
def test_a_kill_right_after_a_checkpoint_loses_no_row(saved: int, tmp_path: Path, dataset: list[str]) -> None:
    options = [*dataset, *BASE]
    options += ["callbacks.last_checkpoint.every_n_steps=null"]
    whole = run(tmp_path / "whole", options)
    count = iter(range(1, 100))

    def dies(task: Any, data: Any, trainer: Trainer) -> None:
        original = trainer.save_checkpoint

        def save_checkpoint(path: Any, *args: Any) -> None:
            original(path, *args)
            if Path(path).name == "last.ckpt" and next(count) == saved:
                raise Crash(path)

        trainer.save_checkpoint = save_checkpoint  # type: ignore[method-assign]

    cut = run(tmp_path / "cut", options, places=[("never", 0)], setup=dies)
    assert cut.pieces == 2
    assert differences(whole, cut) == []
