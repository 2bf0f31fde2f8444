"""What the metrics of training have seen of an epoch, carried through a checkpoint."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics import Metric, MetricCollection

NAMES = "train"  # how attributes begin that hold metrics of training: train_metrics, train_accuracy


class TrainMetrics(Callback):
    """Save the states of a module's training metrics, which Lightning 2.6 leaves out of a checkpoint.

    The metrics of a resumed epoch are then those over all of it, in each of several processes.
    """

    def __init__(self) -> None:
        self._loaded: list[dict[str, Any]] = []
        self._restored = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        metrics = _find(pl_module)
        if trainer.state.fn != "fit" or not metrics:
            return
        own = {name: _state(metric) for name, metric in metrics.items() if metric.update_called}
        parts: list[Any] = [own]
        if trainer.world_size > 1:
            parts = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, own)
        checkpoint["epoch_metrics"] = parts

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        parts = checkpoint.get("epoch_metrics", [])
        if trainer.state.fn != "fit":
            return
        if len(parts) == trainer.world_size:
            self._loaded = [parts[trainer.global_rank]]
        elif trainer.global_rank == 0:  # other processes go on, of which the first takes over all
            self._loaded = parts

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, metric in _find(pl_module).items() if self._loaded else ():
            parts = [part[name] for part in self._loaded if _fits(metric, part.get(name))]
            for number, part in enumerate(parts if _adds_up(metric) else parts[:1]):
                _restore(metric, part, merge=number > 0)
        self._restored, self._loaded = bool(self._loaded), []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._restored:  # they were of the epoch before
            for metric in _find(pl_module).values():
                metric.reset()
        self._restored = False


def _find(module: LightningModule) -> dict[str, Metric]:
    """Return the training metrics by their names, each with the states that it shares with others."""
    found = {}
    for name, part in module.named_modules():
        if name.startswith(NAMES) and isinstance(part, MetricCollection):
            part.items(keep_base=True, copy_state=False)  # a collection updates one of those that share states
        elif name.startswith(NAMES) and isinstance(part, Metric):
            found[name] = part
    return found


def _state(metric: Metric) -> dict[str, Any]:
    def copy(value: Any) -> Any:
        return [copy(part) for part in value] if isinstance(value, list) else value.detach().cpu().clone()

    return {"count": metric.update_count, "state": {name: copy(getattr(metric, name)) for name in metric._defaults}}


def _fits(metric: Metric, saved: Any) -> bool:
    """Whether what a checkpoint holds are states of this metric."""
    if not isinstance(saved, dict) or not isinstance(saved.get("state"), dict):
        return False
    kinds = {name: type(value) for name, value in metric._defaults.items()}
    return {name: type(value) for name, value in saved["state"].items()} == kinds


def _adds_up(metric: Metric) -> bool:
    """Whether the states of several processes make those of one."""
    simple = all(reduction is not None for reduction in metric._reductions.values())
    return simple and metric.full_state_update is False and not metric.dist_sync_on_step


def _restore(metric: Metric, saved: dict[str, Any], merge: bool) -> None:
    """Give a metric its states again, or add those of another process."""

    def move(value: Any) -> Any:
        return [move(part) for part in value] if isinstance(value, list) else value.to(metric.device)

    states: dict[str, Tensor | list[Tensor]] = {name: move(value) for name, value in saved["state"].items()}
    metric._update_count = saved["count"] + (metric._update_count if merge else 0)
    metric._computed = None
    if merge:
        metric.merge_state(states)
        return
    for name, value in states.items():
        setattr(metric, name, value)
