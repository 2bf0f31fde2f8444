"""The base of a project's tasks."""

import inspect
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.plugins.precision import MixedPrecision
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric, MetricCollection

from ..checkpoints.io import CheckpointIO, fill, misfits
from ..data.module import Batch, DataModule, Inputs
from ..errors import UsageError


class Task(LightningModule):
    """Fit `model` to minimise `loss`, and report `metrics` on the validation and test sets.

    Args:
        model: Maps the inputs of a batch, given as keyword arguments, to an output tensor (B, num_outputs).
        loss: Maps (output, target) to a scalar.
        metrics: Updated with (output, target); logged as `val/<name>` and `test/<name>`.
        optimizer: Maps parameters to an optimizer.
        scheduler: Lightning's scheduler configuration, in which `scheduler` maps the optimizer to a scheduler; one that
            steps with every batch (`interval: step`) is given the total number of steps, too.
        compiled: Whether `torch.compile` translates the model for training.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        metrics: MetricCollection,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Mapping[str, Any],
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.train_loss = MeanMetric()
        self.val_loss = MeanMetric()
        self.test_loss = MeanMetric()
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.compiled = compiled
        self._loss_sum = torch.zeros(())  # over the samples of this epoch, of which there are
        self._num_samples = 0
        self.weight = 1.0  # of this batch's loss, beside those of other processes
        self._loaded: dict[str, Any] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets the name of each hook that it calls, 47 times a step; of a plain value there is nothing that
        # `nn.Module` has to register.
        if name in self.__dict__ and (value is None or type(value) is str):
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def forward(self, inputs: Inputs) -> Tensor:
        return self.model(**inputs)

    def on_fit_start(self) -> None:
        if self.compiled:
            if self.device.type == "cpu":
                _check_compiler()
            self.model.compile(dynamic=True)  # batches differ in length

    def on_train_epoch_start(self) -> None:
        self._loss_sum = torch.zeros((), device=self.device)
        self._num_samples = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        inputs, target = batch
        loss = self.loss(self(inputs), target)
        if self.trainer.world_size > 1:
            self.weight = self.trainer.datamodule.weight(batch_idx)  # type: ignore[attr-defined]
        samples = len(target) if self.weight else 0
        # A metric or a log call for every step costs more than the whole step of a small model.
        self._loss_sum.add_(loss.detach(), alpha=samples)
        self._num_samples += samples
        if batch_idx % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log("loss", loss.detach(), prog_bar=True, logger=False, batch_size=len(target))
        # DDP takes the mean over the processes; one that has fewer samples of this batch counts less.
        return loss if self.weight == 1 else loss * self.weight

    # Lightning asks for the arguments at every step, and finding them out takes time.
    training_step.__signature__ = inspect.signature(training_step)  # type: ignore[attr-defined]

    def on_train_epoch_end(self) -> None:
        self.train_loss.update(self._loss_sum / self._num_samples, self._num_samples)
        self.log("train/loss", self.train_loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, self.val_loss, self.val_metrics)

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", self.val_loss, prog_bar=True)
        self.log_dict(self.val_metrics, prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._evaluate(batch, self.test_loss, self.test_metrics)

    def on_test_epoch_end(self) -> None:
        self.log("test/loss", self.test_loss)
        self.log_dict(self.test_metrics)

    def predict(self, inputs: Inputs) -> Tensor:
        """Return predictions, as `describe` takes them."""
        return self.interpret(self(inputs))

    def interpret(self, output: Tensor) -> Tensor:
        """Return what the model's output means: the predictions."""
        return output

    def describe(self, prediction: Tensor, classes: list[str]) -> dict[str, Any]:
        """Return the columns that a row of predictions gets."""
        raise TypeError(f"{type(self).__name__} has to define describe()")

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        precision, strategy = self.trainer.precision_plugin, self.trainer.strategy
        if gradient_clip_val and isinstance(strategy, FSDPStrategy) and gradient_clip_algorithm != "value":
            sharded: Any = strategy.model  # each process has a part of the gradients; Lightning refuses
            sharded.clip_grad_norm_(gradient_clip_val)
            return
        if gradient_clip_val and isinstance(precision, MixedPrecision) and "fused" in optimizer.defaults:
            # Lightning refuses fused optimizers here, although bf16 scales no gradients.
            if precision.scaler is None and gradient_clip_algorithm != "value":
                nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)
                return
            if optimizer.defaults["fused"]:
                raise UsageError(
                    f"trainer.precision={precision.precision}: gradients can't be clipped with optimizer.fused=true; "
                    "use optimizer.fused=false, or bf16-mixed"
                )
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.parameters())
        steps = (self._total_steps(),) if self.scheduler["interval"] == "step" else ()
        scheduler = self.scheduler["scheduler"](optimizer, *steps)
        for name, state in (("optimizer_states", optimizer.state_dict()), ("lr_schedulers", scheduler.state_dict())):
            if self._loaded:
                self._loaded[name] = fill(self._loaded.get(name, [state]), [state])
        self._loaded = {}
        return {"optimizer": optimizer, "lr_scheduler": {**self.scheduler, "scheduler": scheduler}}  # type: ignore[return-value]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # A pretrained model's architecture, so that the checkpoint needs neither its folder nor the hub.
        if callable(rebuild := getattr(self.model, "rebuild", None)):
            checkpoint["hyper_parameters"]["task"]["model"] |= rebuild()
        sums = torch.stack([self._loss_sum, self._loss_sum.new_tensor(self._num_samples)])
        checkpoint["train_loss"] = self.all_gather(sums).reshape(-1, 2).tolist()  # type: ignore[union-attr]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trainer: Any = self.trainer
        if trainer.state.fn != "fit":
            return
        # Lightning would load weights of double precision into a model that it is yet to convert.
        trainer.precision_plugin.convert_module(self)
        if isinstance(trainer.strategy.checkpoint_io, CheckpointIO):
            trainer.strategy.checkpoint_io.choose(checkpoint)
        if checkpoint.get("left_out"):
            checkpoint["state_dict"] = fill(checkpoint.get("state_dict", {}), self.state_dict())
            self._loaded = checkpoint  # the optimizer, which is yet to be made, fills its part
        # A strategy that shares the weights out has loaded them by now.
        if others := misfits(checkpoint.get("state_dict", {}), self.state_dict()):
            raise UsageError(f"resume: the checkpoint's {others[0]} does not fit this model; resume with the same one")
        sums = checkpoint.get("train_loss", [])
        if len(sums) != trainer.world_size:  # other processes go on, of which the first takes over all
            sums = [[sum(column) for column in zip(*sums, strict=True)]] if sums else []
        if trainer.global_rank < len(sums):
            loss, samples = sums[trainer.global_rank]
            self._loss_sum, self._num_samples = torch.tensor(loss), int(samples)

    def on_train_start(self) -> None:
        self._loss_sum = self._loss_sum.to(self.device)

    def check(self, data: DataModule, monitor: str, processes: int = 1) -> None:
        """Say it in one line where the model, the task and the data do not fit together.

        Args:
            data: What it is going to be trained on.
            monitor: The metric that is watched.
            processes: Among how many each batch is shared out.

        Raises:
            UsageError: The model takes other inputs, knows too few tokens, or its output has another shape; the name
                of the metric looks like that of another; or a process would go without samples.
        """
        metrics = ["train/loss", "val/loss", *map(str, self.val_metrics)]
        # A task of your own may log others; Lightning says after the first epoch if none has this name.
        if monitor not in metrics and (close := get_close_matches(monitor, metrics, n=1)):
            raise UsageError(f"monitor={monitor}: there is no such metric; did you mean {close[0]}?")
        inputs, target = data.example()
        data.check_share(processes)
        name = type(self.model).__name__
        takes = inspect.signature(self.model.forward)
        try:
            takes.bind(**inputs)
        except TypeError:
            raise UsageError(
                f"{name} does not fit {type(data).__name__}: it takes ({', '.join(takes.parameters)}), "
                f"a batch has ({', '.join(inputs)})"
            ) from None
        try:
            self.optimizer(self.parameters())
        except ValueError as error:
            raise UsageError(f"optimizer: {error}") from None
        self.eval()
        try:
            with torch.no_grad():
                shape = tuple(self(inputs).shape)
        except IndexError as error:
            if str(error) != "index out of range in self":  # torch's words for it
                raise
            raise UsageError(
                f"{name} does not fit {type(data).__name__}: an embedding is too small ({error})"
            ) from error
        self.train()
        if shape != (wanted := self.output_shape(data, target)):
            raise UsageError(f"{name} does not fit {type(data).__name__}: its output is of shape {shape}, not {wanted}")

    def output_shape(self, data: DataModule, target: Tensor) -> tuple[int, ...]:
        """Return the shape that the output for this target has to have.

        Raises:
            UsageError: The task can't be learned from such targets.
        """
        raise TypeError(f"{type(self).__name__} has to define output_shape()")

    def _evaluate(self, batch: Batch, loss: MeanMetric, metrics: MetricCollection) -> Tensor:
        inputs, target = batch
        output = self(inputs)
        loss.update(self.loss(output, target), len(target))
        metrics.update(output, target)
        return output

    def _total_steps(self) -> int:
        # Not `trainer.estimated_stepping_batches`: it loads the data early, and a resumed run then loses its place
        # (https://github.com/Lightning-AI/pytorch-lightning/issues/20550).
        trainer: Any = self.trainer
        if trainer.max_steps > 0:
            return trainer.max_steps
        if not trainer.max_epochs or trainer.max_epochs < 0:
            raise UsageError(f"trainer.max_epochs={trainer.max_epochs}: this scheduler has to know where training ends")
        batches = trainer.datamodule.num_batches("train")
        limit = trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        return trainer.max_epochs * -(-batches // trainer.accumulate_grad_batches)


def _check_compiler() -> None:
    if not any(map(shutil.which, filter(None, [os.environ.get("CXX"), "c++", "g++", "clang++", "cl"]))):
        raise UsageError("task.compiled=true: there is no C++ compiler, which a CPU needs; use task.compiled=false")
    if " " in torch.__file__:
        raise UsageError(
            f"task.compiled=true: PyTorch {torch.__version__} can't compile for a CPU when a space is in its own path, "
            f"{torch.__path__[0]}; use task.compiled=false, or move the project"
        )
