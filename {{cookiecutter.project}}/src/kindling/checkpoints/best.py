"""The best checkpoints, which are found again wherever the run has been moved to."""

from functools import cached_property
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from .carry_over import counts_steps
from .io import read


class BestCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint, which finds its files again when a run is moved, copied or rewound.

    Several of them, told apart by `filename`, may watch the same metric. An `{epoch}` in it counts from one, as the
    console does.
    """

    @cached_property  # Lightning asks for it whenever it calls a hook
    def state_key(self) -> str:
        return f"{super().state_key}[{self.filename}]"

    def format_checkpoint_name(self, metrics: dict[str, Tensor], *args: Any, **options: Any) -> str:
        return super().format_checkpoint_name(metrics | {"epoch": metrics["epoch"] + 1}, *args, **options)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if counts_steps(trainer):
            self._save_on_train_epoch_end = False

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._step = checkpoint["global_step"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what was best so far, but for files that are gone or that a later step has written since."""
        files = {self._find(path): score for path, score in state_dict["best_k_models"].items()}
        best = {
            str(path): score
            for path, score in files.items()
            if path and read(path, mmap=True)["global_step"] <= self._step
        }
        path = str(self._find(state_dict["best_model_path"]) or "")
        kth = str(self._find(state_dict["kth_best_model_path"]) or "")
        if path not in best and self.monitor:
            path, kth, best = "", "", {}
        state = state_dict | {"dirpath": self.dirpath, "best_model_path": path, "best_k_models": best}
        if not path:
            state["best_model_score"] = None
        super().load_state_dict(state | {"kth_best_model_path": kth if kth in best else ""})

    def _find(self, path: str) -> Path | None:
        here = Path(self.dirpath or "", Path(path).name)
        return next((file for file in (here, Path(path)) if path and file.is_file()), None)
