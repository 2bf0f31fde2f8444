"""Any LightningModule on any LightningDataModule: trained, recorded, compared, swept, tuned, and resumed."""

import csv
import json
from pathlib import Path
from typing import Any

import plain
import pytest
import torch
from commands import Command, run
from interruption import Crash, Recorder, same
from kindling.checkpoints.last import LastCheckpoint
from kindling.project import trust
from kindling.training.trainer import build_trainer
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

trust("plain")
OWN = [
    "task=own",
    "data=own",
    "data._target_=plain.LitData",
    "trainer.max_epochs=3",
    "logger=[csv]",
    "trainer.log_every_n_steps=2",
]
OWN += ["callbacks=[record,checkpoint,report]", "callbacks.last_checkpoint.every_n_steps=1"]
MODEL = "task._target_=plain.LitModel"


class Stop(Recorder):
    """Break off training in a chosen batch, whatever a batch is."""

    def on_train_batch_start(self, *args: Any) -> None:
        self._at("train")


def state(folder: Path, name: str = "last") -> dict[str, Any]:
    checkpoint = torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)
    return {part: checkpoint[part] for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step")}


def rows(folder: Path) -> list[dict[str, str]]:
    return sorted((row for file in folder.glob("csv/*.csv") for row in csv.DictReader(file.open())), key=str)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    assert run(folder, "train", *OWN, MODEL, f"paths.run={folder / 'runs/whole'}") == 0
    return folder / "runs/whole"


def test_it_trains_and_is_recorded(trained: Path) -> None:
    record = json.loads((trained / "run.json").read_text())
    assert record["status"] == "finished" and record["monitor"] == "val_loss"
    assert record["name"].startswith("M1__LitModel-seed42__min")
    assert {"val_loss", "val_acc", "test_loss"} <= json.loads((trained / "metrics.json").read_text()).keys()
    names = {name for row in rows(trained) for name, value in row.items() if value}
    assert {"train_loss_step", "train_loss_epoch", "val_loss", "val_acc"} <= names
    assert (trained / "curves.png").is_file() and (trained / "checkpoints/best.md").is_file()


def test_lightning_opens_its_checkpoint(trained: Path) -> None:
    module = plain.LitModel.load_from_checkpoint(trained / "checkpoints/best.ckpt", weights_only=True)
    assert module.hparams.hidden_size == 16


@pytest.mark.parametrize("batch", [2, 6, 9, 14])  # amid an epoch, its first batch, amid the second and the third
@pytest.mark.parametrize("data", ["LitData", "LitStream", "LitSeeded"])
def test_it_resumes_to_the_same_bits(
    data: str, batch: int, trained: Path, tmp_path: Path, command: Command, monkeypatch
) -> None:
    options = [*OWN, MODEL, f"data._target_=plain.{data}"]
    whole = trained
    if data != "LitData":
        whole = tmp_path / "whole"
        assert run(tmp_path, "train", *options, f"paths.run={whole}") == 0
    with monkeypatch.context() as patch:
        crash_in(patch, batch)
        assert run(tmp_path, "train", *options, f"paths.run={tmp_path / 'run'}") == 1
    assert run(tmp_path, "train", f"resume={tmp_path / 'run'}") == 0
    assert same(state(whole), state(tmp_path / "run"))
    shown = command("evaluate", f"inspect={tmp_path / 'run'}")
    assert shown.code == 0, shown.err
    assert ("0 of 18 steps" if data != "LitStream" else "not known") in shown.out
    assert same(state(whole, "best"), state(tmp_path / "run", "best"))
    assert rows(whole) == rows(tmp_path / "run")


def test_without_its_position_it_would_not(trained: Path, tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        crash_in(patch, 3)
        assert run(tmp_path, "train", *OWN, MODEL, f"paths.run={tmp_path / 'run'}") == 1
    monkeypatch.setattr("kindling.training.position.Position.setup", Callback.setup)
    assert run(tmp_path, "train", f"resume={tmp_path / 'run'}") == 0
    assert not same(state(trained)["state_dict"], state(tmp_path / "run")["state_dict"])


def test_two_optimizers_that_take_turns(tmp_path: Path, monkeypatch) -> None:
    options = [
        *OWN,
        "task._target_=plain.LitGAN",
        "trainer.gradient_clip_val=null",
        "callbacks.report.every_improvement=true",
    ]
    options += ["trainer.limit_test_batches=0"]
    assert run(tmp_path, "train", *options, f"paths.run={tmp_path / 'whole'}") == 0
    with monkeypatch.context() as patch:
        crash_in(patch, 8)
        assert run(tmp_path, "train", *options, f"paths.run={tmp_path / 'run'}") == 1
    assert run(tmp_path, "train", f"resume={tmp_path / 'run'}") == 0
    assert len(state(tmp_path / "run")["optimizer_states"]) == 2
    assert same(state(tmp_path / "whole"), state(tmp_path / "run"))
    assert rows(tmp_path / "whole") == rows(tmp_path / "run")


@pytest.mark.parametrize("monitor", ["train_loss_epoch", "val_loss"])
def test_a_module_with_a_training_step_alone(monitor: str, command: Command, tmp_path: Path) -> None:
    options = [
        *OWN,
        "task._target_=plain.LitTraining",
        f"monitor={monitor}",
        "callbacks=[record,checkpoint,report,state]",
    ]
    found = command("train", *options, f"paths.run={tmp_path / 'run'}")
    assert found.code == 0, found.err
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    if monitor == "val_loss":
        assert "monitor=val_loss: never logged" in found.err and "train_loss_epoch" in found.err
        assert metrics == {} and (tmp_path / "run/checkpoints/last.ckpt").is_file()
    else:
        assert metrics.keys() == {monitor}
        assert metrics[monitor] == min(float(row[monitor]) for row in rows(tmp_path / "run") if row.get(monitor))
    line = json.loads((tmp_path / "run/state.jsonl").read_text().splitlines()[0])
    assert line["step"] == 0 and "hash" not in line
    evaluated = command("evaluate", f"checkpoint={tmp_path / 'run/checkpoints/last.ckpt'}")
    assert evaluated.code == 2 and "test_step" in evaluated.err and "Traceback" not in evaluated.err


def test_it_is_evaluated_compared_and_swept(trained: Path, command: Command, tmp_path: Path) -> None:
    found = command("evaluate", f"checkpoint={trained}")
    assert found.code == 0 and "loss" in found.out
    reached = json.loads((trained / "metrics.json").read_text())["test_loss"]
    assert json.loads((trained / "checkpoints/evaluation.json").read_text()) == {"test_loss": reached}
    swept = command("train", *OWN, MODEL, "trainer.max_epochs=1", "-m", "+task.hidden_size=8,32")
    assert swept.code == 0
    compared = command("compare", str(trained.parent), str(tmp_path / "runs"), "metric=val_acc")
    assert compared.code == 0 and "task.hidden_size" in compared.out


def test_predict_says_what_it_would_need(trained: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("a,b\n1,2\n")
    found = command(
        "predict", f"checkpoint={trained}", f"input={tmp_path / 'new.csv'}", f"output={tmp_path / 'out.csv'}"
    )
    assert found.code == 2 and found.err.count("\n") == 1 and "Traceback" not in found.err
    assert "encode" in found.err


def test_its_learning_rate_and_batch_size_are_found(command: Command, tmp_path: Path) -> None:
    options = [*OWN, MODEL, "+task.lr=1e-4", "+data.batch_size=4", "+data.num_samples=600", "tune=[batch_size,lr]"]
    options += ["+tune.lr.option=task.lr", "tune.lr.steps=60", "tune.batch_size.max=8", "trainer.max_epochs=1"]
    tuned = command("train", *options, f"paths.run={tmp_path / 'run'}")
    assert tuned.code == 0, tuned.err
    overrides = json.loads((tmp_path / "run/run.json").read_text())["overrides"]
    assert any(line.startswith("+data.batch_size=") and line != "+data.batch_size=4" for line in overrides), overrides
    assert any(line.startswith("+task.lr=") and line != "+task.lr=1e-4" for line in overrides)


def test_a_wrong_monitor_is_one_line(command: Command) -> None:
    found = command("train", *OWN, MODEL, "monitor=val_los")
    assert found.code == 2 and "val_los" in found.err and "val_loss" in found.err
    assert "Traceback" not in found.err


def test_objects_built_by_hand_train_save_and_resume(tmp_path: Path) -> None:
    def fit(folder: Path, *callbacks: Callback, checkpoint: Path | None = None) -> Trainer:
        torch.manual_seed(3)
        own = [LastCheckpoint(str(folder), every_n_steps=1), ModelCheckpoint(folder, monitor="val_loss"), *callbacks]
        options = {"default_root_dir": folder, "enable_progress_bar": False, "logger": False}
        trainer = build_trainer(gpus=0, seed=3, max_epochs=3, callbacks=own, **options)
        trainer.fit(plain.LitModel(), plain.LitData(), ckpt_path=checkpoint)
        return trainer

    whole = fit(tmp_path / "whole")
    with pytest.raises(Crash):
        fit(tmp_path / "run", Stop(("train", 8)))
    resumed = fit(tmp_path / "run", checkpoint=tmp_path / "run/last.ckpt")
    assert same(whole.lightning_module.state_dict(), resumed.lightning_module.state_dict())
    assert whole.callback_metrics == resumed.callback_metrics


def crash_in(patch: pytest.MonkeyPatch, batch: int) -> None:
    """Let a training break off at the start of a batch, counted from the beginning."""
    stop = Stop(("train", batch))
    before = LastCheckpoint.on_train_batch_start
    patch.setattr(LastCheckpoint, "on_train_batch_start", lambda self, *args: (stop._at("train"), before(self, *args)))
