"""`torch.compile` for training."""

import os
import shutil
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ..errors import UsageError


class Compile(Callback):
    """Compile the model of a module that says `compiled`, in place, so that checkpoints keep their names."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not getattr(pl_module, "compiled", False):
            return
        if pl_module.device.type == "cpu":
            _check_compiler()
        model: Any = getattr(pl_module, "model", pl_module)
        model.compile(dynamic=True)  # batches differ in length


def _check_compiler() -> None:
    if not any(map(shutil.which, filter(None, [os.environ.get("CXX"), "c++", "g++", "clang++", "cl"]))):
        raise UsageError("task.compiled=true: there is no C++ compiler, which a CPU needs; use task.compiled=false")
    if " " in torch.__file__:
        raise UsageError(
            f"task.compiled=true: PyTorch {torch.__version__} can't compile for a CPU when a space is in its own path, "
            f"{torch.__path__[0]}; use task.compiled=false, or move the project"
        )
