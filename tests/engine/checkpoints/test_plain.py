"""Checkpoints of modules that know nothing of the engine: what they hold, and who can read them."""

from pathlib import Path

import plain
import pytest
import pytorch_lightning as pl
import torch
from commands import Command, run
from interruption import same
from kindling.checkpoints.config import attach, config_of, read_config
from kindling.checkpoints.io import CheckpointIO, read
from kindling.checkpoints.load import load_data, load_task, load_weights
from kindling.checkpoints.predictor import Predictor
from kindling.errors import UsageError
from kindling.project import trust
from torch import nn

trust("plain")
OPTIONS = ["task=own", "data=own", "data._target_=plain.LitData", "task._target_=plain.LitNamed", "logger=[csv]"]
OPTIONS += ["+task.model=mlp", "+task.seed=3", "+task.widths=[8,16]", "+task.activation._target_=torch.nn.Tanh"]
OPTIONS += ["trainer.max_epochs=2", "callbacks=[record,checkpoint]", "callbacks.last_checkpoint.every_n_steps=1"]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named")
    assert run(folder, "train", *OPTIONS, f"paths.run={folder / 'run'}") == 0
    return folder / "run"


def test_its_hyperparameters_stay_its_own(named: Path) -> None:
    checkpoint = torch.load(named / "checkpoints/best.ckpt", weights_only=True)
    own = {"in_features": 6, "hidden_size": 8, "lr": 1e-2, "model": "mlp", "seed": 3, "widths": [8, 16]}
    assert checkpoint["hyper_parameters"] == own  # and not the activation, which is no plain data
    assert checkpoint["datamodule_hyper_parameters"] == {"num_samples": 150, "batch_size": 16, "num_workers": 0}
    config = read_config(checkpoint)
    assert config["task"]["_target_"] == "plain.LitNamed" and config["seed"] == 42
    module = plain.LitNamed.load_from_checkpoint(named / "checkpoints/best.ckpt", activation=nn.Tanh())
    assert same(module.state_dict(), checkpoint["state_dict"])


def test_it_is_built_again_with_its_hooks(named: Path) -> None:
    task = load_task(named / "checkpoints/best.ckpt")
    assert isinstance(task, plain.LitNamed) and isinstance(task.network[1], nn.Tanh)
    assert task.num_loaded == 1 and not task.training
    assert config_of(task)["data"]["_target_"] == "plain.LitData"
    assert isinstance(load_data(named / "checkpoints/best.ckpt"), plain.LitData)


def test_it_is_inspected(named: Path, command: Command) -> None:
    found = command("evaluate", f"inspect={named}")
    assert found.code == 0 and "plain.LitData" in found.out and "step 12" in found.out


def test_it_begins_with_weights_that_any_trainer_saved(command: Command, tmp_path: Path) -> None:
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False, barebones=True)
    trainer.fit(module := plain.LitModel(), plain.LitData())
    trainer.save_checkpoint(tmp_path / "theirs.ckpt")
    options = [*OPTIONS[:3], "task._target_=plain.LitModel", "+task.lr=0", "callbacks=[checkpoint]", "logger=[csv]"]
    found = command(
        "train", *options, f"init={tmp_path / 'theirs.ckpt'}", "trainer.max_epochs=1", f"paths.run={tmp_path / 'run'}"
    )
    assert found.code == 0, found.err
    assert same(torch.load(tmp_path / "run/checkpoints/last.ckpt")["state_dict"], module.state_dict())


def test_without_a_config_it_says_who_can_read_it(tmp_path: Path) -> None:
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False, barebones=True)
    trainer.fit(plain.LitModel(), plain.LitData())
    trainer.save_checkpoint(tmp_path / "theirs.ckpt")
    with pytest.raises(UsageError, match=r"does not say how its task was built.*load_from_checkpoint\(\) opens it"):
        load_task(tmp_path / "theirs.ckpt")
    torch.save(plain.LitModel().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UsageError, match=r"init=.*it holds weights alone"):
        load_weights(plain.LitModel(), plain.LitData(), tmp_path / "weights.pt", [])


def test_predicting_says_which_methods_it_would_need(named: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Predictor(named / "checkpoints/best.ckpt")
    message = str(caught.value)
    assert "LitNamed.row()" in message and "LitData.encode()" in message and "\n" not in message


def test_what_is_not_plain_data_is_named_and_never_read(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "global_step": 0, "mine": Path("x")}, tmp_path / "a.ckpt")
    with pytest.raises(UsageError, match=r"a\.ckpt: not a checkpoint that can be opened \(it holds a pathlib\.\w+"):
        read(tmp_path / "a.ckpt")
    hparams = {"path": Path("x"), "sizes": (1, 2), "nested": {"deep": [nn.ReLU()]}, "rate": 0.5, "on": True}
    CheckpointIO().save_checkpoint({"state_dict": {}, "global_step": 0, "hyper_parameters": hparams}, tmp_path / "b")
    assert read(tmp_path / "b")["hyper_parameters"] == {"sizes": (1, 2), "rate": 0.5, "on": True}


def test_every_checkpoint_of_a_module_holds_its_config_also_outside_of_training(tmp_path: Path) -> None:
    task, config = plain.LitModel(), {"task": {"_target_": "plain.LitModel"}, "seed": 1}
    attach(task, config)
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False, barebones=True)
    trainer.fit(task, plain.LitData())
    for weights_only in (False, True):
        trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=weights_only)
        checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
        assert read_config(checkpoint) == config and checkpoint["hyper_parameters"]["hidden_size"] == 16
