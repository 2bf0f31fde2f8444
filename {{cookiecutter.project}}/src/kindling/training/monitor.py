"""Whether anything logs the metric that is watched: asked before training, not after its first epoch."""

import copy
from typing import Any, cast

from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.loggers.logger import DummyLogger
from torch.utils.data import DataLoader, Dataset

from ..data.loader import as_it_is
from ..errors import UsageError, did_you_mean
from ..seeding import seeded

LIBRARIES = ("kindling", "pytorch_lightning")  # whose callbacks log nothing that a run could watch


def check_monitor(task: Any, data: LightningDataModule, trainer: Trainer, monitor: Any, batch: Any = None) -> None:
    """Refuse the name of a metric that nothing logs.

    Losses and `val_metrics` are known without trying. Where another name is watched, a copy of the task tells what it
    logs. A module that has no `val_metrics` is left alone.

    Args:
        task: Whose metrics they are.
        data: Their data.
        trainer: The trainer; a callback of one's own may log anything.
        monitor: The name.
        batch: A small batch to try the copy on; without one a name is refused if it looks like another that is known.

    Raises:
        UsageError: There is no such metric.
    """
    if not isinstance(monitor, str):  # a number in a config, where no one looked at its type
        raise UsageError(f"monitor={monitor}: the name of a metric is expected, such as val/loss")
    if not hasattr(task, "val_metrics"):
        return
    measured = [*task.val_metrics, *(getattr(task, "train_metrics", None) or ())]
    known = {"train/loss", "val/loss", *map(str, measured)}
    if monitor in known:
        return
    callbacks: Any = trainer.callbacks  # type: ignore[attr-defined]
    if batch is None or not all(type(callback).__module__.startswith(LIBRARIES) for callback in callbacks):
        remedy = did_you_mean(monitor, known, most=0)
        wrong = bool(remedy)
    else:
        logged = _try(task, data, batch)
        wrong, remedy = monitor not in logged, did_you_mean(monitor, logged, most=20)
    if wrong:
        raise UsageError(f"monitor={monitor}: there is no such metric{remedy}")


def _try(task: Any, data: LightningDataModule, batch: Any) -> set[str]:
    """Return the names of what a copy of the task has logged after an epoch of one batch, on the CPU."""
    task, data, batches = copy.deepcopy(task), copy.copy(data), cast(Dataset[Any], [batch])
    if hasattr(task, "scheduler"):
        task.scheduler = None  # one step is no schedule
    for name in ("train_dataloader", "val_dataloader"):
        setattr(data, name, lambda: DataLoader(batches, batch_size=None, collate_fn=as_it_is))
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=DummyLogger(),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[LightningEnvironment()],  # alone, even where several processes were started
    )
    with seeded(0):
        trainer.fit(task, datamodule=data)
    return set(trainer.callback_metrics)
