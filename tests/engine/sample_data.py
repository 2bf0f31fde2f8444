"""Datasets of all kinds, each as short as a user would write it, and models for them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from kindling.data.batch import Batch, Inputs
from kindling.data.dataset import DatasetModule
from kindling.data.stored import StoredData
from my_project.tasks import Classification
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

NAMES = ("acidity", "sugar", "alcohol", "hue")


def table() -> tuple[np.ndarray, np.ndarray]:
    """Return 200 rows of four numbers, and the number of a class, 0 to 2, for each."""
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(200, 4)).astype(np.float32)
    return numbers, np.digitize(numbers[:, 0] + numbers[:, 2], [-0.5, 0.5])


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return 200 images of bytes, 8 by 8, with a bar that stands or lies, and which it is."""
    generator = np.random.default_rng(0)
    pixels, lies = generator.integers(0, 60, (200, 8, 8), dtype=np.uint8), generator.integers(0, 2, 200)
    for image, lying, place in zip(pixels, lies, generator.integers(0, 8, 200), strict=True):
        image[place if lying else slice(None), slice(None) if lying else place] = 250
    return pixels, lies


class StoredTable(StoredData):
    """A table of numbers, one column each."""

    input_columns = NAMES
    schema = pa.schema([*((name, pa.float32()) for name in NAMES), ("quality", pa.string())])

    def samples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for row, (numbers, label) in enumerate(zip(*table(), strict=True)):
            yield f"row {row}", dict(zip(NAMES, numbers, strict=True)) | {"quality": ("low", "fair", "high")[label]}

    def to_inputs(self, values: Inputs) -> Inputs:
        return {"inputs": torch.stack(list(values.values()), dim=1)}


class StoredImages(StoredData):
    """Images of bytes."""

    input_columns = ("image",)
    schema = pa.schema([("image", pa.list_(pa.list_(pa.uint8(), 8), 8)), ("direction", pa.string())])

    def samples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for row, (image, lies) in enumerate(zip(*images(), strict=True)):
            yield f"image {row}", {"image": image, "direction": "lies" if lies else "stands"}

    def to_inputs(self, values: Inputs) -> Inputs:
        return {"inputs": values["image"].float().flatten(1) / 255}


class TableDataset(DatasetModule):
    """A table of numbers in three torch datasets."""

    input_columns = NAMES

    def datasets(self) -> dict[str, Dataset[Any]]:
        whole = TensorDataset(*map(torch.from_numpy, table()))
        parts = {"train": range(140), "val": range(140, 170), "test": range(170, 200)}
        return {name: torch.utils.data.Subset(whole, rows) for name, rows in parts.items()}


class Shifted(Dataset[tuple[Tensor, int]]):
    """Images that are shifted at random each time, as by a transform of torchvision."""

    def __init__(self) -> None:
        self.pixels, self.lies = images()

    def __len__(self) -> int:
        return len(self.lies)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image = np.roll(self.pixels[row], np.random.randint(8), axis=int(torch.randint(2, ())))
        return torch.from_numpy(image).flatten() / 255, int(self.lies[row])


class ImageDataset(DatasetModule):
    """Images in one torch dataset, split by their content."""

    def datasets(self) -> tuple[Dataset[Any], list[bytes]]:
        dataset = Shifted()
        return dataset, [image.tobytes() for image in dataset.pixels]


class Tags(StoredData):
    """Sequences with a tag for each token: whether the one before it was larger."""

    input_columns = ("tokens",)
    schema = pa.schema([("tokens", pa.list_(pa.int16())), ("tags", pa.list_(pa.string()))])

    def samples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        generator = np.random.default_rng(0)
        for row in range(200):
            tokens = generator.integers(1, 20, generator.integers(2, 30))
            tags = ["up" if falls else "down" for falls in np.diff(tokens, prepend=0) < 0]
            yield f"row {row}", {"tokens": tokens, "tags": tags}

    def to_inputs(self, values: Inputs) -> Inputs:
        return {"tokens": values["tokens"].long()}


class Unlabeled(StoredData):
    """A table of numbers with nothing to predict."""

    input_columns = ("numbers",)
    schema = pa.schema([("numbers", pa.list_(pa.float32(), 4))])

    def samples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        yield from ((f"row {row}", {"numbers": numbers}) for row, numbers in enumerate(table()[0]))


class TwoTargets(StoredTable):
    """A table of numbers with a class and a number to predict."""

    schema = StoredTable.schema.append(pa.field("price", pa.float32()))

    def samples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        yield from ((place, row | {"price": float(row["sugar"])}) for place, row in super().samples())


class Net(nn.Module):
    """From inputs (B, sizes[0]) to outputs (B, num_outputs), with dropout."""

    def __init__(self, num_outputs: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


class Tagger(nn.Module):
    """From tokens (B, T) to a logit for each class and token, (B, num_outputs, T)."""

    def __init__(self, num_outputs: int, hidden_size: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, hidden_size, padding_idx=0)
        self.encoder = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, num_outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(tokens))[0]).mT


class Tagging(Classification):
    def row(self, prediction: Tensor, classes: list[str]) -> dict[str, Any]:
        return {"prediction": " ".join(classes[int(place)] for place in prediction.argmax(dim=0))}


class Reconstruction(LightningModule):
    """An autoencoder: there is no target, the model learns its inputs."""

    def __init__(self, size: int = 4, noise: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size, 2), nn.Dropout(noise), nn.Linear(2, size))

    def forward(self, numbers: Tensor) -> Tensor:
        return self.layers(numbers)

    def _loss(self, batch: Batch, name: str) -> Tensor:
        assert batch.target is None
        numbers = batch.inputs["numbers"]
        loss = nn.functional.mse_loss(self(numbers), numbers)
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=batch.size)
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._loss(batch, "train/loss")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._loss(batch, "val/loss")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._loss(batch, "test/loss")

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        return self(**batch.inputs)

    def row(self, prediction: Tensor, classes: list[str]) -> dict[str, Any]:
        return {"prediction": prediction.tolist()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)
