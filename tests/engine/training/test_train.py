import json
import math
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch._dynamo.utils import counters

QUICK = ["logger=[csv]", "callbacks=[record,checkpoint,learning_rate,progress]", "trainer.max_epochs=2"]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("model", ["bert", "lstm", "bow"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(command, dataset, tmp_path, model: str) -> None:
    for name, seed in [("one", 1), ("again", 1), ("other", 2)]:
        result = command("train", *dataset, *QUICK, f"model={model}", f"seed={seed}", f"paths.run={tmp_path / name}")
        assert result.code == 0, result.err
    metrics = {name: json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "again", "other")}
    assert same(weights(tmp_path / "one"), weights(tmp_path / "again"))
    assert metrics["one"] == metrics["again"]
    assert not same(weights(tmp_path / "one"), weights(tmp_path / "other"))
    assert metrics["one"] != metrics["other"]


@pytest.mark.parametrize("model", ["bert", "lstm", "bow"])
def test_a_model_learns(command, dataset, tmp_path, model: str) -> None:
    overrides = ["logger=[csv]", "trainer.max_epochs=20", "optimizer.lr=5e-3", "callbacks=[checkpoint]"]
    command("train", *dataset, *overrides, f"model={model}", f"paths.run={tmp_path / 'run'}")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    log = pd.read_csv(tmp_path / "run/csv/metrics.csv")["train/loss"].dropna()
    assert metrics["test/accuracy"] > 0.8  # three classes
    assert log.iloc[-1] < log.iloc[0] / 2


def test_a_run_is_one_folder_with_all_that_it_leaves(command, dataset, tmp_path) -> None:
    run = tmp_path / "a run"
    result = command("train", *dataset, *QUICK, "model=bow", "logger=[csv,tensorboard]", f"paths.run={run}")
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert {
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "metrics.json",
        "csv/metrics.csv",
        "train.log",
        ".hydra/config.yaml",
        ".hydra/overrides.yaml",
    } <= files
    assert any(name.startswith("tensorboard/events") for name in files)
    assert f"{run}/checkpoints/best.ckpt" in result.out.replace("\n", "")


def test_runs_go_to_a_folder_named_after_date_and_time(command, dataset, tmp_path) -> None:
    command("train", *dataset, "model=bow", "debug=fast", "logger=[csv]")
    (run,) = (path.parent for path in tmp_path.glob("runs/*/*/metrics.json"))
    assert len(run.parent.name.split("-")) == 3
    assert len(run.name.split("-")) == 3


def test_every_epoch_leaves_one_line_on_the_screen_and_in_the_log(command, dataset, tmp_path) -> None:
    result = command("train", *dataset, *QUICK, "model=bow", f"paths.run={tmp_path / 'run'}")
    lines = [line for line in result.err.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert all("train/loss" in line and "val/accuracy" in line for line in lines)
    assert all(line in (tmp_path / "run/train.log").read_text() for line in lines)


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples(command, dataset, tmp_path) -> None:
    # Without learning, the loss of an epoch does not depend on how it is cut into batches, the last one uneven.
    losses = []
    for size in (7, 1000):
        run = tmp_path / str(size)
        overrides = ["model=bow", "model.dropout=0", "optimizer=sgd", "optimizer.lr=0", "trainer.max_epochs=1"]
        command("train", *dataset, *overrides, "logger=[csv]", f"data.batch_size={size}", f"paths.run={run}")
        losses.append(pd.read_csv(run / "csv/metrics.csv")["train/loss"].dropna().item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("cosine", lambda step, total: (1 + math.cos(math.pi * step / total)) / 2),
        ("warmup", lambda step, total: min((step + 1) / 2, (total - step) / (total - 1))),
    ],
)
def test_the_learning_rate_follows_the_scheduler(command, dataset, tmp_path, scheduler: str, expected) -> None:
    overrides = ["model=bow", f"scheduler={scheduler}", "data.batch_size=32", "trainer.log_every_n_steps=1"]
    command("train", *dataset, *QUICK, *overrides, "trainer.accumulate_grad_batches=2", f"paths.run={tmp_path / 'run'}")
    rates = pd.read_csv(tmp_path / "run/csv/steps.csv")["lr-AdamW"].tolist()
    total = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert len(rates) == total > 2
    assert rates == pytest.approx([1e-3 * expected(step, total) for step in range(total)], abs=1e-9)


def test_a_constant_learning_rate_stays(command, dataset, tmp_path) -> None:
    command("train", *dataset, *QUICK, "model=bow", "scheduler=constant", f"paths.run={tmp_path / 'run'}")
    assert set(pd.read_csv(tmp_path / "run/csv/steps.csv")["lr-AdamW"].dropna()) == {1e-3}


def test_a_plateau_lowers_the_learning_rate(command, dataset, tmp_path) -> None:
    overrides = [
        "model=bow",
        "scheduler=plateau",
        "scheduler.scheduler.patience=0",
        "optimizer=sgd",
        "optimizer.lr=1e-9",
    ]
    command("train", *dataset, *overrides, "trainer.max_epochs=4", "logger=[csv]", f"paths.run={tmp_path / 'run'}")
    rates = pd.read_csv(tmp_path / "run/csv/steps.csv")["lr-SGD"].dropna()
    assert rates.min() < 0.2e-6


def test_early_stopping_watches_the_monitored_metric(command, dataset) -> None:
    overrides = ["optimizer=sgd", "optimizer.lr=1e-9", "callbacks.early_stopping.patience=1", "trainer.max_epochs=9"]
    result = command("train", *dataset, "model=bow", *overrides, "logger=[csv]", "monitor=val/f1")
    assert 2 <= result.err.count("epoch ") < 9
    last = [line for line in result.err.splitlines() if line.startswith(("epoch", "Stopped"))][-1]
    assert re.match(
        r"Stopped early: val/f1 was not better than 0\.\d+ for 1 validation; callbacks.early_stopping", last
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.precision=bf16-mixed"],
        ["trainer.accumulate_grad_batches=3"],
        ["trainer.gradient_clip_val=0.1"],
        ["trainer.max_steps=3"],
        ["data.num_workers=2"],
        ["callbacks=[checkpoint]", "logger=[]"],
        ["+trainer.enable_progress_bar=false", "callbacks=[checkpoint]"],
        ["trainer.gpus=0"],
    ],
    ids=" ".join,
)
def test_options_of_the_trainer_work(command, dataset, overrides: list[str]) -> None:
    short = ["model=bow", "logger=[csv]", "callbacks=[checkpoint,progress]", "trainer.max_epochs=1"]
    result = command("train", *dataset, *short, *overrides)
    assert result.code == 0, result.err
    assert "test" in result.out


@pytest.mark.parametrize(
    ("profiler", "row"),
    [("simple", "optimizer_step"), ("advanced", "optimizer_step"), ("pytorch", "Self CPU time total")],
)
def test_a_profiler_reports_into_the_run(command, dataset, tmp_path, profiler: str, row: str) -> None:
    overrides = ["model=bow", "debug=fast", f"trainer.profiler={profiler}", f"paths.run={tmp_path / 'run'}"]
    result = command("train", *dataset, "logger=[csv]", *overrides)
    (report,) = (tmp_path / "run").glob("fit-profile*.txt")
    assert row in report.read_text()
    assert f"Profile:    {report}" in result.out
    if profiler == "simple":
        assert re.search(r"Classification.optimizer_step +2 +[\d.]+ +[\d.]+", result.out)
        assert not re.search(r"[{\[]", result.out.partition("Profile:")[0])


def test_regression_follows_from_the_task_alone(command, data_of, tmp_path) -> None:
    overrides = ["task=regression", "model=bow", "trainer.max_epochs=30", "optimizer.lr=1e-2", "callbacks=[checkpoint]"]
    result = command("train", *data_of("numbers"), *overrides, "logger=[csv]", f"paths.run={tmp_path / 'run'}")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics.keys() == {f"{split}/{name}" for split in ("val", "test") for name in ("loss", "mae", "r2")}
    assert metrics["test/r2"] > 0.5, result.out


def test_training_does_nothing_to_the_dataset(command, dataset, tmp_path) -> None:
    folder = Path(next(item for item in dataset if item.startswith("data.dir=")).partition("=")[2])
    before = {path: path.read_bytes() for path in folder.glob("*.*")}
    command("train", *dataset, "model=bow", "debug=fast", "logger=[csv]")
    assert before == {path: path.read_bytes() for path in folder.glob("*.*")}


@pytest.mark.parametrize(
    ("path", "file", "expected"),
    [
        ("/nowhere", "/usr/torch/__init__.py", "there is no C++ compiler"),
        (os.environ["PATH"], "/my work/torch/__init__.py", "a space is in its own path"),
    ],
)
def test_compiling_is_refused_where_it_would_fail(
    command, dataset, tmp_path, monkeypatch, path, file, expected
) -> None:
    if path != "/nowhere" and not shutil.which("c++"):
        pytest.skip("there is no compiler")
    monkeypatch.setattr(torch, "__file__", file)
    monkeypatch.setenv("PATH", path)
    result = command("train", *dataset, "model=bow", "task.compiled=true")
    assert result.code == 2
    assert expected in result.err.splitlines()[-1]


@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a compiler")
@pytest.mark.skipif(" " in torch.__file__, reason="torch.compile fails under a path with a space")
def test_a_compiled_model_computes_the_same(command, dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    options = ["model=bow", "model.dropout=0", "optimizer=sgd", "debug=fast", "logger=[csv]"]
    weighed = []
    for compiled in ("false", "true"):
        before, run = counters["stats"]["unique_graphs"], tmp_path / compiled
        assert command("train", *dataset, *options, f"task.compiled={compiled}", f"paths.run={run}").code == 0
        assert (counters["stats"]["unique_graphs"] > before) == (compiled == "true")
        weighed.append(weights(run))
    assert all(torch.allclose(weighed[0][name], weighed[1][name], atol=1e-4) for name in weighed[0])
