"""Tasks: what to minimise and what to measure. A task is the only LightningModule in the project."""

from typing import Any

from torch import Tensor

from kindling.data.module import DataModule, Inputs
from kindling.errors import UsageError
from kindling.training.module import Task


class Classification(Task):
    """A task whose model returns one logit per class; predictions are probabilities."""

    def interpret(self, output: Tensor) -> Tensor:
        return output.softmax(dim=-1)

    def describe(self, prediction: Tensor, classes: list[str]) -> dict[str, Any]:
        probabilities = prediction.tolist()
        return {"prediction": classes[int(prediction.argmax())]} | {
            f"probability_{name}": value for name, value in zip(classes, probabilities, strict=True)
        }

    def output_shape(self, data: DataModule, target: Tensor) -> tuple[int, ...]:
        return len(target), len(data.classes)


class Regression(Task):
    """A task whose model returns one number; predictions are those numbers."""

    def forward(self, inputs: Inputs) -> Tensor:
        return super().forward(inputs).squeeze(-1)

    def describe(self, prediction: Tensor, classes: list[str]) -> dict[str, Any]:
        return {"prediction": prediction.item()}

    def output_shape(self, data: DataModule, target: Tensor) -> tuple[int, ...]:
        if not target.is_floating_point():
            raise UsageError("task=regression: the labels of this dataset are classes; use task=classification")
        return (len(target),)
