"""Runs and checkpoints of commit 72e089d, where the engine was part of the project's package, do all they did."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from commands import ROOT, Command
from hydra.utils import get_object
from interruption import same
from kindling.checkpoints.config import read_config
from kindling.checkpoints.io import read
from kindling.checkpoints.moved import MOVED, renamed, renamed_overrides, today

OLD = Path(__file__).parent / "from_72e089d"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the old runs, their data and their source, in the current folder."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def state(file: Path) -> dict[str, Any]:
    checkpoint = torch.load(file, weights_only=True)
    return {name: checkpoint[name] for name in ("state_dict", "optimizer_states", "lr_schedulers", "global_step")}


def values(run: Path) -> set[tuple[str, str, str]]:
    """Return what its CSV files have of each step; there was one file then, and no loss of single steps."""
    rows = [row for file in run.glob("csv/*.csv") for row in csv.DictReader(file.open())]
    found = {(row["step"], name, value) for row in rows for name, value in row.items() if value}
    return {cell for cell in found if cell[1] not in ("epoch", "train/loss_step")}


def last_line(text: str) -> str:
    return text.splitlines()[-1]


def test_the_fixtures_name_no_place_but_their_own() -> None:
    files = [path for path in OLD.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 200_000
    for path in files:
        content = path.read_bytes()
        assert not any(
            place in content for place in map(os.fsencode, (ROOT.parent, Path.home(), tempfile.gettempdir()))
        ), path


@pytest.mark.parametrize("name", MOVED)
def test_every_moved_name_is_there(name: str) -> None:
    module, _, last = MOVED[name].rpartition(".")
    text = (ROOT / "src" / f"{module.replace('.', '/')}.py").read_text()  # some need libraries that are not installed
    assert f"class {last}" in text or f"def {last}" in text


@pytest.mark.parametrize("package", ["my_project", "textlab", "no_longer_there"])
def test_names_are_moved_whatever_the_package_was_called(package: str) -> None:
    assert today(f"{package}.trainer.build_trainer") == "kindling.training.trainer.build_trainer"
    assert today(f"{package}.data.files.TextFile") == "kindling.data.file.TextFile"
    assert today(f"{package}.tasks.Classification") == "my_project.tasks.Classification"
    assert today(f"{package}.models.bag_of_words.BagOfWords") == "my_project.models.bag_of_words.BagOfWords"
    assert today(f"{package}.nobody.Knows") == f"{package}.nobody.Knows"


@pytest.mark.parametrize(
    "name",
    ["torch.nn.CrossEntropyLoss", "torchmetrics.MetricCollection", "pytorch_lightning.callbacks.EarlyStopping", ""],
)
def test_names_of_libraries_stay(name: str) -> None:
    assert today(name) == name


def test_a_module_of_the_same_name_that_the_package_has_stays(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine/callbacks").mkdir(parents=True)
    (tmp_path / "mine/__init__.py").write_text("raise AssertionError('nothing is imported')")
    (tmp_path / "mine/callbacks/record.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert today("mine.callbacks.record.Record") == "mine.callbacks.record.Record"
    assert today("mine.callbacks.report.Report") == "kindling.reports.report.Report"


def test_configs_and_options_are_renamed_at_any_depth() -> None:
    config = {
        "a": [{"_target_": "x.checkpoint_io.CheckpointIO", "b": "x.checkpoint_io.CheckpointIO"}],
        "_target_": None,
    }
    assert renamed(config)["a"][0] == {
        "_target_": "kindling.checkpoints.io.CheckpointIO",
        "b": "x.checkpoint_io.CheckpointIO",
    }
    options = ["+callbacks.a._target_=x.callbacks.state.State", "a=x.callbacks.state.State"]
    options += ["logger.b._target_='x.csv_log.CSVLogger'", "seed=1"]
    assert renamed_overrides(options) == [
        "+callbacks.a._target_=kindling.training.batch_state.State",
        "a=x.callbacks.state.State",
        "logger.b._target_='kindling.loggers.csv.CSVLogger'",
        "seed=1",
    ]


def test_the_commands_of_that_time_named_nothing_else() -> None:
    """Whatever a config of that time names is in the table, or still there."""
    for run in ("whole", "interrupted"):
        for file in ("config.yaml", ".hydra/config.yaml"):
            config = renamed(yaml.safe_load((OLD / "runs" / run / file).read_text()))
            targets = [line.split()[-1] for line in yaml.safe_dump(config).splitlines() if "_target_:" in line]
            assert len(targets) > 10
            assert all(callable(get_object(target)) for target in targets)


def test_it_evaluates_to_the_same_metrics(command: Command, old: Path) -> None:
    recorded = json.loads((old / "runs/whole/checkpoints/evaluation.json").read_text())
    (old / "runs/whole/checkpoints/evaluation.json").unlink()
    found = command("evaluate", "checkpoint=runs/whole", f"paths.root={old}")
    assert found.code == 0, found.err
    assert json.loads((old / "runs/whole/checkpoints/evaluation.json").read_text()) == recorded


def test_it_predicts_the_same(command: Command, old: Path) -> None:
    recorded = (old / "predictions.csv").read_bytes()
    found = command("predict", "checkpoint=runs/whole", "input=new.csv", "output=new_predictions.csv")
    assert found.code == 0, found.err
    assert (old / "new_predictions.csv").read_bytes() == recorded


def test_it_is_inspected(command: Command, old: Path) -> None:
    found = command("evaluate", "inspect=runs/interrupted")
    assert found.code == 0, found.err
    assert "epoch 2/2, batch 6/16, step 22" in found.out
    assert "by SIGTERM in train" in found.out and "b5ba3db3ef0baa0b5d8f7c807b188431" in found.out


@pytest.mark.parametrize("name", ["runs/interrupted", "runs/interrupted/checkpoints/last.ckpt", "auto"])
def test_an_interrupted_run_ends_as_if_it_had_not_been(command: Command, old: Path, name: str) -> None:
    whole, run = OLD / "runs/whole", old / "runs/interrupted"
    if name == "auto":
        os.utime(run / "checkpoints/last.ckpt")
    found = command("train", f"resume={name}")
    assert found.code == 0, found.err
    assert "epoch 2/2, batch 6/16, step 22" in found.err
    assert "Changed since" not in found.err and "damaged" not in found.err
    for file in ("checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        assert same(state(run / file), state(whole / file)), file
    assert json.loads((run / "metrics.json").read_text()) == json.loads((whole / "metrics.json").read_text())
    assert values(run) == values(whole)
    record, before = (json.loads((folder / "run.json").read_text()) for folder in (run, whole))
    assert record["best"] == before["best"] and record["resumed"] == 1 and record["number"] == 2
    assert "+callbacks.norm._target_=kindling.training.gradient_norm.GradientNorm" in record["overrides"]
    best, recorded = (torch.load(folder / "checkpoints/last.ckpt", weights_only=True) for folder in (run, whole))
    mine, theirs = ({n.split("{")[0]: s for n, s in part["callbacks"].items()} for part in (best, recorded))
    assert same(mine["EarlyStopping"], theirs["EarlyStopping"])
    assert same(mine["BestCheckpoint"]["best_model_score"], theirs["BestCheckpoint"]["best_model_score"])


def test_a_finished_run_goes_on_for_more_epochs(command: Command, old: Path) -> None:
    found = command("train", "resume=runs/whole", "trainer.max_epochs=3", "callbacks=[checkpoint]")
    assert found.code == 0, found.err
    assert state(old / "runs/whole/checkpoints/last.ckpt")["global_step"] == 48


def test_both_are_compared(command: Command, old: Path) -> None:
    found = command("compare", "runs")
    assert found.code == 0, found.err
    assert "1 finished, 1 interrupted" in found.out
    assert "runs/interrupted: interrupted, best epoch so far 1" in found.out
    lines = list(csv.DictReader((old / "runs/comparison.csv").open(newline="")))
    assert len(lines) >= 1 and any(line.get("test/accuracy", "").startswith("0.6666666") for line in lines), lines


def test_old_and_new_runs_differ_in_no_name(command: Command, old: Path) -> None:
    overrides = renamed_overrides(yaml.safe_load((old / "runs/whole/.hydra/overrides.yaml").read_text()))[:-1]
    found = command("train", *overrides, "seed=43", "paths.run=runs/new")
    assert found.code == 0, found.err
    compared = command("compare", "runs")
    assert compared.code == 0 and "2 finished, 1 interrupted" in compared.out  # one setting, three repeats of it


def test_it_is_repeated_and_comes_out_the_same(command: Command, old: Path) -> None:
    found = command("train", "rerun=runs/whole", "paths.run=runs/again")
    assert found.code == 0, found.err
    assert "Equal to runs/whole to the last bit" in found.err
    assert "_target_" not in found.err
    assert same(state(old / "runs/again/checkpoints/last.ckpt"), state(OLD / "runs/whole/checkpoints/last.ckpt"))


def test_another_run_begins_with_its_weights(command: Command, old: Path) -> None:
    overrides = yaml.safe_load((old / "runs/whole/.hydra/overrides.yaml").read_text())[:9]
    options = ["init=runs/whole", "optimizer.lr=0", "trainer.max_epochs=1", "callbacks=[checkpoint]", "logger=[csv]"]
    found = command("train", *overrides, *options, "paths.run=runs/new")
    assert found.code == 0, found.err
    new = torch.load(old / "runs/new/checkpoints/last.ckpt", weights_only=True)
    before = torch.load(OLD / "runs/whole/checkpoints/best.ckpt", weights_only=True)
    assert same(new["state_dict"], before["state_dict"])
    assert new["TextFile"]["tokenizer"] == before["TextFile"]["tokenizer"]


def test_a_project_under_another_name_reads_them(old: Path) -> None:
    """The hook puts the package's name for this word; a checkpoint of another name is one from before a renaming."""
    for path in ROOT.iterdir():
        if path.suffix == ".py":
            (old / path.name).write_text(path.read_text().replace("my_project", "textlab"))
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, old / name, ignore=shutil.ignore_patterns("__pycache__"))
    (old / "src/my_project").rename(old / "src/textlab")
    for path in [*old.glob("src/textlab/**/*.py"), *old.glob("configs/**/*.yaml")]:
        path.write_text(path.read_text().replace("my_project", "textlab"))
    environment = {**os.environ, "PYTHONPATH": str(old / "src"), "OMP_NUM_THREADS": "1"}

    def call(*arguments: str) -> None:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=old, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    recorded = (old / "runs/whole/checkpoints/evaluation.json").read_text()
    (old / "runs/whole/checkpoints/evaluation.json").unlink()
    call("evaluate.py", "checkpoint=runs/whole")
    assert (old / "runs/whole/checkpoints/evaluation.json").read_text() == recorded
    call("predict.py", "checkpoint=runs/whole", "input=new.csv", "output=new_predictions.csv")
    assert (old / "new_predictions.csv").read_bytes() == (old / "predictions.csv").read_bytes()
    call("train.py", "resume=runs/interrupted")
    assert same(state(old / "runs/interrupted/checkpoints/last.ckpt"), state(OLD / "runs/whole/checkpoints/last.ckpt"))


def test_what_an_old_checkpoint_holds_is_read_in_the_form_of_today() -> None:
    checkpoint = read(OLD / "runs/interrupted/checkpoints/last.ckpt")
    config = read_config(checkpoint)
    assert "hyper_parameters" not in checkpoint and "train_loss" not in checkpoint
    assert config["trainer"]["_target_"] == "kindling.training.trainer.build_trainer"
    assert config["trainer"]["callbacks"][-1]["_target_"] == "kindling.training.gradient_norm.GradientNorm"
    assert config["task"]["_target_"] == "my_project.tasks.Classification"
    (logged,) = checkpoint["epoch_logs"]
    assert float(logged["training_step.train/loss"]["state"]["cumulated_batch_size"]) == 48
