"""Lightning's own switches work beside the callbacks here; several processes say whose batch size it is."""

import logging
from types import SimpleNamespace

import pytest
from kindling.checkpoints.last import LastCheckpoint
from kindling.runs.console import describe
from kindling.training.progress import Progress
from kindling.training.trainer import build_trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint, ProgressBar
from torch import nn


def test_a_switch_of_the_trainer_turns_off_the_callbacks_that_it_names(tmp_path) -> None:
    own = [Progress(), ModelCheckpoint(tmp_path), LastCheckpoint(str(tmp_path))]
    options = {"gpus": 0, "callbacks": own, "logger": False, "default_root_dir": tmp_path}
    quiet = build_trainer(**options, enable_progress_bar=False)
    assert not any(isinstance(callback, ProgressBar) for callback in quiet.callbacks)
    assert quiet.checkpoint_callback is own[1]
    bare = build_trainer(**options, enable_checkpointing=False)
    assert not any(isinstance(callback, Checkpoint) for callback in bare.callbacks)
    assert bare.progress_bar_callback is own[0]


@pytest.mark.parametrize(("processes", "shares", "said"), [(2, True, True), (1, True, False), (2, False, False)])
def test_the_batch_size_is_said_to_be_that_of_all_processes(caplog, processes: int, shares: bool, said: bool) -> None:
    data = SimpleNamespace(batch_size=32, **({"check_share": print} if shares else {}))
    trainer = SimpleNamespace(world_size=processes, accelerator=None)
    with caplog.at_level(logging.INFO):
        describe(SimpleNamespace(model=nn.Linear(2, 2)), data, trainer, "runs/x")
    assert ("data.batch_size=32 is that of all 2 processes together" in caplog.text) is said
