"""What `self.log` has gathered of an epoch: added to at little cost, and carried through a checkpoint."""

import logging
from functools import partial
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from ..digits import counted, metric
from .position import is_amid_epoch

log = logging.getLogger(__name__)

LOSS = "train/loss"  # as a task calls it


def add_to_mean(module: LightningModule, name: str, value: Any, options: dict[str, Any]) -> bool:
    """Add a value to the mean over an epoch that Lightning has begun, and tell whether there is one.

    The first value of an epoch goes Lightning's way, which checks the arguments and registers the mean: 60 us. The
    others are two additions. The mean is Lightning's own, and so is all that becomes of it.
    """
    trainer: Any = module._trainer
    size = options.get("batch_size")
    if trainer is None or size is None or type(value) is not Tensor or options.get("on_step"):
        return False
    connector = trainer._logger_connector
    if connector._first_loop_iter is not False:
        return False
    metric = (trainer._results or {}).get(f"{module._current_fx_name}.{name}")
    if metric is None or metric.has_reset or not metric.is_tensor or metric.meta.on_step:
        return False
    if not metric.meta.is_mean_reduction or value.dtype not in (torch.float32, torch.float64):
        return False
    metric.value = metric.value + value.detach() * size
    metric.cumulated_batch_size = metric.cumulated_batch_size + size
    return True


class Logs(Callback):
    """Carry through a checkpoint what an epoch has logged before it, which Lightning 2.6 leaves out.

    The metrics of a resumed epoch are then those over all of it, for any module and its own `self.log` calls.
    """

    def __init__(self) -> None:
        self._restored: dict[str, dict[str, Any]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for logger in trainer.loggers:
            if hasattr(logger, "amid_epoch"):
                logger.amid_epoch = partial(is_amid_epoch, trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        _log_epoch(trainer)
        own = {key: _state(metric) for key, metric in _means(trainer).items()}
        parts: list[Any] = [own]
        if trainer.world_size > 1:
            parts = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, own)
        checkpoint["epoch_logs"] = parts

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        parts = checkpoint.get("epoch_logs", [])
        if trainer.state.fn != "fit" or not parts:
            return
        if len(parts) == trainer.world_size:
            self._restored = parts[trainer.global_rank]
        elif trainer.global_rank == 0:  # other processes go on, of which the first takes over all
            self._restored = _join(parts)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restored = {}  # the checkpoint was one of the end of an epoch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and (trainer.fit_loop.epoch_loop._batches_that_stepped + 1) % every == 0:
            _log_step(trainer, outputs, batch_idx)
        if not self._restored:
            return
        for key, mean in _means(trainer).items():  # which the first batch after the checkpoint has registered
            for name, before in self._restored.get(key, {}).get("state", {}).items():
                setattr(mean, name, _combine(mean, name, before))
            mean._computed = None
        self._restored = {}

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for callback in trainer.early_stopping_callbacks if trainer.is_global_zero and trainer.should_stop else ():
            if callback.wait_count >= callback.patience:
                waited = counted(callback.patience, "validation")
                best = f"{callback.monitor} was not better than {metric(float(callback.best_score))} for {waited}"
                log.info("Stopped early: %s; callbacks.early_stopping.patience=<more> waits longer", best)
            elif callback.stopping_reason_message:
                log.info("Stopped early: %s", callback.stopping_reason_message)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # No batch was left: Lightning takes the end of an epoch for a place amid it where steps end training.
        for saved in self._restored.values():
            if "cumulated_batch_size" in (state := saved["state"]):
                options = {name: saved[name] for name in ("prog_bar", "logger")}
                mean, size = state["value"] / state["cumulated_batch_size"], int(state["cumulated_batch_size"])
                synced = trainer.world_size > 1
                pl_module.log(saved["name"], mean, batch_size=size, sync_dist=synced, on_epoch=True, **options)
        self._restored = {}


def running_means(trainer: Trainer) -> dict[str, float]:
    """Return the means of this epoch so far that are meant for the progress bar."""
    return {
        metric.meta.name: float(metric.value / metric.cumulated_batch_size)
        for metric in _means(trainer).values()
        if metric.meta.is_mean_reduction and metric.meta.prog_bar and float(metric.cumulated_batch_size)
    }


def _log_step(trainer: Trainer, outputs: Any, batch: int) -> None:
    """Log the loss of a step, over all processes, if the module logs no more than its mean over the epoch."""
    loop = trainer.fit_loop.epoch_loop
    mean = loop._results.get(f"training_step.{LOSS}")
    loss = outputs.get("loss") if isinstance(outputs, dict) else None
    if mean is None or mean.meta.on_step or loss is None or loop._should_accumulate():
        return
    if trainer.world_size > 1:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        weight = data.weight(batch) if hasattr(data, "weight") else 1
        loss = trainer.strategy.reduce(loss * weight, reduce_op="mean")
    values = {f"{LOSS}_step": float(loss) * trainer.accumulate_grad_batches, "epoch": trainer.current_epoch}
    for logger in trainer.loggers:
        logger.log_metrics(values, step=loop._batches_that_stepped)


def _log_epoch(trainer: Trainer) -> None:
    """Write the means of an epoch that is ending before its checkpoint is: Lightning logs them after it.

    A run that is resumed from that checkpoint would lack the row if this one ended in between. The others than files
    wait for Lightning, which logs the same values.
    """
    epochs: Any = trainer.fit_loop.epoch_progress.current
    if trainer.state.fn != "fit" or not epochs.completed < epochs.processed == epochs.ready:
        return
    metrics = trainer.fit_loop.epoch_loop._results.metrics(on_step=False)["log"]
    values = {name: float(value) for name, value in metrics.items()} | {"epoch": trainer.current_epoch}
    for logger in trainer.loggers if metrics else ():
        if hasattr(logger, "amid_epoch"):
            logger.log_metrics(values, step=trainer.fit_loop.epoch_loop._batches_that_stepped - 1)


def _means(trainer: Trainer) -> dict[str, Any]:
    """Return what `training_step` and the hooks around it have logged for the end of the epoch."""
    results: dict[str, Any] = trainer.fit_loop.epoch_loop._results
    return {
        key: metric
        for key, metric in results.items()
        if metric.is_tensor and metric.meta.on_epoch and not metric.has_reset and not metric.meta.is_custom_reduction
    }


def _state(metric: Any) -> dict[str, Any]:
    names = ("value", "cumulated_batch_size") if metric.meta.is_mean_reduction else ("value",)
    state = {name: torch.as_tensor(getattr(metric, name)).detach().cpu().clone() for name in names}
    return {"name": metric.meta.name, "prog_bar": metric.meta.prog_bar, "logger": metric.meta.logger, "state": state}


def _combine(metric: Any, name: str, before: Tensor) -> Tensor:
    now: Tensor = getattr(metric, name)
    before = before.to(now.device)
    if metric.meta.is_mean_reduction or metric.meta.is_sum_reduction:
        return before + now
    combined: Tensor = metric.meta.reduce_fx(before, now)
    return combined


def _join(parts: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the means over all processes; of an extreme, which adds up to nothing, the first one's."""
    joined: dict[str, dict[str, Any]] = {}
    for part in parts:
        for key, saved in part.items():
            if key not in joined:
                joined[key] = saved
            elif "cumulated_batch_size" in saved["state"]:
                before = joined[key]["state"]
                joined[key] = saved | {"state": {name: before[name] + value for name, value in saved["state"].items()}}
    return joined
