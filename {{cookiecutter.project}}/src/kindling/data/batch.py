"""What a step of training gets."""

from typing import Any, NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Samples that are put through a model together.

    Args:
        inputs: What the model takes, by name.
        target: What is to be predicted; none where nothing is.
        size: How many samples count: none of a process that merely keeps step with others.
    """

    inputs: dict[str, Tensor]
    target: Any
    size: int
