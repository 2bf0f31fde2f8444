"""What is checked before training: whether module, data and options fit together. A misfit is one line."""

import inspect
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor

from ..errors import UsageError
from .monitor import check_monitor


def check(task: LightningModule, data: LightningDataModule, trainer: Trainer, monitor: str = "") -> None:
    """Try the task on two samples, as far as task and data tell enough for it.

    Args:
        task: Checked if it has a `model` and a `loss`.
        data: Checked if it has an `example()`, a batch of two samples.
        trainer: Says among how many processes a batch is shared out.
        monitor: The metric that is watched.

    Raises:
        UsageError: The model takes other inputs, knows too few tokens, or its output has another shape; nothing logs
            the metric; or a process would go without samples.
    """
    if hasattr(data, "check_source"):
        data.check_source()
    example: Any = getattr(data, "example", None)
    if example is None:
        check_monitor(task, data, trainer, monitor)
        return
    batch = example()
    if hasattr(data, "check_share"):
        data.check_share(trainer.world_size)
    model: Any = getattr(task, "model", None)
    if model is None or not hasattr(task, "loss"):
        check_monitor(task, data, trainer, monitor, batch)
        return
    _check_optimizer(task)
    names = f"{type(model).__name__} does not fit {type(data).__name__}"
    takes = inspect.signature(model.forward)
    try:
        takes.bind(**batch.inputs)
    except TypeError:
        raise UsageError(
            f"{names}: it takes ({', '.join(takes.parameters)}), a batch has ({', '.join(batch.inputs)})"
        ) from None
    output = _output(task, batch.inputs, names)
    if isinstance(output, Tensor) and isinstance(batch.target, Tensor):
        _check_shape(output, batch.target, list(getattr(data, "classes", [])), names)
    check_monitor(task, data, trainer, monitor, batch)


def _check_optimizer(task: Any) -> None:
    if callable(optimizer := getattr(task, "optimizer", None)):
        try:
            optimizer(task.parameters())
        except ValueError as error:
            raise UsageError(f"optimizer: {error}") from None


def _output(task: LightningModule, inputs: dict[str, Tensor], names: str) -> Any:
    task.eval()
    try:
        with torch.no_grad():
            return task(inputs)
    except IndexError as error:
        if str(error) != "index out of range in self":  # torch's words for it
            raise
        raise UsageError(f"{names}: an embedding is too small ({error})") from error
    finally:
        task.train()


def _check_shape(output: Tensor, target: Tensor, classes: list[str], names: str) -> None:
    """Refuse an output that does not fit its target: numbers of its shape, or a logit for each class beside them."""
    shape, wanted = tuple(output.shape), tuple(target.shape)
    if target.is_floating_point() or not classes:
        fits = shape == wanted or not target.is_floating_point()
    else:
        if output.ndim == target.ndim:  # which holds numbers
            raise UsageError(f"task=regression: the labels of this dataset are classes; {_remedy(classes)}")
        wanted = (wanted[0], len(classes), *wanted[1:])
        fits = shape == wanted
    if not fits:
        raise UsageError(f"{names}: its output is of shape {shape}, not {wanted}")


def _remedy(classes: list[str]) -> str:
    """Return what to do where classes are to be predicted as numbers; stars from 1 to 5 are both."""
    try:
        list(map(float, classes))
    except ValueError:
        return "use task=classification"
    return "use data.labels=numbers, for make_dataset.py and train.py, or task=classification"
