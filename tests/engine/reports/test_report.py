"""What a training shows: pictures and tables, and beside each best checkpoint a report that agrees with it."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import ROOT, WORDS
from interruption import Crash, Recorder, run, train
from kindling.data import store as stored
from kindling.data.batch import Batch, Step
from kindling.errors import Interrupted
from kindling.reports.outcomes import Outcomes
from kindling.reports.report import Report
from my_project.tasks import Classification
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer

REPORT = "callbacks=[checkpoint,learning_rate,report]"
BASE = ["model=bow", "data.batch_size=24", "trainer.max_epochs=3", "optimizer.lr=1e-2", "logger=[csv]", REPORT]


def told(picture: Path) -> dict[str, str]:
    """Return the facts in the text of a report's picture."""
    with Image.open(picture) as image:
        assert image.width > 600 and len(image.convert("L").getcolors()) > 10  # something was drawn
        return dict(re.findall(r"(?m)^(\S+) = (.*)$", image.text["Description"]))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def option(name: str, options: list[str]) -> str:
    return next(item for item in options if item.startswith(f"{name}=")).partition("=")[2]


@pytest.fixture(scope="module")
def shown(dataset: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder of a run, in a path with a space, and what it printed."""
    folder = tmp_path_factory.mktemp("a report")
    patterns = ["callbacks.report.exclude=[model.*|data.pool]", "callbacks.report.exceptions=[model.dropout]"]
    command = [sys.executable, str(ROOT / "train.py"), *dataset, *BASE, *patterns]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "default::UserWarning"}
    done = subprocess.run(
        [*command, f"paths.runs={folder}", f"paths.run={folder / 'run'}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return folder / "run", done


def test_the_picture_beside_the_best_checkpoint_tells_of_what_and_how_good_it_is(shown) -> None:
    run, _ = shown
    facts = told(run / "checkpoints/best.png")
    checkpoint = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    (state,) = (state for name, state in checkpoint["callbacks"].items() if name.startswith("BestCheckpoint"))
    assert float(facts["best"]) == state["best_model_score"].item()
    assert int(facts["step"]) == checkpoint["global_step"]
    assert facts["monitor"] == "val/accuracy"
    assert (facts["optimizer.lr"], facts["data.batch_size"], facts["optimizer"]) == ("0.01", "24", "AdamW")
    assert facts["hash"] == checkpoint["TextFile"]["hash"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert {name: float(facts[name]) for name in metrics} == pytest.approx(metrics)


def test_what_is_excluded_is_absent_but_for_the_exceptions(shown) -> None:
    facts = told(shown[0] / "checkpoints/best.png")
    assert [name for name in facts if name.startswith(("model.", "data.pool"))] == ["model.dropout"]
    assert not [name for name in facts if name.startswith(("callbacks", "logger", "paths"))]


def test_the_page_names_the_run_its_commands_and_metrics_and_shows_pictures_that_are_there(shown) -> None:
    run, done = shown
    page = run / "checkpoints/best.md"
    assert done.stdout.splitlines()[-1] == f"Report:     {page}"
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\[[^]]*\]\(([^)]*)\)", text)
    assert links == [f"../{name}" for name in ("curves.png", "confusion_matrix.png", "predictions.csv", "samples.csv")]
    assert all((page.parent / link).is_file() for link in links)
    (again,) = (line for line in text.splitlines() if line.startswith("python train.py "))
    assert f"paths.runs={run.parent}" in again
    assert "paths.run=" not in again  # it would write over the run that the page tells of
    assert f"python evaluate.py 'checkpoint={run}/checkpoints/best.ckpt'" in text
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"| accuracy | {metrics['val/accuracy']:.4f} | {metrics['test/accuracy']:.4f} |" in text


def test_nothing_is_said_but_the_usual(shown) -> None:
    err = shown[1].stderr
    assert not [line for line in err.splitlines() if not line.startswith(("BagOfWords", "Run: ", "Epoch"))], err


def test_every_test_sample_is_predicted_once_as_the_metrics_say(shown, dataset) -> None:
    rows = table(shown[0] / "predictions.csv")
    facts = stored.facts(option("data.dir", dataset))
    assert len({row["row"] for row in rows}) == len(rows) == facts["splits"]["test"]
    accuracy = np.mean([row["actual"] == row["predicted"] for row in rows])
    metrics = json.loads((shown[0] / "metrics.json").read_text())
    assert accuracy == pytest.approx(metrics["test/accuracy"], abs=1e-6)
    places = {place: (row["text"], row["label"]) for place, row in enumerate(samples(dataset))}
    assert [row["actual"] for row in rows] == [places[int(row["row"])][1] for row in rows]


def samples(options: list[str]) -> list[dict[str, str]]:
    columns = option("data.text", options), option("data.label", options)
    return [{"text": row[columns[0]], "label": row[columns[1]]} for row in table(Path(option("data.path", options)))]


def test_the_matrix_counts_every_sample_once(command, dataset, tmp_path, monkeypatch) -> None:
    from kindling.reports import pictures

    drawn: list[Any] = []
    monkeypatch.setattr(pictures, "draw_matrix", lambda *arguments: drawn.append(arguments))
    assert command("train", *dataset, *BASE, "debug=fast", f"paths.run={tmp_path / 'run'}").code == 0
    ((path, matrix, classes),) = drawn
    rows = table(tmp_path / "run/predictions.csv")
    counts = Counter((row["actual"], row["predicted"]) for row in rows)
    assert path == tmp_path / "run/confusion_matrix.png"
    assert matrix.sum() == len(rows) > 0
    assert {(classes[i], classes[j]): matrix[i, j] for i, j in np.argwhere(matrix).tolist()} == counts


def test_the_surest_mistakes_come_first_with_their_texts(command, dataset, tmp_path) -> None:
    run = tmp_path / "run"
    options = ["trainer.max_epochs=1", "optimizer.lr=1e-3", "callbacks.report.samples=8", f"paths.run={run}"]
    assert command("train", *dataset, *BASE, *options).code == 0
    rows = table(run / "samples.csv")
    assert len(rows) == 8
    texts = {" ".join(row["text"].split()): row["label"] for row in samples(dataset)}
    assert all(texts[row["text"]] == row["actual"] for row in rows)
    wrong = [float(row["probability"]) for row in rows if row["actual"] != row["predicted"]]
    assert wrong and wrong == sorted(wrong, reverse=True)
    assert [row["actual"] != row["predicted"] for row in rows] == [number < len(wrong) for number in range(8)]
    every = [row for row in table(run / "predictions.csv") if row["actual"] != row["predicted"]]
    assert wrong[0] == max(float(row["probability"]) for row in every)


def test_a_regression_shows_predictions_over_targets(command, data_of, tmp_path) -> None:
    run, options = tmp_path / "run", data_of("numbers")
    assert command("train", *options, *BASE, "task=regression", f"paths.run={run}").code == 0
    rows = table(run / "predictions.csv")
    errors = [abs(float(row["actual"]) - float(row["predicted"])) for row in rows]
    metrics = json.loads((run / "metrics.json").read_text())
    assert np.mean(errors) == pytest.approx(metrics["test/mae"], rel=1e-4)
    worst = [abs(float(row["error"])) for row in table(run / "samples.csv")]
    assert worst == sorted(worst, reverse=True)
    assert worst[0] == pytest.approx(max(errors), rel=1e-4)
    assert Image.open(run / "predictions.png").width > 300
    assert not (run / "confusion_matrix.png").exists()
    assert told(run / "checkpoints/best.png")["monitor"] == "val/mae"


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ([], [("train", 8)]),
        ([], [("epoch start", 1)]),
        (["trainer.val_check_interval=0.5"], [("validation", 1), ("train", 3)]),
        (["logger=[]", "callbacks=[checkpoint,report]"], [("train", 15)]),
    ],
    ids=str,
)
def test_a_resumed_run_shows_the_same_curves_and_where_it_went_on(dataset, tmp_path, options, places) -> None:
    rows = []
    for name, where in (("whole", []), ("cut", places)):
        run(tmp_path / name, [*dataset, *BASE, *options, "+trainer.enable_progress_bar=false"], where)
        state = torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["report"]
        rows.append(state["rows"])
        assert len(state["resumed"]) == len(where)
        assert (tmp_path / name / "curves.png").exists()
    assert rows[0] == rows[1]
    measured = [row["epoch"] for row in rows[0] if "val/loss" in row]
    assert measured == ([0.5, 1, 1.5, 2, 2.5, 3] if "trainer.val_check_interval=0.5" in options else [1, 2, 3])
    assert [row["epoch"] for row in rows[0] if "train/loss" in row] == [1, 2, 3]


def test_the_curves_are_what_the_csv_file_says(shown) -> None:
    state = torch.load(shown[0] / "checkpoints/last.ckpt", weights_only=True)["report"]
    logged = table(shown[0] / "csv/metrics.csv")
    for name in ("train/loss", "val/loss", "val/accuracy", "val/f1"):
        expected = [float(row[name]) for row in logged if row[name]][:3]  # a fourth is of the best checkpoint
        assert [row[name] for row in state["rows"] if name in row] == pytest.approx(expected, rel=1e-5)


def test_an_interrupted_run_has_a_report_of_the_best_so_far(dataset, tmp_path) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, [*dataset, *BASE, "+trainer.enable_progress_bar=false"], Recorder(("train", 9), signal.SIGTERM))
    checkpoint = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    assert int(told(tmp_path / "checkpoints/best.png")["step"]) == checkpoint["global_step"] == 6
    assert (tmp_path / "checkpoints/best.md").exists()
    assert (tmp_path / "curves.png").exists()


@pytest.mark.parametrize("every", ["true", "false"])
def test_on_request_each_improvement_is_drawn_and_what_is_gone_has_no_report(dataset, tmp_path, every: str) -> None:
    options = ["callbacks=[checkpoint,keep_best,report]", "callbacks.keep_best.save_top_k=2", "monitor=val/loss"]
    options += ["mode=min", "trainer.max_epochs=5", f"callbacks.report.every_improvement={every}"]
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    printed = [folder / f"best-{number:03}.pdf" for number in range(6)]  # by somebody, from pages
    for file in printed:
        file.touch()
    with pytest.raises(Crash):
        train(tmp_path, [*dataset, *BASE, *options], Recorder(("train", 26)))
    assert all(file.exists() for file in printed)
    kept = {path.stem for path in folder.glob("*.ckpt")} - {"last"}
    assert len(kept) == 3
    reports = {path.stem for path in folder.glob("*.md")}, {path.stem for path in folder.glob("*.png")}
    assert reports == ((kept, kept) if every == "true" else (set(), set()))
    for name in kept if every == "true" else ():
        checkpoint = torch.load(folder / f"{name}.ckpt", weights_only=True)
        facts = told(folder / f"{name}.png")
        assert int(facts["step"]) == checkpoint["global_step"]
        assert float(facts["best"]) == checkpoint["resume"]["metrics"]["val/loss"]


def test_strange_names_and_texts_are_no_reason_to_warn(command, tmp_path) -> None:
    names = ["$5_{x} \\frac", "\u7f51\u7edc", "a class whose name is long enough to be cut off", "\U0001f600 |"]
    path = tmp_path / "strange.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([f"{name} \u4f60\n\U0001f600 $a$ {number}", name] for number in range(40) for name in names)
    options = ["data=csv", f"data.path={path}", "data.vocab_size=400"]
    assert command("make_dataset", *options).code == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", ".*`srun` command is available")  # where there is a Slurm
        result = command("train", *options, *BASE, "debug=fast", f"paths.run={tmp_path / 'run'}")
    assert result.code == 0
    assert "report" not in result.err.lower() and "warn" not in result.err.lower()
    assert Image.open(tmp_path / "run/confusion_matrix.png").width > 300
    assert {row["actual"] for row in table(tmp_path / "run/samples.csv")} <= set(names)


@pytest.mark.parametrize(
    ("options", "report"),
    [
        (["trainer.max_steps=3"], "last"),
        (["callbacks=[checkpoint,ema,report]"], "best"),
        (["checkpoint_io=weights"], "best"),
        (["trainer.limit_test_batches=0"], "best"),
        (["data.folds=3"], "best"),
        (["callbacks=[report]", "+trainer.enable_checkpointing=false"], None),
        (["callbacks=[checkpoint]"], None),
    ],
    ids=str,
)
def test_a_run_that_is_unlike_others_ends_as_well(command, dataset, tmp_path, options, report: str | None) -> None:
    run = tmp_path / "run"
    result = command("train", *dataset, *BASE, "trainer.max_epochs=1", *options, f"paths.run={run}")
    assert result.code == 0, result.err
    assert "No report" not in result.err
    assert (f"Report:     {run}/checkpoints/{report}.md" in result.out) == (report is not None)
    assert (run / "curves.png").exists() == (options != ["callbacks=[checkpoint]"])


class Breaks(Callback):
    """Fails where the best checkpoint is evaluated."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            raise Crash(f"reports: {len(list(Path(trainer.ckpt_path).parent.glob('*.png')))}")


def test_a_run_that_breaks_before_its_test_ends_has_a_report_all_the_same(command, dataset, tmp_path) -> None:
    options = [*dataset, *BASE, "trainer.max_epochs=1", f"paths.run={tmp_path / 'run'}"]
    result = command("train", *options, "+callbacks.breaks={_target_:test_report.Breaks}")
    assert result.code == 1
    assert "Crash: reports: 0" in result.err  # it waited
    assert "test/accuracy" not in told(tmp_path / "run/checkpoints/best.png")
    assert (tmp_path / "run/checkpoints/best.md").exists()


def test_a_report_that_fails_takes_one_line_and_nothing_else(command, dataset, tmp_path) -> None:
    (tmp_path / "run/curves.png").mkdir(parents=True)
    result = command("train", *dataset, *BASE, "debug=fast", f"paths.run={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert result.err.count("No report: ") == 1 and "Traceback" not in result.err
    assert (tmp_path / "run/metrics.json").exists()


class Faulty(Classification):
    """Says what it predicted in words that do not fit the report: without a prediction."""

    def row(self, prediction: torch.Tensor, classes: list[str]) -> dict[str, Any]:
        return {"prodiction": classes[0]}


class Spelling(Classification):
    """Predicts what is neither a class nor a number."""

    def row(self, prediction: torch.Tensor, classes: list[str]) -> dict[str, Any]:
        return {"prediction": list(classes[int(prediction.argmax())])}


class Silent(Classification):
    """Does not say what it predicted."""

    def test_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        super().test_step(batch, batch_idx)


@pytest.mark.parametrize("strict", [True, False])
def test_a_fault_of_the_report_ends_a_run_in_tests_and_is_logged_with_its_type_elsewhere(
    command, dataset, tmp_path, monkeypatch, strict: bool
) -> None:
    if not strict:
        monkeypatch.delenv("KINDLING_STRICT")
    options = [*BASE, "debug=fast", "task._target_=test_report.Faulty", f"paths.run={tmp_path / 'run'}"]
    result = command("train", *dataset, *options)
    assert result.code == int(strict)
    assert "KeyError: 'prediction'" in result.err
    assert ("No report, by a fault of it: KeyError" in result.err) == (not strict)
    assert (tmp_path / "run/metrics.json").exists() == (not strict)


@pytest.mark.parametrize(("task", "tables"), [("Spelling", {"predictions.csv", "samples.csv"}), ("Silent", set())])
def test_a_task_says_what_it_predicted_and_what_it_does_not_say_is_left_out(
    command, dataset, tmp_path, task: str, tables: set[str]
) -> None:
    run = tmp_path / "run"
    options = [*BASE, "debug=fast", f"task._target_=test_report.{task}", f"paths.run={run}"]
    result = command("train", *dataset, *options)
    assert result.code == 0, result.err
    assert {path.name for path in run.glob("*.csv")} == tables
    assert {path.name for path in run.glob("*.png")} == {"curves.png"}
    assert (run / "checkpoints/best.md").exists()
    if tables:
        assert {row["predicted"] for row in table(run / "predictions.csv")} <= {str(list(n)) for n in WORDS}


class Named:
    """Names the class that it predicts."""

    def row(self, prediction: torch.Tensor, classes: list[str]) -> dict[str, Any]:
        return {"prediction": classes[int(prediction.argmax())]}


@pytest.mark.parametrize("count", [2, 12, 130, 300])
@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int64])
def test_a_matrix_of_many_classes_counts_each_sample(count: int, kind: torch.dtype) -> None:
    if count > torch.iinfo(kind).max:
        pytest.skip("the type has no room for so many classes")
    classes = [f"class {number}" for number in range(count)]
    outcomes, generator = Outcomes(classes), torch.Generator().manual_seed(count)
    actual, predicted = (torch.randint(count, (500,), generator=generator) for _ in range(2))
    predictions = torch.nn.functional.one_hot(predicted, count)
    for rows in torch.arange(500).split(64):
        batch = Batch({}, actual[rows].to(kind), len(rows), Step(rows.numpy()))
        outcomes.add(Named(), predictions[rows], batch)
    expected = np.zeros((count, count), dtype=int)
    np.add.at(expected, (actual.numpy(), predicted.numpy()), 1)
    assert outcomes.are_classes and np.array_equal(outcomes.matrix(), expected)


def test_evaluate_draws_the_same_on_request(command, trained, tmp_path) -> None:
    for name in ("confusion_matrix.png", "predictions.csv", "samples.csv"):
        assert not (trained / "checkpoints" / name).exists()
    result = command("evaluate", f"checkpoint={trained}", "report=true")
    assert result.code == 0, result.err
    rows = table(trained / "checkpoints/predictions.csv")
    metrics = json.loads((trained / "metrics.json").read_text())
    accuracy = np.mean([row["actual"] == row["predicted"] for row in rows])
    assert accuracy == pytest.approx(metrics["test/accuracy"], abs=1e-6)
    for name in ("confusion_matrix.png", "predictions.csv", "samples.csv"):
        (trained / "checkpoints" / name).unlink()


def test_training_does_not_wait_for_matplotlib(dataset, tmp_path) -> None:
    code = """
import runpy, sys
from kindling.startup import import_torchmetrics
import_torchmetrics()
from kindling.reports.report import Report
class Watch(Report):
    def on_train_end(self, *args):
        print("matplotlib:", "matplotlib" in sys.modules)
        super().on_train_end(*args)
sys.modules["kindling.reports.report"].Report = Watch
runpy.run_path("train.py", run_name="__main__")
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code, *dataset, *BASE, "debug=fast", f"paths.run={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "matplotlib: False" in done.stdout
    assert (tmp_path / "run/curves.png").exists()


def test_no_sense_is_told_before_training(command, dataset, tmp_path) -> None:
    result = command("train", *dataset, *BASE, "callbacks.report.samples=-1", f"paths.run={tmp_path / 'run'}")
    assert result.code == 2
    assert result.err.splitlines()[-1].endswith("callbacks.report.samples=-1: expected 0 or more")
    assert Report(tmp_path, samples=0).samples == 0
