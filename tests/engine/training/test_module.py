"""The base of a project's tasks: what it logs is what Lightning would log."""

from pathlib import Path
from typing import Any

import plain
import pytest
import torch
from kindling import Module, build_trainer
from pytorch_lightning import LightningModule
from torch import Tensor, nn


def logging(base: type[LightningModule]) -> LightningModule:
    """Return a module that logs in all the ways that Lightning has."""

    class Logging(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            x, y = batch
            loss = nn.functional.cross_entropy(self.layer(x), y)
            self.log("mean", loss, on_step=False, on_epoch=True, batch_size=len(x))
            self.log("unsized", loss, on_step=False, on_epoch=True)
            self.log("both", loss, on_step=True, on_epoch=True, batch_size=len(x))
            self.log("largest", loss, on_step=False, on_epoch=True, reduce_fx="max", batch_size=len(x))
            self.log("number", float(batch_idx), on_step=False, on_epoch=True, batch_size=len(x))
            self.log_dict({"first": loss, "second": 2 * loss.double()}, on_step=False, on_epoch=True)
            self.log_dict({"third": loss}, on_step=False, on_epoch=True, batch_size=len(x))
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val", self.layer(batch[0]).mean(), batch_size=len(batch[0]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    torch.manual_seed(1)
    return Logging()


@pytest.mark.parametrize("fast", [True, False])
def test_it_logs_what_lightning_logs(fast: bool, tmp_path: Path) -> None:
    found = []
    for base in (LightningModule, Module):
        trainer = build_trainer(
            gpus=0, max_epochs=2, fast=fast, logger=False, enable_progress_bar=False, default_root_dir=tmp_path
        )
        trainer.fit(logging(base), plain.LitData(num_samples=70, batch_size=8))
        found.append({name: float(value) for name, value in trainer.callback_metrics.items()})
    assert found[0] == found[1]
    assert {"mean", "unsized", "both_epoch", "largest", "number", "first", "second", "third", "val"} <= found[0].keys()
