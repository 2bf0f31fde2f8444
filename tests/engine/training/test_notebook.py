"""Training in a notebook: stopped by Ctrl-C, looked at, changed, and continued in the same process."""

import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Command
from interruption import BASE, BATCHES, SHORT, Recorder, hang, rows, run, same, train
from kindling.checkpoints.config import attach
from kindling.training.trainer import fit
from processes import Process
from pytorch_lightning import Trainer

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")


class Notebook:
    """What a notebook's cells leave behind: task, data and trainer, which `fit` was called with."""

    def __init__(self, folder: Path, options: list[str], recorder: Recorder) -> None:
        self.where: list[str | None] = []
        self.handlers: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "fit", self._first_cell)
            train(folder, options, recorder, setup=self._keep)

    def _keep(self, task: Any, data: Any, trainer: Trainer) -> None:
        built = {"_target_": "kindling.training.trainer.build_trainer", "max_epochs": trainer.max_epochs}
        attach(task, {"trainer": built, "task": {"_target_": "my_project.tasks.Classification", "model": {}}})
        self.task, self.data, self.trainer = task, data, trainer

    def _first_cell(self, *args: Any, **kwargs: Any) -> None:
        pass

    def fit(self) -> str | None:
        return fit(self.trainer, self.task, self.data)


@pytest.mark.parametrize(
    ("place", "where", "more"),
    [
        (("train", 3), "epoch 1/2, batch 4/6, step 4", []),
        (("validation", 0), "the end of epoch 1/2, step 6", []),
        (("validation", 0), "the end of epoch 1/2, step 6", ["scheduler=plateau", "scheduler.scheduler.patience=0"]),
        (("train", 8), "epoch 2/2, batch 3/6, step 9", []),
        (("train", 0), "the end of epoch 1/2, step 1", ["data.batch_size=1000"]),
        (("validation", 0), "epoch 2/2, batch 1/6, step 7", ["trainer.max_steps=9"]),
    ],
    ids=str,
)
def test_ctrl_c_returns_where_training_stopped_and_fit_goes_on_exactly(
    dataset, tmp_path, place, where: str, more: list[str]
) -> None:
    options = [*dataset, *BASE, *more]
    whole = run(tmp_path / "whole", options)
    handler, recorder = signal.getsignal(signal.SIGINT), Recorder(place, signal.SIGINT)
    notebook = Notebook(tmp_path / "cut", options, recorder)
    assert notebook.fit() == where
    assert signal.getsignal(signal.SIGINT) is handler
    assert notebook.trainer.global_step == int(where.split()[-1])
    assert notebook.fit() is None
    assert signal.getsignal(signal.SIGINT) is handler
    assert recorder.batches == whole.batches
    assert same(notebook.task.state_dict(), whole.weights)
    last = torch.load(tmp_path / "cut/checkpoints/last.ckpt", weights_only=True)
    assert same(last["optimizer_states"][0], whole.optimizer)


def test_what_is_changed_between_two_calls_of_fit_counts(dataset, tmp_path) -> None:
    class Watch(Recorder):
        def on_train_batch_start(self, trainer: Any, task: Any, *args: Any) -> None:
            super().on_train_batch_start(trainer, task, *args)
            weights.append(task.model.head.bias[0].item())

    weights: list[float] = []
    recorder = Watch(("train", 3), signal.SIGINT)
    notebook = Notebook(tmp_path, [*dataset, *BASE, "scheduler=constant"], recorder)
    assert notebook.fit() == "epoch 1/2, batch 4/6, step 4"
    notebook.trainer.optimizers[0].param_groups[0]["lr"] = 0.0
    with torch.no_grad():
        notebook.task.model.head.bias[0] = 7.0
    assert notebook.fit() is None
    assert [batch[:2] for batch in recorder.batches] == [(epoch, batch) for epoch in (0, 1) for batch in range(BATCHES)]
    assert set(weights[4:]) == {7.0}
    assert set(list(recorder.rates.values())[4:]) == {0.0}


def test_inspect_shows_where_training_stood_and_what_interrupted_it(command: Command, dataset, tmp_path) -> None:
    folder = tmp_path / "runs/a"
    process = Process(tmp_path, "train", *dataset, *SHORT, f"paths.run={folder}", sabotage=hang)
    process.until(lambda: "hangs\n" in process.err.read_text())
    process.send(signal.SIGTERM)
    process.until(lambda: "send it again" in process.err.read_text())
    process.send(signal.SIGKILL)
    assert process.wait().code == -signal.SIGKILL
    before = command("evaluate", f"inspect={folder}")
    assert re.search(r"at +epoch 1/3, batch 4/6, step 4 *\n", before.out)
    assert re.search(r"left +14 of 18 steps *\n", before.out)
    assert re.search(r"interrupted +no *\n", before.out)

    process = Process(tmp_path, "train", "resume=auto", f"paths.run={folder}", "trainer.max_epochs=200")
    process.until(lambda: rows(folder) > 6)
    process.send(signal.SIGTERM)
    assert process.wait().code == 128 + signal.SIGTERM
    result = command("evaluate", "inspect=last")
    assert result.code == 0, result.err
    shown = dict(re.findall(r"(?m)^ *(\S+(?: \S+)*)  +(\S.*?) *$", result.out))
    step = torch.load(folder / "checkpoints/last.ckpt")["global_step"]
    assert shown["at"].endswith(f"step {step}")
    assert shown["left"] == f"{1200 - step} of 1200 steps"
    assert shown["interrupted"] in ("by SIGTERM in train", "by SIGTERM in validate")
    assert {"learning rate", "parameters", "val/accuracy", "val/loss"} <= shown.keys()
