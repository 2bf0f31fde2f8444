"""What Lightning's trainer says of a training for its report."""

from pathlib import Path

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from ..runs.metrics import is_of
from .outcomes import Outcomes, merge


def gather(trainer: Trainer, own: Outcomes | None) -> Outcomes | None:
    """Return what all processes predicted; None if one of them has nothing to show."""
    parts: list[Outcomes | None] = [own]
    if trainer.world_size > 1:
        parts = [None] * trainer.world_size
        torch.distributed.all_gather_object(parts, own)
    known = [part for part in parts if part is not None]
    return merge(known) if len(known) == len(parts) and any(part.rows for part in known) else None


def place(trainer: Trainer) -> tuple[float, int]:
    """Return the epoch, as a fraction, and the step that training has reached."""
    done = trainer.fit_loop.epoch_loop.batch_progress.current.ready / trainer.num_training_batches
    return trainer.current_epoch + done, trainer.global_step


def rate(trainer: Trainer) -> dict[str, float]:
    """Return the learning rate, under its name; nothing without an optimizer."""
    return {"lr": float(trainer.optimizers[0].param_groups[0]["lr"])} if trainer.optimizers else {}


def measured(trainer: Trainer, split: str) -> dict[str, float]:
    """Return the metrics of a split that were measured last."""
    metrics = trainer.callback_metrics.items()
    return {name: float(value) for name, value in metrics if is_of(name, split) and not name.endswith("_step")}


def monitoring(trainer: Trainer) -> list[ModelCheckpoint]:
    """Return the callbacks that keep the checkpoints in which a metric was best."""
    callbacks = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    return [callback for callback in callbacks if callback.monitor is not None]


def monitored(trainer: Trainer, path: Path) -> str | None:
    """Return the metric that the checkpoint at `path` was kept for."""
    return next((callback.monitor for callback in monitoring(trainer) if str(path) in callback.best_k_models), None)
