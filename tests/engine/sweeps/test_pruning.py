"""What a pruner has said of a trial stays, also if the trial is resumed when more is known of the others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from kindling.errors import Pruned
from kindling.sweeps import storage
from kindling.sweeps.pruning import Pruning


class Pruner(optuna.pruners.BasePruner):
    """Says what it is told to."""

    def __init__(self) -> None:
        self.hopeless = False

    def prune(self, study: Any, trial: Any) -> bool:
        return self.hopeless


def test_a_resumed_trial_keeps_its_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(pruner=Pruner())
    trial = study.ask()
    (tmp_path / "sweep.yaml").touch()
    monkeypatch.setattr(storage, "running_trial", lambda folder: trial)

    def resumed() -> Pruning:
        callback = Pruning(str(tmp_path / "0"), "val/loss")
        callback.on_fit_start(trainer, None)
        return callback

    def validate(callback: Pruning, epoch: int) -> None:
        trainer.current_epoch, trainer.fit_loop = epoch, SimpleNamespace(total_batch_idx=epoch)
        callback.on_validation_end(trainer, None)

    trainer: Any = SimpleNamespace(is_global_zero=True, world_size=1, sanity_checking=False, val_check_batch=1)
    trainer.state, trainer.check_val_every_n_epoch = SimpleNamespace(fn="fit"), 1
    trainer.callback_metrics = {"val/loss": 0.5}
    validate(resumed(), 0)
    study.pruner.hopeless = True
    again = resumed()
    validate(again, 0)  # it was good then
    with pytest.raises(Pruned, match=r"pruned in epoch 2: val/loss 0\.5000 is hopeless beside other trials"):
        validate(again, 1)
    study.pruner.hopeless = False
    with pytest.raises(Pruned, match="pruned in epoch 2"):
        resumed()
