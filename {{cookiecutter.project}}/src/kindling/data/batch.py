"""A batch: what the model takes, what it is to predict, and which samples these are."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

Inputs = dict[str, Tensor]
Target = Tensor | dict[str, Tensor] | tuple[Tensor, ...] | None


class Step(NamedTuple):
    """What one step of an epoch is made of.

    Args:
        rows: Numbers of the samples: in their split as a plan yields them, in the dataset as a batch has them.
        epoch: The epoch, counted from zero.
        batch: The step in its epoch, counted from zero.
        rank: The process whose share of the batch this is.
        part: Which part of its samples' batch this is, where a plan makes several steps of one batch.
        counts: False in a process that has none of the samples, and merely keeps step with the others on one of them.
        total: How many samples all processes have in this step together.
    """

    rows: np.ndarray
    epoch: int = 0
    batch: int = 0
    rank: int = 0
    part: int = 0
    counts: bool = True
    total: int = 0


class Batch(NamedTuple):
    """Samples for one step.

    Args:
        inputs: What the model takes, by the names of its arguments; the first dimension is that of the samples.
        target: What is to be predicted: a tensor, several by name or in order, or None.
        size: How many samples count: none of a process that merely keeps step with others.
        step: Where the batch comes from; None for samples that are in no dataset.
    """

    inputs: Inputs
    target: Target
    size: int
    step: Step | None = None


def move(value: Any, device: torch.device) -> Any:
    """Return the tensors of an input or a target on the device; whatever is no tensor stays as it is."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {name: move(item, device) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(move(item, device) for item in value)
    return value


def shapes_of(inputs: Inputs) -> dict[str, list[Any]]:
    """Return the type and the shape of one sample of each input, as plain values that a checkpoint can hold."""
    return {name: [str(value.dtype).removeprefix("torch."), list(value.shape[1:])] for name, value in inputs.items()}


def zeros(shapes: dict[str, list[Any]], size: int) -> Inputs:
    """Return inputs of `size` samples whose shapes are those that `shapes_of` returned."""
    return {name: torch.zeros(size, *shape, dtype=getattr(torch, kind)) for name, (kind, shape) in shapes.items()}
