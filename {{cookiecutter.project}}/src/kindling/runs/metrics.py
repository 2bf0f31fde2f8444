"""Metrics by their names: `val/loss` here, `val_loss` in Lightning's documentation."""

import re

from ..digits import metric

SPLITS = ("train", "val", "valid", "test")
PLACES = ("epoch", "step", "lr")  # which stand beside metrics and are none


def split_and_metric(name: str) -> tuple[str, str]:
    """Return the split and the metric in `val/loss` or `val_loss`; a name without a split is all metric."""
    match = re.fullmatch(rf"({'|'.join(SPLITS)})[/_](.+)", name)
    return (match[1].replace("valid", "val"), match[2]) if match else ("", name)


def is_of(name: str, split: str) -> bool:
    """Whether the metric called `name` is of the split "train", "val" or "test"."""
    return split_and_metric(name)[0] == split


def is_metric(name: str) -> bool:
    """Whether a column called `name` is a metric."""
    return name not in PLACES and not name.startswith("lr-")


def metric_cells(metrics: dict[str, float]) -> list[list[str]]:
    """Return metrics as a table: a row for each, and a column for each split."""
    found = {split_and_metric(name): value for name, value in metrics.items()}
    splits = list(dict.fromkeys(split for split, _ in found))
    rows = []
    for name in dict.fromkeys(name for _, name in found):
        values = [found.get((split, name)) for split in splits]
        rows.append([name, *("" if value is None else metric(value) for value in values)])
    return [["metric", *splits], *rows]
