"""A step of several batches is that of one large batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plain
import pytest
import torch
from kindling import Batch, build_trainer
from kindling.data.sampler import Plan
from pytorch_lightning import LightningDataModule
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader

SAMPLES = 22  # in batches of 8: two whole ones and 6; in batches of 2: 11


class Rows(Plan):
    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.size = size

    def batches(self, epoch: int) -> Sequence[np.ndarray]:
        return np.split(np.arange(SAMPLES), range(self.size, SAMPLES, self.size))


class Data(LightningDataModule):
    """The same samples in the same order, whatever the batch; `sized` batches say how many they have."""

    def __init__(self, size: int, sized: bool) -> None:
        super().__init__()
        self.size, self.sized = size, sized
        generator = torch.Generator().manual_seed(0)
        self.x, self.y = torch.randn(SAMPLES, 6, generator=generator), torch.randint(2, (SAMPLES,), generator=generator)

    def train_dataloader(self) -> Any:
        cut = zip(self.x.split(self.size), self.y.split(self.size), strict=True)
        batches = [Batch({"x": x}, y, len(y)) if self.sized else (x, y) for x, y in cut]
        return DataLoader(batches, batch_size=None)


class Model(plain.LitTraining):
    def __init__(self, algorithm: type[torch.optim.Optimizer]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.algorithm, self.losses = algorithm, []
        self.layer = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = (batch.inputs["x"], batch.target) if isinstance(batch, Batch) else batch
        return nn.functional.cross_entropy(self.layer(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.algorithm(self.parameters(), lr=0.1)


def train(folder: Path, size: int, sized: bool = True, algorithm: Any = torch.optim.SGD, **options: Any) -> Tensor:
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    trainer = build_trainer(gpus=0, max_epochs=2, default_root_dir=folder, **quiet, **options)
    trainer.fit(model := Model(algorithm), Data(size, sized))
    return torch.cat([weights.detach().double().flatten() for weights in model.parameters()])


@pytest.mark.parametrize(
    ("size", "batches", "large", "sized"),
    [
        (8, 4, SAMPLES, True),  # one step, of fewer batches than four, one of them smaller
        (8, 2, 16, True),  # a last step of one small batch
        (2, 4, 8, True),  # a last step of three batches
        (2, 4, 8, False),
    ],
)
@pytest.mark.parametrize("options", [{}, {"algorithm": torch.optim.AdamW, "gradient_clip_val": 0.01}])
def test_it_equals_one_large_batch(
    size: int, batches: int, large: int, sized: bool, options: dict[str, Any], tmp_path: Path
) -> None:
    several = train(tmp_path, size, sized=sized, accumulate_grad_batches=batches, **options)
    one = train(tmp_path, large, sized=sized, **options)
    assert (several - one).abs().max() < 1e-6


def test_a_number_of_batches_that_a_schedule_sets_is_followed(tmp_path: Path) -> None:
    scheduled = train(tmp_path, 8, callbacks=[GradientAccumulationScheduler({0: 4})])
    assert torch.equal(scheduled, train(tmp_path, 8, accumulate_grad_batches=4))


def test_processes_know_how_many_samples_all_of_them_have() -> None:
    plans = [Rows(8, rank=rank, num_ranks=4) for rank in range(4)]
    shares = [[len(step.rows) * step.counts for step in plan] for plan in plans]
    assert [sum(share) for share in zip(*shares, strict=True)] == [8, 8, 6]
    assert all([step.total for step in plan] == [8, 8, 6] for plan in plans)
