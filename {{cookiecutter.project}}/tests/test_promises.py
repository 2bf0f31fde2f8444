"""The README's first steps, one after the other, as a user takes them."""

import csv
import json
import shutil

import pytest
from choices import datasets, default

from kindling.testing import run_command

BRIEFLY = ["trainer.max_epochs=1", "trainer.limit_train_batches=4", "trainer.limit_val_batches=2", "logger=[csv]"]


@pytest.mark.skipif(default("data") not in datasets(), reason="the default dataset can't be made here")
def test_a_dataset_is_made_trained_on_evaluated_predicted_from_and_compared(make, tmp_path) -> None:
    shutil.copytree(make(default("data")), tmp_path / "data")

    def command(name: str, *options: str, paths: bool = True) -> str:
        ended = run_command(name, options, tmp_path, paths=paths)
        assert ended.code == 0, ended.said
        return ended.said

    assert "samples" in command("make_dataset")
    command("train", *BRIEFLY, "paths.run=runs/first")
    run = tmp_path / "runs/first"
    trained = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    command("evaluate", "checkpoint=runs/first")
    evaluated = json.loads((run / "checkpoints/evaluation.json").read_text(encoding="utf-8"))
    assert {name: trained[name] for name in evaluated} == pytest.approx(evaluated)
    (sample,) = csv.DictReader((run / "predictions.csv").read_text(encoding="utf-8").splitlines()[:2])
    assert sample
    command("train", "resume=runs/first", "trainer.max_epochs=2")
    command("compare", "runs", paths=False)
    rows = list(csv.DictReader((tmp_path / "runs/comparison.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 1
