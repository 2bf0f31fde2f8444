"""A learning-rate scheduler from the configuration: any of torch's, or a function of one's own."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch.optim import Optimizer

from ..errors import UsageError

TOTAL = ("total_steps", "num_training_steps")  # what schedulers call the number of their steps


def build_scheduler(factory: Callable[..., Any], optimizer: Optimizer, steps: Callable[[], int]) -> Any:
    """Return a scheduler of the optimizer.

    Schedulers among the arguments, such as those of `SequentialLR`, are built as well. One whose signature asks for the
    number of its steps gets it, unless the configuration says how many there are.

    Args:
        factory: Takes the optimizer, and what the configuration has not bound yet.
        optimizer: Whose learning rate it sets.
        steps: Returns how often the scheduler is going to step.

    Raises:
        UsageError: An argument is missing, or torch refuses one.
    """
    given = factory.keywords if isinstance(factory, partial) else {}
    function = factory.func if isinstance(factory, partial) else factory
    takes = inspect.signature(function).parameters
    arguments = {name: _build_parts(value, optimizer, steps) for name, value in given.items()}
    if not given.keys() & {*TOTAL, "steps_per_epoch"}:
        arguments |= {name: steps() for name in TOTAL if name in takes}
    # By keyword, as it is not the first argument of each; a function of one's own may call it otherwise.
    first = list(factory.args) if isinstance(factory, partial) else []
    if "optimizer" in takes:
        arguments["optimizer"] = optimizer
    else:
        first.append(optimizer)
    name = f"scheduler: {getattr(function, '__name__', function)}"
    try:
        inspect.signature(function).bind(*first, **arguments)
    except TypeError as error:
        raise UsageError(f"{name}: {error}") from None
    try:
        return function(*first, **arguments)
    except (TypeError, ValueError) as error:
        if not str(getattr(function, "__module__", "")).startswith("torch."):
            raise
        raise UsageError(f"{name}: {error}") from error


def count_steps(config: Mapping[str, Any], total: Callable[[], int], epochs: int | None) -> int:
    """Return how often a scheduler is going to step.

    Args:
        config: Lightning's: `interval` and `frequency`.
        total: Returns how many optimizer steps training has.
        epochs: How many epochs it has; None if nothing says so.

    Raises:
        UsageError: Nothing says where training ends.
    """
    if config.get("interval", "epoch") == "epoch":
        if not epochs or epochs < 0:
            raise UsageError(f"trainer.max_epochs={epochs}: this scheduler has to know where training ends")
        steps = epochs
    else:
        steps = total()
    return -(-steps // int(config.get("frequency", 1)))


def _build_parts(value: Any, optimizer: Optimizer, steps: Callable[[], int]) -> Any:
    """Return an argument with the schedulers in it built, and its lists as lists, as checkpoints hold no others."""
    if isinstance(value, partial) and "optimizer" in inspect.signature(value.func).parameters:
        return build_scheduler(value, optimizer, steps)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_build_parts(part, optimizer, steps) for part in value]
    return value
