"""What a resumed run takes over of a checkpoint: all of it, or the parts that were asked for."""

from collections.abc import Callable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from ..errors import UsageError
from .io import CheckpointIO
from .parts import fill, misfits
from .state_form import check_loops_and_callbacks, check_optimizers

RESTORING = ("restore_model", "restore_datamodule", "restore_callbacks", "restore_training_state")  # Lightning's steps


class Takeover(Callback):
    """Choose among the parts of a checkpoint before Lightning takes them over, for any module.

    What was left out keeps the state that the configuration gives it. Weights that do not fit, and parts of another
    form than train.py writes, are refused in one line.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}
        self._checkpoint: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit" or "on_load_checkpoint" in vars(pl_module):
            return
        connector: Any = trainer._checkpoint_connector
        for name in RESTORING:
            setattr(connector, name, _guarded(getattr(type(connector), name).__get__(connector), trainer))
        # Lightning loads the weights right after it has called this, and before it asks any callback.
        load = _Before(pl_module.on_load_checkpoint, lambda checkpoint: self._choose(trainer, checkpoint))
        vars(pl_module)["on_load_checkpoint"] = load

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        vars(pl_module).pop("on_load_checkpoint", None)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fill(trainer)
        check_optimizers(self._checkpoint, trainer, f"resume={trainer.ckpt_path}")
        self._checkpoint = {}

    def _choose(self, trainer: Trainer, checkpoint: dict[str, Any]) -> None:
        module = trainer.lightning_module
        # Lightning would load weights of double precision into a model that it is yet to convert.
        trainer.precision_plugin.convert_module(module)
        if isinstance(trainer.strategy.checkpoint_io, CheckpointIO):
            trainer.strategy.checkpoint_io.choose(checkpoint)
        self._checkpoint = checkpoint
        check_loops_and_callbacks(checkpoint, trainer, f"resume={trainer.ckpt_path}")
        if checkpoint.get("left_out"):
            checkpoint["state_dict"] = fill(checkpoint.get("state_dict", {}), module.state_dict())
            self._loaded = checkpoint
            if trainer.optimizers:  # of a strategy that loads the weights after it has made them
                self._fill(trainer)
        # A strategy that shares the weights out has loaded them by now.
        if others := misfits(checkpoint.get("state_dict", {}), module.state_dict()):
            raise UsageError(f"resume: the checkpoint's {others[0]} does not fit this model; resume with the same one")

    def _fill(self, trainer: Trainer) -> None:
        """Give the optimizers' part of a checkpoint the fresh state of what was left out."""
        fresh = {
            "optimizer_states": [optimizer.state_dict() for optimizer in trainer.optimizers],
            "lr_schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        }
        for name, states in fresh.items() if self._loaded else ():
            self._loaded[name] = fill(self._loaded.get(name, states), states)
        self._loaded = {}


def _guarded(restore: Callable[..., None], trainer: Trainer) -> Callable[..., None]:
    """Return a step of Lightning's that says in one line if what it is to take over can't be."""

    def step(*arguments: Any, **options: Any) -> None:
        try:
            restore(*arguments, **options)
        except UsageError:
            raise
        except Exception as error:  # of the class whose state it is, which is kept as the cause
            if not trainer.ckpt_path:
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise UsageError(
                f"resume={trainer.ckpt_path}: a part of it can't be taken over ({reason}); it is damaged, or of other "
                "code"
            ) from error

    return step


class _Before:
    """A method of a module with something before it, which a copy of the module shares."""

    def __init__(self, method: Callable[..., None], first: Callable[..., None]) -> None:
        self.method, self.first = method, first

    def __call__(self, checkpoint: dict[str, Any]) -> None:
        self.first(checkpoint)
        self.method(checkpoint)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Before":
        return self
