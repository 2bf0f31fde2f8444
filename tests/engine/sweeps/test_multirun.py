import gc
import json
import weakref
from pathlib import Path

import pandas as pd
import pytest
from kindling.startup import begin_job

FAST = ["model=bow", "trainer.max_epochs=1", "logger=[csv]", "callbacks=[checkpoint]"]


def jobs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_every_combination_gets_a_folder_and_the_table_its_mean_and_deviation(command, dataset, tmp_path) -> None:
    sweep = tmp_path / "sweep"
    result = command("train", "-m", *dataset, *FAST, "model=bow,lstm", "seed=1,2", f"paths.run={sweep}")
    assert result.code == 0
    assert jobs(sweep) == ["0", "1", "2", "3"]
    metrics = [json.loads((sweep / str(job) / "metrics.json").read_text()) for job in range(4)]
    table = pd.read_csv(sweep / "results.csv")
    assert list(table["model"]) == ["bow", "bow", "lstm", "lstm"]
    assert list(table["test/loss"]) == pytest.approx([m["test/loss"] for m in metrics])
    losses = pd.Series([metrics[0]["test/loss"], metrics[1]["test/loss"]])
    assert f"{losses.mean():.4f} ± {losses.std():.4f}" in result.out


def test_a_job_of_a_sweep_equals_the_same_run_alone(command, dataset, tmp_path) -> None:
    command("train", "-m", *dataset, *FAST, "seed=1,2", f"paths.run={tmp_path / 'sweep'}")
    command("train", *dataset, *FAST, "seed=2", f"paths.run={tmp_path / 'alone'}")
    alone = json.loads((tmp_path / "alone/metrics.json").read_text())
    first, second = (json.loads((tmp_path / f"sweep/{job}/metrics.json").read_text()) for job in (0, 1))
    assert second == alone
    assert first != alone


class Job:
    """What a job has built; it lies in a cycle, as networks and trainers do."""

    def __init__(self) -> None:
        self.itself = self


def test_the_memory_of_a_job_is_free_when_the_next_begins() -> None:
    begin_job()
    frozen = gc.get_freeze_count()
    job = weakref.ref(Job())
    gc.disable()  # it collects rarely
    try:
        assert job() is not None
        begin_job()
        assert job() is None
    finally:
        gc.enable()
    assert gc.get_freeze_count() == frozen > 0  # what was imported, once


def test_a_failing_job_does_not_take_the_others_down(command, dataset, tmp_path) -> None:
    result = command("train", "-m", *dataset, *FAST, "data.max_length=0,16", f"paths.run={tmp_path / 'sweep'}")
    assert result.code == 1
    assert (tmp_path / "sweep/0/error.txt").read_text()
    assert (tmp_path / "sweep/1/metrics.json").exists()
    assert "Job 0 failed" in result.err
    assert "max_length" in result.out


def test_folds_validate_on_every_sample_once_and_leave_the_test_split_alone(command, dataset, tmp_path) -> None:
    result = command("train", "-m", *dataset, *FAST, "data.folds=3", "data.fold=0,1,2", f"paths.run={tmp_path / 'cv'}")
    assert result.code == 0
    assert jobs(tmp_path / "cv") == ["0", "1", "2"]
    assert result.out.count("±") == 6  # three metrics of validation and of test, over the folds
