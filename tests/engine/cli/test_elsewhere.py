"""Commands that are started from another folder than the project's."""

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from commands import ROOT
from kindling.checkpoints.config import portable


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project whose folder has a space in its name."""
    folder = tmp_path_factory.mktemp("projects") / "my project"
    shutil.copytree(ROOT / "configs", folder / "configs")
    for name in ("make_dataset", "train", "evaluate", "predict"):
        shutil.copy(ROOT / f"{name}.py", folder)
    return folder


def write_texts(path: Path, classes: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"word{number % len(classes)} {number},{classes[number % len(classes)]}" for number in range(120)]
    path.write_text("\n".join(["text,label", *rows]))
    return path


def call(file: str, *overrides: str) -> None:
    """Run a command with the current folder as it is; it must end with 0."""
    argv = sys.argv
    sys.argv = [file, *overrides]
    try:
        runpy.run_path(file, run_name="__main__")
    finally:
        sys.argv = argv


DATA = ["data=csv", "data.vocab_size=300"]
SHORT = ["model=bow", "debug=fast", "logger=[]", "callbacks=[checkpoint]"]


@pytest.mark.parametrize("way", ["relative", "absolute"])
def test_every_command_works_from_another_folder(project, tmp_path, monkeypatch, capfd, way: str) -> None:
    """What lies there, a dataset of the same name with other classes, is not taken for the project's."""
    monkeypatch.setenv("PROJECT_ROOT", "")
    elsewhere = tmp_path / "else where"
    write_texts(elsewhere / "mine" / "texts.csv", "ab")
    shutil.rmtree(project / "data", ignore_errors=True)
    monkeypatch.chdir(elsewhere)
    decoy = ["data.dir=data/texts", f"data.path={write_texts(tmp_path / 'texts.csv', 'xyz')}"]
    start = Path(os.path.relpath(project)) if way == "relative" else project
    call(str(start / "make_dataset.py"), *DATA, *decoy)
    call(str(start / "make_dataset.py"), *DATA, "data.path=mine/texts.csv")
    assert (project / "data" / "texts" / "dataset.json").exists()
    run = tmp_path / "run"
    call(str(start / "train.py"), *DATA, "data.path=mine/texts.csv", *SHORT, f"paths.run='{run}'")
    config = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["config"]
    assert config["data"]["dir"] == "./data/texts"
    assert config["task"]["model"]["num_outputs"] == 2
    call(str(start / "evaluate.py"), f"checkpoint='{run}'")
    assert (run / "checkpoints" / "evaluation.json").exists()
    capfd.readouterr()
    call(str(start / "predict.py"), f"checkpoint='{run}'", "input=mine/texts.csv")
    assert {json.loads(line)["prediction"] for line in capfd.readouterr().out.splitlines()} <= {"a", "b"}


def test_a_relative_dataset_is_that_of_the_folder_where_the_command_was_given(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = str(tmp_path / "project")
    paths = {"root": root, "data": f"{root}/data", "run": f"{root}/runs/1", "output": f"{root}/runs/1"}
    config = {
        "paths": paths,
        "data": {"dir": "mine", "path": "a.csv"},
        "trainer": {"dirs": [f"{root}/runs/1", f"{root}x"]},
    }
    moved = portable(config)
    assert moved["data"] == {"dir": str(tmp_path / "mine"), "path": "a.csv"}
    assert moved["paths"] == {"root": ".", "data": "./data", "run": "./runs/1", "output": f"{root}/runs/1"}
    assert moved["trainer"] == config["trainer"]
    assert portable(config | {"data": {"dir": "project/data/a"}})["data"]["dir"] == "./data/a"
    assert portable(config | {"data": {"_target_": "own"}})["data"] == {"_target_": "own"}


def test_in_a_notebook_paths_stay_as_they_are(tmp_path) -> None:
    config = {"paths": {"root": ".", "data": "./data", "output": "runs/1"}, "data": {"dir": "./data/a"}}
    assert portable(config) == config
