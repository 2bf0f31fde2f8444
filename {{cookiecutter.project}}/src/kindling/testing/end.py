"""What a training ends with, and where two ends differ."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch


def checkpoint(run: Path) -> dict[str, Any]:
    """Return the last checkpoint of a run."""
    loaded: dict[str, Any] = torch.load(run / "checkpoints/last.ckpt", map_location="cpu", weights_only=True)
    return loaded


def end_state(run: Path) -> dict[str, Any]:
    """Return all that is to be the same however often training was interrupted."""
    names = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")
    last = checkpoint(run)
    metrics = json.loads(Path(run, "metrics.json").read_text(encoding="utf-8"))
    return {name: last[name] for name in names} | {"log": log_rows(run), "metrics": metrics}


def log_rows(run: Path) -> list[dict[str, float]]:
    """Return the rows of its CSV files, each without the columns that it leaves empty."""
    text = [Path(run, "csv", name) for name in ("metrics.csv", "steps.csv")]
    rows = [row for path in text if path.exists() for row in csv.DictReader(path.open(encoding="utf-8"))]
    return [{name: float(value) for name, value in row.items() if value} for row in rows]


def differences(one: Any, other: Any, name: str = "") -> Iterator[str]:
    """Yield the names of what is not the same, tensors bit for bit."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for part in dict.fromkeys([*one, *other]):
            yield from differences(one.get(part), other.get(part), f"{name}.{part}" if name else str(part))
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for number, (mine, its) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, its, f"{name}.{number}")
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if not torch.equal(one, other):
            yield name
    elif one != other:
        yield name
