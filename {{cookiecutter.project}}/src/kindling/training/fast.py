"""What makes a step cheap: Lightning's loop over the batches of an epoch, with a short way through the usual step.

Lightning calls about 1,300 Python functions in a step, beside those of torch, and most find nothing to do. The short
way calls a fifth. The hooks and their order, the counters, what is logged and the numbers are Lightning's own.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.loops.fetchers import _DataFetcher, _PrefetchDataFetcher
from pytorch_lightning.loops.optimization.automatic import Closure, ClosureResult
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.trainer.connectors.logger_connector.result import _ResultCollection
from pytorch_lightning.utilities import GradClipAlgorithmType
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor

BEFORE_STEP = ("on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward")
HOOKS = (*BEFORE_STEP, "on_before_optimizer_step", "on_train_batch_end")
# A module that overrides one of these changes how a step is made, or may skip the rest of the epoch.
STEPS = ("backward", "lr_scheduler_step", "on_train_batch_start", "optimizer_step", "optimizer_zero_grad")
TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
CLIPPING = ("configure_gradient_clipping", "clip_gradients")


def speed_up(trainer: Trainer) -> None:
    """Give a trainer, before it fits, the loop with the short way."""
    trainer.fit_loop.epoch_loop = FastEpochLoop(trainer, trainer.min_steps, trainer.max_steps)


class FastEpochLoop(_TrainingEpochLoop):
    """Lightning's loop, whose usual steps go the short way if trainer and module are as `is_plain` wants them.

    A step is usual if nothing is due after it: neither a validation nor the end of the epoch or of training. All other
    steps, and the first one after a checkpoint was loaded, go Lightning's own way.
    """

    def __init__(self, trainer: Trainer, min_steps: int | None = None, max_steps: int = -1) -> None:
        super().__init__(trainer, min_steps, max_steps)
        self._results: _Results = _Results(training=True)
        self._short_way: Any = None

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        super().on_run_start(data_fetcher)
        # Callbacks that freeze layers, average weights or accumulate gradients change the trainer between epochs.
        self._short_way = ShortWay(self) if is_plain(self.trainer, data_fetcher) else None

    def advance(self, data_fetcher: _DataFetcher) -> None:
        if self.restarting or not self._is_usual(data_fetcher):
            super().advance(data_fetcher)
            return
        self.val_loop.restarting = False
        self._results.changed = True  # a validation since the last step may have logged under the same names
        while True:
            self._short_way.step(data_fetcher)
            if not self._is_usual(data_fetcher):
                return  # Lightning looks after this step whether to validate or to stop, and makes the next
            self._batches_that_stepped += 1

    def _is_usual(self, fetcher: _DataFetcher) -> bool:
        """Return whether the next step goes the short way, as nothing can be due after it."""
        trainer, way, step = self.trainer, self._short_way, self.batch_progress.current.ready + 1
        if way is None or trainer.should_stop or trainer.received_sigterm:
            return False
        if trainer.callbacks != way.callbacks or trainer.accumulate_grad_batches != 1:
            return False
        if fetcher.fetched + 1 >= (fetcher.length or 0) or step >= trainer.num_training_batches:
            return False
        if self.max_steps != -1 and self.global_step + 1 >= self.max_steps:
            return False
        every = trainer.val_check_batch
        if trainer.check_val_every_n_epoch is None:
            step = self.batch_progress.total.ready + 1
        return bool(every and step % every != 0)


class ShortWay:
    """What the usual steps of an epoch take."""

    def __init__(self, loop: FastEpochLoop) -> None:
        trainer: Any = loop.trainer
        self.loop, self.trainer, self.module = loop, trainer, trainer.lightning_module
        self.callbacks, self.optimizer = list(trainer.callbacks), trainer.optimizers[0]
        self.outputs: dict[str, Any] | None = None
        self._hooks = {name: find_hooks(trainer, name) for name in HOOKS}
        self._progress = loop.automatic_optimization.optim_progress.optimizer
        self._schedulers = [config for config in trainer.lr_scheduler_configs if config.interval == "step"]
        self._arguments = 1 + is_param_in_hook_signature(self.module.training_step, "batch_idx", min_args=2)
        select = trainer._data_connector._datahook_selector.get_instance
        self._before, self._transfer, self._after = (getattr(select(name), name) for name in TRANSFER)
        self._context: Callable[[], Any] = getattr(trainer.precision_plugin, "autocast_context_manager", nullcontext)
        # Before it clips, Lightning checks the arguments at every step, with 100 calls of functions.
        self._clips_itself = all(is_lightnings(self.module, LightningModule, name) for name in CLIPPING)

    def step(self, fetcher: _DataFetcher) -> None:
        """Fetch a batch, train on it, step the schedulers, and log: `_TrainingEpochLoop.advance`, in its order."""
        loop, progress = self.loop, self.loop.batch_progress
        connector, results = self.trainer._logger_connector, loop._results
        index, outputs = progress.current.ready, None
        batch = self._before(next(fetcher)[0], 0)
        progress.is_last_batch = False
        batch = self._after(self._transfer(batch, self.trainer.strategy.root_device, 0), 0)
        progress.increment_ready()
        # What the connector's `on_batch_start` does, without finding out which loop is running.
        connector._first_loop_iter = connector._first_loop_iter is None
        results.batch, results.batch_size, results.dataloader_idx = batch, None, None
        if batch is None:
            loop._warning_cache.warn("train_dataloader yielded None. If this was on purpose, ignore this warning...")
        else:
            self._call("on_train_batch_start", batch, index)
            progress.increment_started()
            outputs = self._optimize(batch, index)
        progress.increment_processed()
        self._step_schedulers(index + 1)
        self._call("on_train_batch_end", outputs, batch, index)
        self._name(None)
        if results.changed:
            connector.on_batch_end()
            results.changed = False
        results.batch = results.batch_size = None
        progress.increment_completed()
        every = self.trainer.log_every_n_steps
        if self.trainer.should_stop or (every and (loop._batches_that_stepped + 1) % every == 0):
            connector.update_train_step_metrics()

    def _optimize(self, batch: Any, index: int) -> dict[str, Any]:
        """Let the optimizer step, and return what `training_step` has returned."""
        self.outputs = None
        self._progress.step.increment_ready()
        self._name("optimizer_step")
        # With a closure, as some optimizers call it more than once, and their hooks come before the forward pass.
        self.optimizer.step(closure=partial(self._closure, batch, index))
        if self.outputs is None:
            raise MisconfigurationException(f"{type(self.optimizer).__name__}.step() has not called its closure")
        self._progress.step.increment_completed()
        return self.outputs

    def _closure(self, batch: Any, index: int) -> Tensor | None:
        self._name("training_step")
        with self._context():
            loss, extra = split_outputs(self.module.training_step(*(batch, index)[: self._arguments]))
        detached = None if loss is None else loss.detach().clone()
        self._zero_grad()
        if loss is None:
            Closure.warning_cache.warn("`training_step` returned `None`. If this was on purpose, ignore this warning.")
        else:
            self._call("on_before_backward", loss)
            self._name("backward")
            loss.backward()
            self._call("on_after_backward")
        self._call("on_before_optimizer_step", self.optimizer)
        self._clip()
        self._name("optimizer_step")
        self.outputs = {} if detached is None else {"loss": detached, **extra}
        return detached

    def _zero_grad(self) -> None:
        self._progress.zero_grad.increment_ready()
        self._call("on_before_zero_grad", self.optimizer)
        self._progress.zero_grad.increment_started()
        self._name("optimizer_zero_grad")
        self.optimizer.zero_grad()
        self._progress.zero_grad.increment_completed()

    def _clip(self) -> None:
        value, algorithm = self.trainer.gradient_clip_val, self.trainer.gradient_clip_algorithm
        if not self._clips_itself:
            self._name("configure_gradient_clipping")
            clip = self.module.configure_gradient_clipping
            clip(self.optimizer, gradient_clip_val=value, gradient_clip_algorithm=algorithm)
        elif value:
            self.trainer.precision_plugin.clip_gradients(self.optimizer, value, algorithm or GradClipAlgorithmType.NORM)

    def _step_schedulers(self, steps: int) -> None:
        for config in self._schedulers:
            if steps % config.frequency == 0:
                self.loop.scheduler_progress.increment_ready()
                self._name("lr_scheduler_step")
                config.scheduler.step()
                self.loop.scheduler_progress.increment_completed()

    def _call(self, hook: str, *args: Any) -> None:
        self._name(hook)
        for function in self._hooks[hook]:
            function(*args)

    def _name(self, hook: str | None) -> None:
        # For `self.log`. `nn.Module.__setattr__` looks for parameters of that name, which takes ten times as long.
        self.module.__dict__["_current_fx_name"] = hook


class _Results(_ResultCollection):
    """What was logged in an epoch, and whether anything was since the progress bar and the callbacks were given it."""

    changed = True

    def update_metrics(self, key: str, value: Any, batch_size: int) -> None:
        self.changed = True
        super().update_metrics(key, value, batch_size)


def is_plain(trainer: Any, fetcher: _DataFetcher) -> bool:
    """Return whether steps of an epoch can go the short way: nothing changes how a step is made."""
    module, strategy, precision = trainer.lightning_module, trainer.strategy, trainer.precision_plugin
    return bool(
        type(strategy) is SingleDeviceStrategy
        and strategy.model is module
        and (type(precision) is Precision or (type(precision) is MixedPrecision and precision.scaler is None))
        and type(trainer.profiler) is PassThroughProfiler
        and type(fetcher) is _PrefetchDataFetcher
        and fetcher.length is not None  # else only a batch itself says whether it is the last one
        and trainer._val_check_time_interval is None
        and not trainer.fast_dev_run
        and module.automatic_optimization
        and not trainer.fit_loop._skip_backward
        and len(trainer.optimizers) == 1
        and not isinstance(trainer.optimizers[0], LightningOptimizer)
        and not any(config.reduce_on_plateau and config.interval == "step" for config in trainer.lr_scheduler_configs)
        and all(is_lightnings(module, LightningModule, name) for name in STEPS)
    )


def is_lightnings(instance: Any, base: type, name: str) -> bool:
    """Return whether a method is the one of Lightning's base class, overridden neither by a class nor on the object."""
    return getattr(getattr(instance, name), "__func__", None) is getattr(base, name)


def find_hooks(trainer: Any, name: str) -> list[Any]:
    """Return the functions that define a hook, in Lightning's order: of the callbacks, then of the module."""
    module = trainer.lightning_module
    defined = [callback for callback in trainer.callbacks if not is_lightnings(callback, Callback, name)]
    functions = (getattr(callback, name) for callback in defined)
    own = [] if is_lightnings(module, LightningModule, name) else [getattr(module, name)]
    return [partial(function, trainer, module) for function in functions if callable(function)] + own


def split_outputs(returned: Tensor | Mapping[str, Any] | None) -> tuple[Tensor | None, Mapping[str, Any]]:
    """Return the loss and the rest of what `training_step` has returned, or let Lightning raise."""
    if isinstance(returned, Tensor):
        return returned, {}  # Lightning divides it by 1, the number of accumulated batches: 5% of a small step
    result = ClosureResult.from_training_step_output(returned)
    return result.closure_loss, result.extra
