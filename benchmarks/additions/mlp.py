from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them, from inputs (B, sizes[0]) to outputs (B, num_outputs)."""

    def __init__(self, num_outputs: int, sizes: Sequence[int]) -> None:
        super().__init__()
        widths = [*sizes, num_outputs]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.ReLU(), nn.Linear(before, after)]
        self.layers = nn.Sequential(*layers[1:])

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)
