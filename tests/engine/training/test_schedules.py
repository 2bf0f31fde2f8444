"""A schedule that knows where training ends is stretched when a run is given more epochs, or refused."""

import csv
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Command
from interruption import BASE, differences, run
from kindling.project import trust
from plain import LitModel

trust("plain")  # whose classes stand in the checkpoints of runs that are resumed
trust(__name__)
ONE_CYCLE = ["scheduler=constant", "~scheduler.scheduler.factor", "scheduler.interval=step"]
ONE_CYCLE += ["scheduler.scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "+scheduler.scheduler.max_lr=0.01"]
OURS = ["model=bow", "data.batch_size=24", *ONE_CYCLE]  # six batches
OWN = ["task=own", f"task._target_={__name__}.LitCycle", "data=own", "data._target_=plain.LitData"]  # six, too
LOGGED = ["logger=[csv]", "callbacks=[checkpoint,learning_rate]", "trainer.log_every_n_steps=1"]


class LitCycle(LitModel):
    """As Lightning's documentation has it, with the number of steps that Lightning estimates."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters())
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def rates(folder: Path) -> list[float]:
    with (folder / "csv/steps.csv").open(encoding="utf-8") as file:
        return [float(row["lr-AdamW"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("own", [False, True])
def test_a_cycle_is_stretched_when_a_finished_run_is_given_more_epochs(
    own: bool, command: Command, dataset: list[str], tmp_path: Path
) -> None:
    options = [*(OWN if own else [*dataset, *OURS]), *LOGGED]
    assert command("train", *options, "trainer.max_epochs=2", f"paths.run={tmp_path / 'run'}").code == 0
    short = rates(tmp_path / "run")
    assert len(short) == 12 and short[-1] < 1e-5
    resumed = command("train", f"resume={tmp_path / 'run'}", "trainer.max_epochs=4")
    assert resumed.code == 0, resumed.err
    assert command("train", *options, "trainer.max_epochs=4", f"paths.run={tmp_path / 'whole'}").code == 0
    stretched, whole = rates(tmp_path / "run"), rates(tmp_path / "whole")
    assert stretched[:12] == short
    assert stretched[12:] == whole[12:] and whole[12] > 1e-3
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["lr_schedulers"][0]
    assert state["total_steps"] == 24  # so that it can be resumed once more


def test_an_interruption_of_a_cycle_changes_nothing(dataset: list[str], tmp_path: Path) -> None:
    options = [*dataset, *BASE, *ONE_CYCLE, "optimizer.lr=1e-3"]
    whole = run(tmp_path / "whole", options)
    cut = run(tmp_path / "cut", options, [("train", 2), ("train", 5)], signal.SIGTERM)
    assert cut.pieces == 3
    assert differences(whole, cut) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["scheduler.scheduler.total_steps=10"], "made for 10 steps, and this training has 12 for it; leave out its "),
        (["scheduler.scheduler.total_steps=1", "scheduler.interval=epoch"], "or use trainer.max_epochs=1"),
        (["scheduler.scheduler.epochs=1", "scheduler.scheduler.steps_per_epoch=6"], "or use trainer.max_steps=6"),
    ],
)
def test_a_cycle_that_ends_before_training_is_refused_at_its_start(
    options: list[str], expected: str, command: Command, dataset: list[str], tmp_path: Path
) -> None:
    options = [*dataset, *OURS, *LOGGED, *options, "trainer.max_epochs=2"]
    result = command("train", *options, f"paths.run={tmp_path / 'run'}")
    assert result.code == 2
    assert expected in result.err.splitlines()[-1] and "Traceback" not in result.err
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_cycle_of_a_fixed_length_is_refused_when_its_run_is_given_more_epochs(
    command: Command, dataset: list[str], tmp_path: Path
) -> None:
    options = [*dataset, *OURS, *LOGGED, "scheduler.scheduler.total_steps=6", "trainer.max_epochs=1"]
    assert command("train", *options, f"paths.run={tmp_path / 'run'}").code == 0
    before = (tmp_path / "run/checkpoints/last.ckpt").read_bytes()
    result = command("train", f"resume={tmp_path / 'run'}", "trainer.max_epochs=2")
    assert result.code == 2 and "OneCycleLR is made for 6 steps" in result.err.splitlines()[-1]
    assert (tmp_path / "run/checkpoints/last.ckpt").read_bytes() == before
