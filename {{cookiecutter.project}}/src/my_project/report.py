"""What a run says at its start and its end."""

import json
import logging
import sys
from pathlib import Path

from pytorch_lightning import Trainer
from pytorch_lightning.utilities import rank_zero_only
from rich import box
from rich.console import Console
from rich.table import Table

from .data.base import DataModule
from .errors import short
from .tasks import Task

log = logging.getLogger(__name__)


@rank_zero_only
def describe(task: Task, data: DataModule, trainer: Trainer, folder: str) -> None:
    """Say in two lines what is about to run, and where."""
    model = type(task.model).__name__
    parameters = sum(parameter.numel() for parameter in task.model.parameters() if parameter.requires_grad)
    sizes = ", ".join(f"{len(rows)} {name}" for name, rows in data.splits.items())
    device = trainer.accelerator.name() if hasattr(trainer.accelerator, "name") else "cpu"
    log.info(f"{model}, {parameters:,} parameters, on {trainer.world_size} x {device}; {short(data.dir)}: {sizes}")
    log.info(f"Run: {short(folder)}")


@rank_zero_only
def write_metrics(metrics: dict[str, float], path: str | Path, checkpoint: str | Path | None) -> None:
    """Print the metrics, and write them to `path` in full precision; name the checkpoint, if there is one."""
    Path(path).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("metric")
    splits = list(dict.fromkeys(name.split("/")[0] for name in metrics))
    for split in splits:
        table.add_column(split, justify="right")
    for metric in dict.fromkeys(name.split("/")[1] for name in metrics):
        values = [metrics.get(f"{split}/{metric}") for split in splits]
        table.add_row(metric, *(f"{value:.4f}" if value is not None else "" for value in values))
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    print(f"Metrics:    {short(path)}")
    if checkpoint:
        print(f"Checkpoint: {short(checkpoint)}")
