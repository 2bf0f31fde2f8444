"""Every file in configs/ is found, composed and run for a few steps: a config without a test does not exist."""

import shutil
from pathlib import Path

import pytest
import torch

CONFIGS = Path(__file__).parent.parent / "configs"
FEW_STEPS = ["debug=fast", "logger=[csv]"]
PLAIN = [*FEW_STEPS, "model=bow", "callbacks=[record,checkpoint]"]


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def trains(command, *overrides: str) -> None:
    result = command("train", *overrides)
    assert result.code == 0, result.err
    assert "Checkpoint: " in result.out


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize("task", choices("task"))
def test_every_model_trains_on_every_task(command, data_of, model: str, task: str) -> None:
    labels = {"classification": "classes", "regression": "numbers"}[task]
    trains(command, *data_of(labels), *FEW_STEPS, f"model={model}", f"task={task}")


@pytest.mark.parametrize(
    ("group", "choice"),
    [
        (group, choice)
        for group in ("optimizer", "scheduler", "trainer", "paths")
        for choice in choices(group)
        if choice != "ddp_cpu"  # of test_processes.py
    ],
)
def test_every_choice_trains(command, dataset, group: str, choice: str) -> None:
    if choice in ("fsdp", "deepspeed") and torch.cuda.device_count() < 2:
        result = command("train", *dataset, *PLAIN, f"{group}={choice}")
        assert result.code == 2
        assert result.err.startswith(
            ("train.py: trainer.gpus=2: this machine has ", "train.py: trainer=deepspeed: DeepSp")
        )
        assert result.err.count("\n") == 1
        return
    if choice == "deepspeed":
        pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")
    trains(command, *dataset, *PLAIN, f"{group}={choice}")


@pytest.mark.parametrize("logger", choices("logger"))
def test_every_logger_writes(command, dataset, tmp_path, logger: str) -> None:
    pytest.importorskip({"comet": "comet_ml", "mlflow": "mlflow"}.get(logger, "wandb"), reason=f"no {logger} extra")
    trains(command, *dataset, "model=bow", "debug=fast", f"logger=[{logger}]", f"paths.run={tmp_path / 'run'}")
    assert any(path.is_file() for path in (tmp_path / "run" / logger).iterdir())


@pytest.mark.parametrize("callback", choices("callbacks"))
def test_every_callback_runs(command, dataset, callback: str) -> None:
    trains(command, *dataset, "model=bow", *FEW_STEPS, f"callbacks={sorted({'checkpoint', callback})}".replace("'", ""))


@pytest.mark.parametrize("debug", choices("debug"))
def test_every_debug_mode_ends(command, dataset, tmp_path, debug: str) -> None:
    limit = ["trainer.max_epochs=2"] if debug == "overfit" else []
    run = f"paths.run={tmp_path / 'run'}"
    trains(command, *dataset, "model=bow", "logger=[csv]", f"debug={debug}", *limit, run)
    assert (debug == "profile") == bool(list((tmp_path / "run").glob("*profile*.txt")))


# Those that a search has left are about its data.
@pytest.mark.parametrize("experiment", [name for name in choices("experiment") if not name.startswith("best_of_")])
def test_every_experiment_trains(command, real_data, experiment: str) -> None:
    trains(command, real_data, *FEW_STEPS, f"experiment={experiment}")


@pytest.mark.parametrize("data", choices("data"))
def test_every_dataset_is_made_and_trains(command, real_data, reviews, tmp_path, data: str) -> None:
    columns = ["data.text=review", "data.label=stars"]
    shutil.copy(reviews, tmp_path / "train.csv")
    needed = {"csv": [f"data.path={reviews}", *columns], "hub": [f"data.name={tmp_path}", *columns]}.get(data, [])
    task = "regression" if "labels: numbers" in (CONFIGS / "data" / f"{data}.yaml").read_text() else "classification"
    made = command("make_dataset", real_data, f"data={data}", *needed)
    assert made.code == 0, made.err
    trains(command, real_data, f"data={data}", *needed, f"task={task}", *PLAIN)


def test_every_group_is_tested_here() -> None:
    run_by_every_command = {"hydra"}
    run_by_other_tests = {"checkpoint_io", "tune", "user"}  # test_checkpoint_io.py, test_tune.py, test_user.py
    run_by_other_tests |= {"launcher", "pruner", "sampler", "sweep"}  # test_sweep.py and those of clusters
    tested = {
        *("task", "data", "model", "optimizer", "scheduler", "trainer"),
        *("callbacks", "logger", "paths", "experiment", "debug"),
    }
    assert {
        path.name for path in CONFIGS.iterdir() if path.is_dir()
    } == tested | run_by_every_command | run_by_other_tests
