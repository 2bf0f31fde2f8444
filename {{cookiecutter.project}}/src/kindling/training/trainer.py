"""The Lightning trainer, counted in GPUs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import Callback, Checkpoint, ProgressBar
from pytorch_lightning.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from ..checkpoints.carry_over import Resume
from ..checkpoints.io import CheckpointIO, read
from ..checkpoints.last import LastCheckpoint
from ..checkpoints.takeover import Takeover
from ..errors import Interrupted, UsageError
from ..runs.resume import describe_position
from ..startup import prepare_training
from .accumulation import Accumulation, accumulates
from .compiling import Compile
from .fast import speed_up
from .finite import Finite
from .logs import Logs
from .position import Position
from .schedules import Schedules
from .seeds import Seeds
from .shares import Shares
from .train_metrics import TrainMetrics

PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}

prepare_training()


def build_trainer(
    gpus: int | str = "auto",
    seed: int = 0,
    reseed: str = "batch",
    checkpoint_io: CheckpointIO | None = None,
    callbacks: Sequence[Callback] = (),
    fast: bool = True,
    stop_at_nan: bool = True,
    **options: Any,
) -> Trainer:
    """Return a trainer on `gpus` GPUs of this machine, whose training can be interrupted. Several train with DDP.

    Args:
        gpus: Number of GPUs; zero trains on the CPU, "auto" on one GPU (or another accelerator) if there is one.
        seed: Seed of the random numbers of training.
        reseed: "batch", "epoch" or "run": see `Seeds`.
        checkpoint_io: What checkpoints hold and what a resumed run takes from them.
        callbacks: Callbacks besides `Seeds` and `Resume`, which come first.
        fast: Whether usual steps go a short way, see `fast.py`; the numbers are the same.
        stop_at_nan: Whether a loss that is NaN or infinite ends training, see `Finite`.
        **options: Arguments of `pytorch_lightning.Trainer`; `accelerator` and `devices` win over `gpus`. A profiler's
            report goes to `default_root_dir`.

    Raises:
        UsageError: The machine has fewer GPUs, or the trainer does not take an option.
    """
    if gpus == "auto":
        device: dict[str, Any] = {"accelerator": "auto", "devices": 1}
    elif gpus == 0:
        device = {"accelerator": "cpu", "devices": 1}
    else:
        device = {"accelerator": "gpu", "devices": gpus}
        if options.get("accelerator") is None:
            _check_gpus(gpus)
    options = {name: value for name, value in options.items() if value is not None or name not in device}
    if options.get("profiler") in PROFILERS:  # into the run's folder, instead of a log that nobody reads
        folder = options.get("default_root_dir")
        options["profiler"] = PROFILERS[options["profiler"]](dirpath=folder, filename="profile")
    plugins = options.pop("plugins", None) or []
    own: list[Callback] = [Seeds(seed, reseed), Resume(), Takeover(), Position(), Logs(), TrainMetrics()]
    own += [Schedules(), Compile(), *([Finite()] if stop_at_nan else [])]
    # `last.ckpt` holds the states of the other callbacks, which have to have seen the same epoch.
    callbacks = sorted(_wanted(callbacks, options), key=lambda callback: isinstance(callback, LastCheckpoint))
    # The data module's own sampler shares the batches out among the processes.
    try:
        trainer = Trainer(
            **device | {"use_distributed_sampler": False} | options,
            callbacks=[*own, *callbacks],
            plugins=[checkpoint_io or CheckpointIO(), *plugins],
        )
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UsageError(f"trainer: {' '.join(str(error).split())}") from None
    if trainer.world_size > 1:
        trainer.callbacks.insert(1, Shares())  # type: ignore[attr-defined]
    if accumulates(trainer):
        trainer.callbacks.insert(1, Accumulation())  # type: ignore[attr-defined]
    if fast:
        speed_up(trainer)
    return trainer


def _wanted(callbacks: Sequence[Callback], options: dict[str, Any]) -> list[Callback]:
    """Return the callbacks without those that the trainer's own switches turn off."""
    switches = {"enable_progress_bar": ProgressBar, "enable_checkpointing": Checkpoint}
    off = tuple(kind for name, kind in switches.items() if options.get(name) is False)
    return [callback for callback in callbacks if not isinstance(callback, off)]


def _check_gpus(gpus: int | str) -> None:
    found = torch.cuda.device_count() or int(torch.backends.mps.is_available())
    if not isinstance(gpus, int) or gpus < 0:
        raise UsageError(f"trainer.gpus={gpus}: expected auto or a number from 0 to {found}")
    if gpus > found:
        have = "no GPU" if found == 0 else f"{found} GPU{'s' if found > 1 else ''}"
        raise UsageError(f"trainer.gpus={gpus}: this machine has {have}; use trainer.gpus={found}")


def fit(
    trainer: Trainer, task: LightningModule, data: LightningDataModule, checkpoint: str | Path | None = None
) -> str | None:
    """Train, in a notebook say, and return where a Ctrl-C stopped it, or None at the end.

    Trainer, task and data can then be looked at and changed; called again, this goes on with them as they are.

    Args:
        trainer: What `build_trainer` returned; `LastCheckpoint` has to be among its callbacks.
        task: The task.
        data: Its data.
        checkpoint: A checkpoint to go on from.
    """
    if checkpoint is None and trainer.interrupted:
        last = next(callback for callback in trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint))
        trainer.save_checkpoint(checkpoint := last.path)
    try:
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint)
    except Interrupted as interrupted:
        return describe_position(read(interrupted.checkpoint, mmap=True))
    return None
