"""Pictures as PNG, SVG or PDF: whole files of their format, wherever pictures are drawn."""

import csv
from pathlib import Path
from xml.etree import ElementTree

import optuna
import pytest
from commands import ROOT, Command
from hydra import compose, initialize_config_dir
from kindling.cli.resolvers import register_resolvers
from kindling.style import figure_at
from kindling.sweeps.pictures import draw
from kindling.sweeps.trials import read_sweep
from optuna.distributions import FloatDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import create_trial
from PIL import Image

FORMATS = ["png", "svg", "pdf"]
RUN = {"curves", "confusion_matrix", "checkpoints/best"}


def check(path: Path) -> None:
    """Refuse a file that is no whole picture of the format that its name says."""
    content = path.read_bytes()
    if path.suffix == ".png":
        Image.open(path).load()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
    elif path.suffix == ".svg":
        root = ElementTree.fromstring(content)
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and len(list(root.iter())) > 20
    else:
        assert content.startswith(b"%PDF-1.") and content.rstrip().endswith(b"%%EOF") and b"/Type3" not in content


def pictures(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix[1:] in FORMATS}


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_is_whole_and_comes_out_the_same_each_time(format: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        with figure_at(tmp_path / f"{name}.{format}", (3, 2), description="lr = 1 < 2 & \x1b[31m\nname = ä") as figure:
            figure.add_subplot().plot([1, 2], label="a < b & c")
    check(tmp_path / f"one.{format}")
    assert (tmp_path / f"one.{format}").read_bytes() == (tmp_path / f"two.{format}").read_bytes()


@pytest.mark.parametrize("format", ["svg", "pdf"])
def test_a_run_its_evaluation_and_a_comparison_are_drawn_as_asked(
    format: str, command: Command, dataset: list[str], tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "runs/run"
    options = ["model=bow", "trainer.max_epochs=2", "logger=[csv,tensorboard]", "callbacks=[record,checkpoint,report]"]
    result = command("train", *dataset, *options, f"callbacks.report.format={format}", f"paths.run={run}")
    assert result.code == 0, result.err
    assert pictures(run) == {f"{name}.{format}" for name in RUN}
    page = (run / "checkpoints/best.md").read_text()
    for name in ("curves", "confusion_matrix"):
        check(run / f"{name}.{format}")
        shown = f"![{name.replace('_', ' ')}]" if format == "svg" else f"[{name}.pdf]"
        assert f"{shown}(../{name}.{format})" in page
    check(run / f"checkpoints/best.{format}")
    shown = EventAccumulator(str(run / "tensorboard")).Reload().Tags()["images"]
    assert set(shown) == {"curves", "confusion_matrix", "report"}

    assert command("evaluate", f"checkpoint={run}", "report=true", f"format={format}").code == 0
    check(run / f"checkpoints/confusion_matrix.{format}")
    compared = command("compare", f"{tmp_path / 'runs'}", f"format={format}")
    assert compared.code == 0 and f".csv and .{format}" in compared.out
    check(tmp_path / f"runs/comparison.{format}")
    assert f"(comparison.{format})" in (tmp_path / "runs/comparison.md").read_text()
    assert not list((tmp_path / "runs").rglob("*.png"))


def test_a_number_is_drawn_as_asked(command: Command, data_of, tmp_path: Path) -> None:
    options = ["task=regression", "model=bow", "trainer.max_epochs=1", "logger=[csv]", "callbacks=[checkpoint,report]"]
    options += ["callbacks.report.format=svg", f"paths.run={tmp_path / 'run'}"]
    assert command("train", *data_of("numbers"), *options).code == 0
    check(tmp_path / "run/predictions.svg")
    with (tmp_path / "run/predictions.csv").open() as file:
        assert len(list(csv.reader(file))) > 1


@pytest.mark.parametrize("format", FORMATS)
def test_a_search_is_drawn_as_asked(format: str, tmp_path: Path) -> None:
    objectives = {"val/accuracy": "max", "val/loss": "min"}
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))
    study = optuna.create_study(storage=storage, directions=["maximize", "minimize"])
    for number in range(12):
        params = {"optimizer.lr": 0.1 / (1 + number * 5 % 12), "model.dropout": 0.01 * number}
        distributions = {name: FloatDistribution(0, 1) for name in params}
        values = [0.5 + 0.02 * (number * 7 % 12), 0.1 * number]
        study.add_trial(create_trial(params=params, distributions=distributions, values=values))
    drawn, left_out = draw(read_sweep(tmp_path, study, objectives, "train.py"), format)
    assert drawn == [f"{name}.{format}" for name in ("pareto", "history", "importances", "parallel")] and not left_out
    for name in drawn:
        check(tmp_path / name)


def test_what_is_found_before_training_is_drawn_as_asked() -> None:
    register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        for options, end in ((["callbacks.report.format=svg"], "svg"), ([], "png"), (["callbacks=[]"], "png")):
            found = compose("train", ["tune=[lr,batch_size]", "paths.output=run", *options]).tune
            assert (found.lr.picture, found.batch_size.picture) == (f"run/lr_find.{end}", f"run/batch_size.{end}")


@pytest.mark.parametrize(
    "line",
    [
        "train callbacks.report.format=gif",
        "train -m sweep=learning_rate callbacks.report.format=gif",
        "evaluate checkpoint={trained} format=gif",
        "compare {trained} format=gif",
    ],
)
def test_another_format_is_refused_in_one_line(line: str, command: Command, dataset: list[str], trained: Path) -> None:
    name, *options = line.format(trained=trained).split()
    result = command(name, *options, *(dataset if name == "train" else []))
    assert result.code == 2
    (said,) = result.err.splitlines()
    assert said == f"{name}.py: {options[-1]}: choose from png, svg, pdf"
