"""`task.train_metrics=true` logs the metrics of training per epoch, the same if it is resumed or has two processes."""

import csv
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Command
from interruption import BASE, Recorder, differences, run, train, without
from kindling.project import trust
from kindling.training.train_metrics import TrainMetrics
from plain import LitModel
from processes import Process
from torch import Tensor
from torchmetrics import Accuracy, MeanAbsoluteError, MetricCollection

trust("plain")  # whose classes stand in the checkpoints of runs that are resumed
trust(__name__)
WITH = ["++task.train_metrics=true", "callbacks.last_checkpoint.every_n_steps=1"]
KEPT = ["callbacks=[checkpoint,keep_epochs,learning_rate]", "monitor=val/loss", "mode=min"]
TWO = ["trainer=ddp_cpu", "trainer.devices=2"]


class LitMeasured(LitModel):
    """As Lightning's documentation measures training: two metrics that share states, and one that is a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.train_acc = MetricCollection(
            {name: Accuracy(task="multiclass", num_classes=2, average=name) for name in ("micro", "macro")},
            prefix="train_",
        )
        self.train_error = MeanAbsoluteError()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        logits = self(batch[0])
        self.train_acc.update(logits, batch[1])
        self.train_error(logits[:, 0].detach(), batch[1].float())
        self.log("train_error", self.train_error, on_step=False, on_epoch=True)
        return torch.nn.functional.cross_entropy(logits, batch[1])

    def on_train_epoch_end(self) -> None:
        self.log_dict(self.train_acc)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "csv/metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def epochs(folder: Path) -> dict[str, list[float]]:
    """Return the values of each metric at the ends of whole epochs: `trainer.max_steps` has left a row amid one."""
    ends = {row["epoch"]: row for row in rows(folder)}.values()  # the later row of an epoch
    found = {name: [float(row[name]) for row in ends if row[name]] for name in next(iter(ends))}
    return {name: values for name, values in found.items() if name not in ("epoch", "step")}


def test_they_are_off_unless_asked_for(tmp_path: Path, dataset: list[str]) -> None:
    trainer = train(tmp_path, [*dataset, *BASE, "trainer.max_epochs=1"], Recorder())
    assert not {"train/accuracy", "train/f1"} & trainer.callback_metrics.keys()
    saved = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert "epoch_metrics" not in saved


def test_they_are_over_all_samples_of_the_epoch(tmp_path: Path, dataset: list[str]) -> None:
    right: list[list[bool]] = []

    def count(task: Any, data: Any, trainer: Any) -> None:
        original = task.loss.forward

        def forward(output: Tensor, target: Tensor) -> Tensor:
            if task.training:
                right.append((output.argmax(-1) == target).tolist())
            return original(output, target)

        task.loss.forward = forward

    run(tmp_path, [*dataset, *BASE, *WITH], setup=count)
    found = [float(row["train/accuracy"]) for row in rows(tmp_path)]
    by_hand = [[value for batch in right[start : start + 6] for value in batch] for start in (0, 6)]
    assert [len(values) for values in by_hand] == [125, 125]
    assert found == pytest.approx([sum(values) / 125 for values in by_hand])
    assert all(0 < float(row["train/f1"]) <= 1 for row in rows(tmp_path))


@pytest.mark.parametrize(
    ("places", "how", "checkpoint"),
    [
        ([("train", 2), ("train", 2), ("train", 3)], signal.SIGTERM, "last"),
        ([("train", 5), ("validation", 0), ("train", 3)], None, "last"),
        ([("train", 9)], None, "best"),  # of the end of an epoch, but for what follows a validation
        ([("train", 9)], None, "epoch-001"),
        ([("validation end", 0), ("epoch start", 0)], signal.SIGINT, "last"),
    ],
)
def test_an_interruption_changes_none_of_them(
    places: Any, how: Any, checkpoint: str, tmp_path: Path, dataset: list[str]
) -> None:
    options = [*dataset, *BASE, *KEPT, *WITH]
    whole = run(tmp_path / "whole", options)
    cut = run(tmp_path / "cut", options, places, how, checkpoint)
    assert cut.pieces > 1
    assert differences(whole, cut) == []
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


def test_without_their_states_a_resumed_epoch_would_be_its_second_half(tmp_path: Path, dataset: list[str]) -> None:
    options = [*dataset, *BASE, *WITH]
    whole = run(tmp_path / "whole", options)
    cut = run(tmp_path / "cut", options, [("train", 3)], None, setup=without(TrainMetrics))
    assert "rows" in differences(whole, cut)


def test_a_finished_training_that_is_given_more_epochs_begins_them_at_nothing(
    command: Command, tmp_path: Path, dataset: list[str]
) -> None:
    options = [*dataset, "model=bow", "logger=[csv]", "callbacks=[checkpoint]", "scheduler=constant", *WITH]
    for name, epochs in (("whole", 3), ("cut", 2)):
        assert command("train", *options, f"trainer.max_epochs={epochs}", f"paths.run={tmp_path / name}").code == 0
    assert command("train", f"resume={tmp_path / 'cut'}", "trainer.max_epochs=3").code == 0
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


def test_metrics_of_a_module_of_ones_own_are_resumed_too(command: Command, tmp_path: Path) -> None:
    options = ["task=own", "data=own", "data._target_=plain.LitData", f"task._target_={__name__}.LitMeasured"]
    options += ["logger=[csv]", "callbacks=[checkpoint]", "trainer.max_epochs=2"]
    assert command("train", *options, f"paths.run={tmp_path / 'whole'}").code == 0
    assert command("train", *options, "trainer.max_steps=9", f"paths.run={tmp_path / 'cut'}").code == 0
    assert command("train", f"resume={tmp_path / 'cut'}", "trainer.max_steps=-1").code == 0
    whole, cut = epochs(tmp_path / "whole"), epochs(tmp_path / "cut")
    assert {"train_micro", "train_macro", "train_error"} <= whole.keys() and len(whole["train_error"]) == 2
    assert {name: cut[name] for name in whole} == whole


def test_two_processes_agree_with_one_and_are_resumed_to_the_same_bits(tmp_path: Path, dataset: list[str]) -> None:
    options = [*dataset, "model=bow", "data.batch_size=31", "logger=[csv]", "callbacks=[checkpoint]", "model.dropout=0"]
    options += ["trainer.max_epochs=2", "trainer.precision=64-true", "scheduler=constant", "task.train_metrics=true"]

    def go(name: str, *more: str) -> dict[str, list[float]]:
        ended = Process(tmp_path, "train", *more, f"paths.run={tmp_path / name}").wait(400)
        assert ended.code == 0, ended.err
        return {metric: values for metric, values in epochs(tmp_path / name).items() if metric.startswith("train/")}

    one, two = go("one", *options), go("two", *options, *TWO)
    assert one.keys() == two.keys() == {"train/loss", "train/accuracy", "train/f1"}
    for name, values in one.items():
        assert len(values) == 2 and two[name] == pytest.approx(values, rel=5e-7)
    go("cut", *options, *TWO, "trainer.max_steps=8")  # of five in an epoch
    shutil.copytree(tmp_path / "cut", tmp_path / "alone")
    assert go("cut", f"resume={tmp_path / 'cut'}", "trainer.max_steps=-1") == two
    alone = go("alone", f"resume={tmp_path / 'alone'}", "trainer.max_steps=-1", "trainer.devices=1")  # takes over
    assert {name: len(values) for name, values in alone.items()} == dict.fromkeys(one, 2)
    assert alone["train/accuracy"] == pytest.approx(one["train/accuracy"], rel=5e-7)
