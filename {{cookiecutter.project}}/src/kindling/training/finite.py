"""A loss that is NaN or infinite ends training, and says where it came from."""

import math
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ..digits import setting
from ..errors import UsageError
from ..runs.metrics import is_of, split_and_metric
from .position import current_batch, repeat_step


class Finite(Callback):
    """End training at a loss that is NaN or infinite, before a checkpoint holds what it does to the weights.

    The loss is looked at before its backward pass: on a CPU in every step, which takes a third of a microsecond;
    on a device that has to be waited for when metrics are logged, before a validation, and before a checkpoint is
    written.
    """

    def __init__(self) -> None:
        self._every = 1
        self._losses: list[tuple[int, Tensor]] = []  # of the batches since the last look, with their numbers

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._every = 1 if pl_module.device.type == "cpu" else max(1, trainer.log_every_n_steps)  # type: ignore[attr-defined]
        self._losses = []

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if self._every == 1 and math.isfinite(loss.item()):
            return
        self._losses.append((trainer.fit_loop.epoch_loop.batch_progress.current.ready, loss.detach()))
        if len(self._losses) >= self._every:
            self._look(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        for name, value in trainer.callback_metrics.items():
            if is_of(name, "val") and split_and_metric(name)[1] == "loss" and not math.isfinite(value):
                where = f"{name} is {float(value)} in epoch {trainer.current_epoch + 1}"
                raise UsageError(f"{where}{_weights(pl_module)}; {_remedy(trainer)}")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._look(trainer, pl_module)

    def _look(self, trainer: Trainer, module: LightningModule) -> None:
        """Look at the losses since the last time.

        Raises:
            UsageError: One is NaN or infinite.
        """
        losses, self._losses = self._losses, []
        if not losses or bool(torch.stack([loss.float() for _, loss in losses]).isfinite().all()):
            return
        batch, loss = next((batch, loss.item()) for batch, loss in losses if not math.isfinite(loss.item()))
        place = f"epoch {trainer.current_epoch + 1}, batch {batch}"
        raise UsageError(f"the loss is {loss} in {place}{_origin(trainer, module)}; {_remedy(trainer)}")


def _origin(trainer: Trainer, module: LightningModule) -> str:
    """Return, in half a sentence, where the first such number comes from: the batch, a layer or the weights."""
    batch = current_batch(trainer)
    if any(_is_bad(leaf, infinite=True) for leaf in tree_leaves(batch)):
        return ": the batch itself holds such numbers; look at the data"
    if batch is None or not module.automatic_optimization or trainer.world_size > 1:
        return _weights(module)
    if not (layer := _first_layer(trainer, module)):
        return _weights(module)
    weights = [weight for weight in layer[1].parameters() if _is_bad(weight, infinite=True)]
    own = ", whose weights are such numbers already" if weights else ""
    return f": its first such output has the layer {layer[0]} ({type(layer[1]).__name__}){own}"


def _first_layer(trainer: Trainer, module: LightningModule) -> tuple[str, nn.Module] | None:
    """Return name and layer of the first output that is NaN or infinite, from one more pass over the batch."""
    found: dict[bool, tuple[str, nn.Module]] = {}
    names = {layer: name for name, layer in module.named_modules()}

    def look(layer: nn.Module, inputs: Any, output: Any) -> None:
        for infinite in (False, True):  # minus infinity is what some layers mask with
            if any(_is_bad(leaf, infinite) for leaf in tree_leaves(output)):
                found.setdefault(infinite, (names[layer], layer))

    handles = [layer.register_forward_hook(look) for layer in names]
    try:
        repeat_step(trainer)
    finally:
        for handle in handles:
            handle.remove()
    return found.get(False) or found.get(True)


def _weights(module: LightningModule) -> str:
    names = [name for name, weight in module.named_parameters() if _is_bad(weight, infinite=True)]
    return f": the weights are such numbers by now, the first in {names[0]}" if names else ""


def _remedy(trainer: Trainer) -> str:
    rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
    precise = "" if str(trainer.precision).startswith(("32", "64")) else ", trainer.precision=32-true"
    rate = f"a learning rate below {setting(float(max(rates)))}" if rates else "a lower learning rate"
    return f"try {rate}{precise} or a lower trainer.gradient_clip_val; trainer.stop_at_nan=false goes on"


def _is_bad(value: Any, infinite: bool) -> bool:
    """Whether a tensor holds NaN or infinity; minus infinity counts where `infinite` says so."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return False
    bad = ~value.isfinite() if infinite else value.isnan() | value.isposinf()
    return bool(bad.any())
