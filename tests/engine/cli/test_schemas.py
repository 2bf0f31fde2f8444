"""What an editor is told about the files in configs/: each of them fits, and a typo in any of them is marked."""

import json
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT
from jsonschema import Draft7Validator
from kindling.cli.arguments import target_schema
from kindling.cli.schemas import write
from omegaconf import OmegaConf

FILES = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "configs").rglob("*.yaml"))]
NONE = ("configs/wandb_sweep.yaml", "configs/hydra/quiet.yaml", "configs/hydra/train.yaml")  # not of ours


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its schemas."""
    folder = tmp_path_factory.mktemp("schemas") / "project"
    for name in ("configs", "src"):
        shutil.copytree(ROOT / name, folder / name)
    assert write(folder)[0].endswith(" schemas in .vscode/schemas")
    return folder


def marks(project: Path, file: str, text: str) -> list[str]:
    """Return what the editor would mark in a file of this name with this text."""
    patterns = json.loads((project / ".vscode/settings.json").read_text())["yaml.schemas"]
    (schema,) = [name for name, pattern in patterns.items() if Path(file).match(pattern)]
    content: Any = OmegaConf.to_container(OmegaConf.create(text))
    validator = Draft7Validator(json.loads((project / schema).read_text()))
    return [error.message for error in validator.iter_errors(content)]


def test_every_schema_is_one(project: Path) -> None:
    for path in (project / ".vscode/schemas").iterdir():
        Draft7Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize("file", [file for file in FILES if file not in NONE])
def test_every_config_fits(project: Path, file: str) -> None:
    assert marks(project, file, (ROOT / file).read_text(encoding="utf-8")) == []


FITS = {
    "configs/model/mine.yaml": "{_target_: my_project.models.lstm.LSTM, num_outputs: '${num_outputs}', dropout: '???'}",
    "configs/model/new.yaml": "{_target_: my_project.models.new.New, anything: 1}",
    "configs/optimizer/adam.yaml": "{_target_: torch.optim.Adam, _partial_: true, lr: 1e-3, betas: [0.9, 0.98]}",
    "configs/callbacks/timer.yaml": "timer: {_target_: pytorch_lightning.callbacks.Timer, duration: '00:01:00'}",
    "configs/callbacks/patient.yaml": "{defaults: [early_stopping], early_stopping: {patience: 9}}",
    "configs/trainer/fast.yaml": "{defaults: [default], max_time: '00:01:00', overfit_batches: 2}",
    "configs/experiment/a.yaml": """
        defaults: [{override /model: bow}]
        trainer: {max_epochs: 3, accumulate_grad_batches: 2}
        model: {hidden_size: 64}
        task: {loss: {label_smoothing: 0.1}}
        callbacks: {early_stopping: {patience: 9}}
        optimizer: {lr: 1e-4, eps: 1e-6}
        scheduler: {interval: epoch, frequency: 2}
        data: {batch_size: 64}
    """,
    "configs/user/me.yaml": "{WANDB_API_KEY: abc}",
}


@pytest.mark.parametrize("file", FITS)
def test_what_a_user_adds_fits(project: Path, file: str) -> None:
    assert marks(project, file, textwrap.dedent(FITS[file])) == []


MISTAKES = [
    ("train.yaml", "seeds: 1", "seeds"),
    ("train.yaml", "seed: one", "'one'"),
    ("train.yaml", "optimizer: {lrr: 0.1}", "lrr"),
    ("evaluate.yaml", "chekpoint: best", "chekpoint"),
    ("compare.yaml", "rows: many", "'many'"),
    ("model/x.yaml", "{_target_: my_project.models.lstm.LSTM, hidden_siz: 64}", "hidden_siz"),
    ("model/x.yaml", "{_target_: my_project.models.lstm.LSTM, hidden_size: big}", "'big'"),
    ("model/x.yaml", "{_target_: my_project.models.lstm.LSTM, _partial: true}", "_partial"),
    ("model/x.yaml", "{defaults: [lstm], hidden_siz: 64}", "hidden_siz"),
    ("optimizer/x.yaml", "{_target_: torch.optim.Adam, weight_decai: 0.1}", "weight_decai"),
    ("optimizer/x.yaml", "{_target_: torch.optim.Adam, lr: fast}", "'fast'"),
    ("scheduler/x.yaml", "{scheduler: {_target_: torch.optim.lr_scheduler.StepLR, step_size: 1.5}}", "1.5"),
    ("scheduler/x.yaml", "{intervall: step}", "intervall"),
    ("data/x.yaml", "{_target_: kindling.data.file.TextFile, pathh: a.csv}", "pathh"),
    ("data/x.yaml", "{defaults: [csv], batch_size: large}", "'large'"),
    ("trainer/x.yaml", "{defaults: [default], max_epoch: 3}", "max_epoch"),
    ("trainer/x.yaml", "{defaults: [default], max_epochs: 3.5}", "3.5"),
    ("callbacks/x.yaml", "a: {_target_: pytorch_lightning.callbacks.EarlyStopping, patiance: 3}", "patiance"),
    ("callbacks/x.yaml", "a: {_target_: pytorch_lightning.callbacks.EarlyStopping, patience: three}", "'three'"),
    ("checkpoint_io/x.yaml", "{defaults: [default], laod: {}}", "laod"),
    ("logger/x.yaml", "{defaults: [wandb], wandb: {projekt: a}}", "projekt"),
    ("launcher/x.yaml", "{_target_: kindling.sweeps.launchers.slurm.Slurm, minute: 10}", "minute"),
    ("tune/x.yaml", "lr: {_target_: kindling.training.tuning.learning_rate.LearningRateFinder, steps: few}", "'few'"),
    ("sampler/x.yaml", "{_target_: optuna.samplers.TPESampler, multivariat: true}", "multivariat"),
    ("task/x.yaml", "task: {loss: {_target_: torch.nn.CrossEntropyLoss, label_smoothin: 0.1}}", "label_smoothin"),
    ("experiment/x.yaml", "trainer: {max_epoch: 3}", "max_epoch"),
    ("experiment/x.yaml", "trainers: {max_epochs: 3}", "trainers"),
    ("experiment/x.yaml", "model: {hidden_size: [64]}", "[64]"),
    ("experiment/x.yaml", "callbacks: {early_stopping: {patience: long}}", "'long'"),
    ("debug/x.yaml", "data: {shuffle: maybe}", "'maybe'"),
    ("sweep/x.yaml", "sweep: {trial: 3}", "trial"),
    ("paths/x.yaml", "rots: x", "rots"),
    ("user/x.yaml", "wandb_api_key: x", "wandb_api_key"),
]


@pytest.mark.parametrize(("file", "text", "told"), MISTAKES)
def test_a_typo_is_marked(project: Path, file: str, text: str, told: str) -> None:
    found = marks(project, f"configs/{file}", text)
    assert found, "nothing is marked"
    assert any(told in message for message in found), found


def test_types_defaults_and_docstrings_are_told() -> None:
    schema = target_schema("kindling.data.file.TextFile")["properties"]
    assert schema["url"]["description"] == "Where the file is downloaded from if it is not there."
    assert schema["url"]["default"] is None and {"type": "null"} in schema["url"]["anyOf"]
    assert schema["vocab_size"]["description"]  # of the base class
    stopping = target_schema("pytorch_lightning.callbacks.EarlyStopping")
    assert stopping["properties"]["patience"]["default"] == 3
    assert "number of checks with no improvement" in stopping["properties"]["patience"]["description"]
    assert "Monitor a metric" in stopping["description"]
    assert "coefficient" in target_schema("torch.optim.AdamW")["properties"]["weight_decay"]["description"]


def test_classes_of_the_project_and_of_libraries_are_proposed(project: Path) -> None:
    def names(group: str) -> list[str]:
        node = json.loads((project / f".vscode/schemas/{group}.json").read_text())["definitions"]["node"]
        return node["properties"]["_target_"]["anyOf"][0]["enum"]

    assert "my_project.models.transformer.Transformer" in names("model")
    assert "torch.optim.RMSprop" in names("optimizer") and "torch.optim.Optimizer" not in names("optimizer")
    assert "pytorch_lightning.callbacks.Timer" in names("callbacks")
    optimizer = json.loads((project / ".vscode/schemas/optimizer.json").read_text())
    assert "torch.optim.RMSprop" in optimizer["properties"]["_target_"]["anyOf"][0]["enum"]


def test_settings_of_the_user_stay(project: Path) -> None:
    settings = project / ".vscode/settings.json"
    ours = settings.read_text()
    assert len(write(project)) == 1  # nothing to be told
    settings.write_text('{"editor.rulers": [120] /* mine */}')
    assert "yours and stays" in write(project)[-1]
    assert settings.read_text() == '{"editor.rulers": [120] /* mine */}'
    settings.write_text(ours)
