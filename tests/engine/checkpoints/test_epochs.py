"""`checkpoint=3` is the checkpoint of the end of epoch 3, of the newest run that has it."""

import json
import os
from pathlib import Path

import pytest
from commands import Command
from kindling.checkpoints.find import find_checkpoint
from kindling.errors import UsageError

SHORT = ["model=bow", "logger=[csv]", "optimizer.lr=1e-2", "scheduler=constant"]


@pytest.fixture
def epochs(command: Command, dataset: list[str], tmp_path: Path) -> Path:
    """The folder of a run of three epochs with a checkpoint of each, beside a newer one of one epoch."""
    run = tmp_path / "runs/three"
    options = ["callbacks=[checkpoint,keep_epochs]", "trainer.max_epochs=3", f"paths.run={run}"]
    assert command("train", *dataset, *SHORT, *options).code == 0
    options = ["callbacks=[checkpoint]", "trainer.max_epochs=1", f"paths.run={tmp_path / 'runs/one'}"]
    assert command("train", *dataset, *SHORT, *options).code == 0
    return run / "checkpoints"


def test_an_epoch_is_evaluated_looked_at_and_predicted_with(command: Command, epochs: Path, tmp_path: Path) -> None:
    evaluated = json.loads(command("evaluate", "checkpoint=2", "json=-").out)
    assert evaluated == json.loads(command("evaluate", f"checkpoint={epochs / 'epoch-002.ckpt'}", "json=-").out)
    assert json.loads(command("evaluate", "inspect=2", "json=-").out)["epoch"] == 2
    (tmp_path / "new.csv").write_text("review\na superb film\n")
    predicted = command("predict", "checkpoint=2", f"input={tmp_path / 'new.csv'}")
    assert predicted.code == 0 and "prediction" in predicted.out
    newer = json.loads(command("evaluate", "inspect=1", "json=-").out)
    assert Path(newer["checkpoint"]).is_relative_to(tmp_path / "runs/one")


@pytest.mark.parametrize("name", ["evaluate checkpoint=7", "predict input=- checkpoint=7"])
def test_an_epoch_that_no_run_has_is_answered_with_those_there_are(
    name: str, command: Command, epochs: Path, tmp_path: Path
) -> None:
    result = command(*name.split())
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert f"checkpoint=7: no run in {tmp_path / 'runs'} has a checkpoint of this epoch" in line
    assert f"there are those of 1 in {tmp_path / 'runs/one'}" in line
    assert "+callbacks=keep_epochs" in line


def test_a_checkpoint_amid_an_epoch_is_of_none(command: Command, dataset: list[str], tmp_path: Path) -> None:
    options = [*SHORT, "callbacks=[checkpoint]", "trainer.max_steps=5", f"paths.run={tmp_path / 'runs/x'}"]
    assert command("train", *dataset, *options, "data.batch_size=24", "trainer.val_check_interval=2").code == 0
    with pytest.raises(UsageError, match=r"no run in .* has a checkpoint of an epoch's end; train a model first"):
        find_checkpoint(1, tmp_path / "runs")


def test_a_file_that_is_no_checkpoint_is_passed_over(epochs: Path, tmp_path: Path) -> None:
    (epochs / "odd.ckpt").write_bytes(b"odd")
    os.utime(epochs / "odd.ckpt", (2**31, 2**31))
    assert find_checkpoint("2", tmp_path / "runs") == epochs / "epoch-002.ckpt"
