"""Modules and data as Lightning's documentation has them, which know nothing of the engine."""

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, random_split


class LitModel(pl.LightningModule):
    def __init__(self, in_features: int = 6, hidden_size: int = 16, lr: float = 1e-2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(
            nn.Linear(in_features, hidden_size), nn.ReLU(), nn.Dropout(0.3), nn.Linear(hidden_size, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        logits = self(x)
        self.log("val_loss", nn.functional.cross_entropy(logits, y))
        self.log("val_acc", (logits.argmax(-1) == y).float().mean(), prog_bar=True)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("test_loss", nn.functional.cross_entropy(self(x), y))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.9)]


class LitData(pl.LightningDataModule):
    """A table whose rows training sees in a random order, with noise of its own."""

    def __init__(self, num_samples: int = 150, batch_size: int = 16, num_workers: int = 0) -> None:
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage: str) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(self.hparams.num_samples, 6, generator=generator)
        dataset = TensorDataset(x, (x[:, 0] + x[:, 1] > 0).long())
        splits = random_split(dataset, [0.6, 0.2, 0.2], generator=torch.Generator().manual_seed(1))
        self.train_set, self.val_set, self.test_set = splits

    def train_dataloader(self) -> DataLoader:
        workers = self.hparams.num_workers
        return DataLoader(self.train_set, self.hparams.batch_size, shuffle=True, collate_fn=noisy, num_workers=workers)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val_set, self.hparams.batch_size)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test_set, self.hparams.batch_size)


class LitStream(LitData):
    """The same rows from a stream that has no length."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Stream(self.train_set), self.hparams.batch_size)


class LitSeeded(LitData):
    """The same rows in an order that a generator of the loader's own draws."""

    def train_dataloader(self) -> DataLoader:
        generator = torch.Generator().manual_seed(5)
        return DataLoader(self.train_set, self.hparams.batch_size, shuffle=True, generator=generator)


class LitTraining(pl.LightningModule):
    """A step and an optimizer, and no more."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, _ = batch
        loss = nn.functional.mse_loss(self.layer(x), x)
        self.log("train_loss", loss, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Stream(IterableDataset):
    def __init__(self, samples: Any) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[Any]:
        return iter(self.samples)


class LitGAN(pl.LightningModule):
    """Two optimizers that take turns: manual optimization."""

    def __init__(self, latent: int = 3) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.latent = latent
        self.generator = nn.Sequential(nn.Linear(latent, 16), nn.ReLU(), nn.Linear(16, 6))
        self.discriminator = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))

    def training_step(self, batch: Any, batch_idx: int) -> None:
        real, _ = batch
        first, second = self.optimizers()
        fake = self.generator(torch.randn(len(real), self.latent))
        loss = nn.functional.softplus(-self.discriminator(fake)).mean()
        first.zero_grad()
        self.manual_backward(loss)
        first.step()
        self.log("generator_loss", loss, on_step=False, on_epoch=True)
        scores = self.discriminator(torch.cat([real, fake.detach()]))
        wanted = torch.cat([torch.ones(len(real), 1), torch.zeros(len(real), 1)])
        loss = nn.functional.binary_cross_entropy_with_logits(scores, wanted)
        second.zero_grad()
        self.manual_backward(loss)
        second.step()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        real, _ = batch
        self.log("val_loss", self.discriminator(real).mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.generator.parameters(), 1e-3), torch.optim.SGD(
            self.discriminator.parameters(), 1e-2
        )


def noisy(samples: Any) -> Any:
    """Return a batch whose numbers are a little off, other ones each time."""
    x, y = torch.utils.data.default_collate(samples)
    return x + 0.1 * torch.randn_like(x), y


class LitNamed(LitModel):
    """Its hyperparameters are called as parts of the config are; one is a list, and one is no plain data."""

    def __init__(self, model: str, seed: int, widths: Any, activation: nn.Module) -> None:
        super().__init__(hidden_size=widths[0])
        self.network[1] = activation
        self.num_loaded = 0

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.num_loaded += 1


def holder(**arguments: Any) -> dict[str, Any]:
    return arguments


def weighted_loss() -> nn.Module:
    """A loss that a function makes."""
    return nn.CrossEntropyLoss(label_smoothing=0.1)
