"""Learning-rate schedules that know where training ends, when training ends elsewhere."""

import warnings
from collections.abc import Iterator
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim.lr_scheduler import OneCycleLR

from ..checkpoints.state_form import LENGTH
from ..errors import UsageError


class Schedules(Callback):
    """Stretch a OneCycleLR to the steps of this training, where the checkpoint was made for fewer or more.

    Torch takes the number of steps from the checkpoint, and raises when training passes it. Schedules that are
    functions of the step, as in `schedulers.py`, stretch by themselves.
    """

    def __init__(self) -> None:
        self._made_for: list[int] = []  # steps, in the checkpoint

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn != "fit":
            return
        states = [state for state in _states(checkpoint.get("lr_schedulers", [])) if set(LENGTH) <= state.keys()]
        self._made_for = [state["total_steps"] for state in states]
        for state in states:
            for name in LENGTH:
                del state[name]  # so that those of the scheduler that was built for this training stay

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for config in trainer.lr_scheduler_configs:
            if isinstance(scheduler := config.scheduler, OneCycleLR):
                _check_end(trainer, scheduler.total_steps, config.interval, config.frequency)
                made_for = self._made_for or [scheduler.total_steps]
                if scheduler.total_steps not in made_for and scheduler.last_epoch <= scheduler.total_steps:
                    _follow(scheduler)
        self._made_for = []


def _states(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the states of schedulers, those within others, too."""
    for state in value if isinstance(value, list) else ():
        if isinstance(state, dict):
            yield state
            yield from _states(state.get("_schedulers"))


def _check_end(trainer: Trainer, total: int, interval: str, frequency: int) -> None:
    """Refuse a schedule that ends before training does.

    Raises:
        UsageError: It would raise in the middle of training.
    """
    epochs = trainer.max_epochs or -1
    ends = [trainer.max_steps] if interval == "step" else [epochs]
    if interval == "step" and trainer.num_training_batches != float("inf"):
        ends.append(epochs * -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches))
    steps = min((end for end in ends if end > 0), default=0) // frequency
    if steps > total:
        raise UsageError(
            f"scheduler: OneCycleLR is made for {total} steps, and this training has {steps} for it; "
            f"leave out its total_steps, or use trainer.max_{interval}s={total * frequency}"
        )


def _follow(scheduler: OneCycleLR) -> None:
    """Give the optimizer the rates and momenta of the step that the scheduler has reached."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it should be asked in a step
        rates = scheduler.get_lr()
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]
