"""Every task of configs/task/ learns a handful of samples, and its predictions make rows."""

import csv
import json

import pytest
from choices import complete, options

from kindling.testing import check_predicts_alone, check_trains

# One batch, again and again.
HANDFUL = ["trainer.max_epochs=12", "trainer.limit_train_batches=1", "data.shuffle=false", "scheduler=constant"]


@pytest.mark.parametrize("task", complete("task"))
def test_it_learns_a_handful_of_samples_and_predicts_rows(folder_with_data, task: str) -> None:
    overrides = [*options("task", task), *HANDFUL]
    folder = folder_with_data(overrides)
    run = check_trains(overrides, folder)
    with (run / "csv/metrics.csv").open(encoding="utf-8") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]
    assert losses[-1] < 0.9 * losses[0]
    check_predicts_alone(overrides, folder)
    (alone,) = folder.glob("*-alone/first.jsonl")
    rows = [json.loads(line) for line in alone.read_text(encoding="utf-8").splitlines()]
    assert rows and all(row["prediction"] is not None for row in rows)
