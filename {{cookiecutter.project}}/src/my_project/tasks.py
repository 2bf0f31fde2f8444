"""What is learned: LightningModules as Lightning's documentation has them.

Change a step, or log one more value, here; the loss and the metrics are chosen in configs/task/.
"""

from typing import Any

from torch import Tensor, nn
from torchmetrics import MetricCollection

from kindling import Batch, Module


class Task(Module):
    """Fit `model` to minimize `loss`, and measure `metrics` on the validation and test splits.

    Args:
        model: Maps the inputs of a batch, given as keyword arguments, to an output of shape (B, ...).
        loss: Maps (output, target) to a scalar.
        metrics: Updated with (output, target); logged as `val/<name>` and `test/<name>`.
        train_metrics: Whether they are logged as `train/<name>`, too, over the outputs that training computes anyway.
        **training: Optimizer, scheduler and whether to compile; see `kindling.Module`.
    """

    def __init__(
        self, model: nn.Module, loss: nn.Module, metrics: MetricCollection, train_metrics: bool = False, **training: Any
    ) -> None:
        super().__init__(**training)
        self.model = model  # to freeze a layer: self.model.embedding.requires_grad_(False)
        self.loss = loss
        self.train_metrics = metrics.clone(prefix="train/") if train_metrics else None
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.model(**inputs)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        output = self(batch.inputs)
        loss = self.loss(output, batch.target)
        self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=batch.size)
        if self.train_metrics is not None and batch.size:  # 0 in a process that only waits for the others
            self.train_metrics.update(output.detach(), batch.target)
        return loss

    def on_train_epoch_end(self) -> None:
        if self.train_metrics is not None:
            self.log_dict(self.train_metrics)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        output = self(batch.inputs)
        self.log("val/loss", self.loss(output, batch.target), prog_bar=True, batch_size=batch.size)
        self.val_metrics.update(output, batch.target)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.val_metrics, prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        output = self(batch.inputs)
        self.log("test/loss", self.loss(output, batch.target), batch_size=batch.size)
        self.test_metrics.update(output, batch.target)
        return self.interpret(output)

    def on_test_epoch_end(self) -> None:
        self.log_dict(self.test_metrics)

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        return self.interpret(self(batch.inputs))

    def interpret(self, output: Tensor) -> Tensor:
        """Turn an output of the model into predictions, such as probabilities."""
        return output


class Classification(Task):
    """A task whose model returns one logit per class; predictions are probabilities of shape (B, C)."""

    def interpret(self, output: Tensor) -> Tensor:
        return output.softmax(dim=-1)

    def row(self, prediction: Tensor, classes: list[str]) -> dict[str, Any]:
        """Return the columns that a row of predictions gets."""
        probabilities = {f"probability_{name}": value for name, value in zip(classes, prediction.tolist(), strict=True)}
        return {"prediction": classes[int(prediction.argmax())]} | probabilities


class Regression(Task):
    """A task whose model returns one number for each sample; predictions are those numbers, of shape (B,)."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return super().forward(inputs).squeeze(-1)

    def row(self, prediction: Tensor, classes: list[str]) -> dict[str, Any]:
        """Return the columns that a row of predictions gets."""
        return {"prediction": prediction.item()}
