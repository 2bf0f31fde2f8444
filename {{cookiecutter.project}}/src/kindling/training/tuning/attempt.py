"""What came of trying a batch size."""

from typing import NamedTuple

NEARLY = 0.95  # of the best speed is as good


class Attempt(NamedTuple):
    """What came of one batch size.

    Args:
        size: Samples per batch.
        speed: Samples per second.
        memory: The most bytes that were taken of a GPU.
        largest: The largest size that makes sense with this dataset.
    """

    size: int
    speed: float
    memory: int
    largest: int
