"""A loss that is no finite number ends training in one line, and nothing of it is saved."""

import json
from pathlib import Path
from typing import Any

import plain
import pytest
import torch
from kindling import build_trainer
from kindling.checkpoints.last import LastCheckpoint
from kindling.errors import UsageError
from kindling.training.finite import Finite
from torch import Tensor, nn


class Breaking(nn.Module):
    """Puts out a number that is none, or infinity, in one call."""

    def __init__(self, call: int, value: float) -> None:
        super().__init__()
        self.call, self.value, self.calls = call, value, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        breaks = self.call in (self.calls, self.calls - 1)  # once more, when it is looked for
        return x * self.value if breaks and self.training else x


class Model(plain.LitModel):
    def __init__(self, call: int = 0, value: float = float("nan")) -> None:
        super().__init__()
        self.network[1] = Breaking(call, value)


def fit(folder: Path, model: Any, data: Any = None, **options: Any) -> Any:
    last = LastCheckpoint(str(folder), every_n_steps=options.pop("save", 1))
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    options = {"max_epochs": 2, "logger": False, "gpus": 0} | quiet | options
    trainer = build_trainer(callbacks=[last], default_root_dir=folder, **options)
    trainer.fit(model, data or plain.LitData())
    return trainer


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_layer_is_named_and_what_is_saved_is_good(fast: bool, value: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"epoch 1, batch 3: .* the layer network\.1 \(Breaking\); try a"):
        fit(tmp_path, Model(3, value), fast=fast)
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2
    assert all(tensor.isfinite().all() for tensor in last["state_dict"].values())


@pytest.mark.parametrize(("every", "steps"), [(5, 5), (100, 6)])  # a look; the end of the epoch
def test_a_device_that_is_waited_for_is_asked_now_and_then(
    every: int, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Finite, "on_train_start", lambda self, *args: setattr(self, "_every", every))
    model, said = Model(3), "the loss is nan in epoch 1, batch 3"
    with pytest.raises(UsageError, match=said):
        fit(tmp_path, model, save=None, limit_train_batches=6, limit_val_batches=0)
    assert model.network[1].calls >= steps
    assert not list(tmp_path.glob("*.ckpt"))
    with pytest.raises(UsageError, match=said):
        fit(tmp_path, Model(3), save=4)  # by the checkpoint, too
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_batch_and_weights_that_hold_such_numbers_are_named(tmp_path: Path) -> None:
    data = plain.LitData()
    data.setup("fit")
    data.setup = lambda stage: None
    data.train_set.dataset.tensors[0][:] = float("nan")
    with pytest.raises(UsageError, match="batch 1: the batch itself holds such numbers; look at the data"):
        fit(tmp_path, plain.LitModel(), data)
    model = plain.LitModel()
    nn.init.constant_(model.network[0].bias, float("nan"))
    with pytest.raises(UsageError, match=r"network\.0 \(Linear\), whose weights are such numbers already; try"):
        fit(tmp_path, model)


def test_by_option_it_goes_on(tmp_path: Path) -> None:
    trainer = fit(tmp_path, Model(3), stop_at_nan=False)
    assert trainer.current_epoch == 2
    assert not torch.isfinite(trainer.callback_metrics["train_loss_epoch"])


def test_the_loss_of_a_validation_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="val_loss is nan in epoch 1; try a learning rate below"):
        fit(tmp_path, plain.LitModel(lr=1e30), limit_train_batches=1)


def test_a_run_that_diverges_fails_in_a_line(command, dataset, tmp_path: Path) -> None:
    options = ["model=bow", "optimizer.lr=1e25", "trainer.max_epochs=1", "logger=[]", "callbacks=[record,checkpoint]"]
    result = command("train", *dataset, *options, "data.batch_size=16", f"paths.run={tmp_path / 'run'}")
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith("train.py: the loss is nan in epoch 1, batch 2: its first")
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "failed"
    assert not list(tmp_path.glob("run/checkpoints/*"))
