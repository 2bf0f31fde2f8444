"""The checks of kindling.testing: a model that keeps its promises passes, and one that breaks them is told how."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import ROOT
from kindling.testing import check_predicts_alone, check_processes_agree, check_resumes, check_trains
from kindling.testing.end import differences

MODELS = """
import torch
from pathlib import Path
from torch import nn
from my_project.models.bag_of_words import BagOfWords


class Counts(BagOfWords):
    calls = 0

    def forward(self, **inputs):
        self.calls += self.training
        return super().forward(**inputs) * (1 + 0.01 * self.calls)


class HasAGenerator(BagOfWords):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, **inputs):
        output = super().forward(**inputs)
        return output + self.training * torch.rand(output.shape, generator=self.generator)


class Draws(BagOfWords):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.shift = torch.randn(self.head.out_features)

    def forward(self, **inputs):
        return super().forward(**inputs) + self.shift


class DrawsABuffer(Draws):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        shift = self.shift
        del self.shift
        self.register_buffer("shift", shift)


class ReadsAFile(BagOfWords):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.scale = float(Path("scale.txt").read_text())


class SeesTheDataset(BagOfWords):
    def forward(self, **inputs):
        assert self.training or "-alone" not in Path.cwd().name or Path("../data").is_dir(), "the dataset has gone"
        return super().forward(**inputs)


class Explodes(BagOfWords):
    def forward(self, **inputs):
        return super().forward(**inputs) / 0


class KnowsTheProcesses(BagOfWords):
    def forward(self, **inputs):
        processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        return super().forward(**inputs) * processes


class Normalizes(BagOfWords):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.head = nn.Sequential(nn.BatchNorm1d(self.head.in_features), self.head)


class HasAnIdleLayer(BagOfWords):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.idle = nn.Linear(2, 2)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a package of broken models besides its own; the engine is this one."""
    folder = tmp_path_factory.mktemp("project") / "of a stranger"
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copytree(ROOT / "src/my_project", folder / "src/my_project")
    for file in ROOT.glob("*.py"):
        shutil.copy(file, folder)
    (folder / "src/broken").mkdir()
    (folder / "src/broken/__init__.py").write_text(MODELS, encoding="utf-8")
    return folder


@pytest.fixture
def model(project: Path, dataset: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Return the options that train a model of the project on the small dataset."""
    monkeypatch.syspath_prepend(project / "src")
    monkeypatch.setenv("PROJECT_ROOT", str(project))

    def options(name: str) -> list[str]:
        target = "my_project.models.bag_of_words.BagOfWords" if name == "BagOfWords" else f"broken.{name}"
        return [*dataset, "model=bow", "model.hidden_size=8", f"model._target_={target}", "data.batch_size=24"]

    return options


def test_a_model_that_keeps_its_promises_passes_every_check(model, tmp_path) -> None:
    for check in (check_trains, check_resumes, check_predicts_alone, check_processes_agree):
        check(model("BagOfWords"), tmp_path)


def test_what_is_drawn_into_a_buffer_is_no_broken_promise(model, tmp_path) -> None:
    check_predicts_alone(model("DrawsABuffer"), tmp_path)


@pytest.mark.parametrize(
    ("name", "check", "words"),
    [
        ("Explodes", check_trains, "exited with 2.*the loss is nan in epoch 1, batch 1"),
        ("Counts", check_resumes, "state_dict.model.* differ.*register_buffer.*on_save_checkpoint"),
        ("HasAGenerator", check_resumes, "differ.*generator of its own"),
        ("Draws", check_predicts_alone, "two processes predict different things.*register_buffer"),
        ("KnowsTheProcesses", check_processes_agree, "at step .* is .* with one and .* with two.*world_size"),
        ("Normalizes", check_processes_agree, "the weights differ by .*sync_batchnorm"),
        ("HasAnIdleLayer", check_processes_agree, "ddp_find_unused_parameters_true"),
    ],
)
def test_a_model_that_breaks_a_promise_is_told_which_and_what_to_change(model, tmp_path, name, check, words) -> None:
    with pytest.raises(AssertionError, match=f"(?s){words}"):
        check(model(name), tmp_path)


def test_a_model_that_reads_a_file_does_not_predict_alone(model, tmp_path) -> None:
    (tmp_path / "scale.txt").write_text("2")
    check_trains(model("ReadsAFile"), tmp_path)
    with pytest.raises(AssertionError, match=r"(?s)keep it in a buffer.*No such file or directory: 'scale.txt'"):
        check_predicts_alone(model("ReadsAFile"), tmp_path)


def test_the_dataset_stays_where_it_is_while_a_checkpoint_predicts_without_it(model, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    check_predicts_alone(model("SeesTheDataset"), tmp_path)
    config = torch.load(next(tmp_path.glob("*-alone")) / "model.ckpt", weights_only=True)["config"]
    assert config["data"]["dir"] == "no-dataset"


def test_what_can_not_train_or_stop_shows_what_the_command_said(model, tmp_path) -> None:
    with pytest.raises(AssertionError, match=r"exited with 2\ntrain.py: model=nothing: there is no such model"):
        check_trains([*model("BagOfWords"), "model=nothing"], tmp_path)
    with pytest.raises(AssertionError, match="an epoch needs two batches or more, and LastCheckpoint"):
        check_resumes([*model("BagOfWords"), "data.batch_size=1000"], tmp_path)


def test_checks_of_one_folder_share_the_dataset_and_the_training(model, tmp_path) -> None:
    run = check_trains(model("BagOfWords"), tmp_path)
    written = (run / "metrics.json").stat().st_mtime_ns
    check_predicts_alone(model("BagOfWords"), tmp_path, rows=[{"review": "a great film"}, {"review": "broken"}])
    assert (run / "metrics.json").stat().st_mtime_ns == written
    assert len((tmp_path / f"{run.name}-alone/first.jsonl").read_text().splitlines()) == 2


def test_differences_are_named() -> None:

    one = {"a": [torch.zeros(2), 1], "b": {"c": 1.0}}
    assert list(differences(one, {"a": [torch.zeros(2), 1], "b": {"c": 1.0}})) == []
    other = {"a": [torch.tensor([0.0, 1e-9]), 1], "b": {}, "d": None}
    assert list(differences(one, other)) == ["a.0", "b.c"]
    assert list(differences(one, {"a": [1], "b": {"c": 2.0}})) == ["a", "b.c"]
