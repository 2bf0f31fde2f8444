"""TensorBoard, Comet and MLflow, and pictures and tables in each of them."""

import csv
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from commands import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from kindling.cli.resolvers import register_resolvers
from kindling.loggers.publish import publish_image, publish_table
from kindling.runs.end import end_job
from PIL import Image
from wandb_files import read_pieces

FAST = ["model=bow", "callbacks=[checkpoint]", "trainer.max_epochs=2"]
EXTRAS = {"comet": "comet_ml", "mlflow": "mlflow"}
ALL = ["csv", "tensorboard", "wandb", *EXTRAS]


def needs(logger: str) -> None:
    pytest.importorskip(EXTRAS.get(logger, "wandb"), reason=f"the extra {logger} is not installed")


def rows_of_csv(run: Path) -> list[dict[str, float]]:
    rows = [row for file in run.glob("csv/*.csv") for row in csv.DictReader(file.open())]
    return [{name: float(value) for name, value in row.items() if value} for row in rows]


def values_of_csv(run: Path) -> set[tuple[str, float, float]]:
    rows = rows_of_csv(run)
    return {(name, row["step"], value) for row in rows for name, value in row.items() if name not in ("step", "epoch")}


def archive_of(run: Path) -> list[dict[str, Any]]:
    (archive,) = (run / "comet").glob("*.zip")
    with ZipFile(archive) as file:
        messages = [json.loads(line) for line in file.read("messages.json").splitlines()]
    return [message["payload"] for message in messages]


def values_in(service: str, run: Path, runs: Path) -> set[tuple[str, float, float]]:
    """Return the metrics that a service was sent for a run, as (name, step, value)."""
    if service == "comet":
        metrics = [payload["metric"] for payload in archive_of(run) if "metric" in payload]
        sent = [(m["metricName"], float(m["step"]), float(m["metricValue"])) for m in metrics if m.get("step")]
        return {value for value in sent if not value[0].startswith("sys.")}
    from mlflow import MlflowClient

    client, name = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}"), (run / "mlflow/id.txt").read_text().strip()
    histories = [client.get_metric_history(name, key) for key in client.get_run(name).data.metrics if key != "epoch"]
    return {(metric.key, float(metric.step), metric.value) for history in histories for metric in history}


@pytest.mark.parametrize("service", EXTRAS)
def test_a_service_gets_what_the_csv_file_gets_and_a_resumed_run_goes_on(
    command, dataset, tmp_path, service: str
) -> None:
    needs(service)
    runs = tmp_path / "runs"
    run = runs / "a run"
    options = [*FAST, f"logger=[csv,{service}]", "tags=[small]", "name=mine", f"paths.run={run}"]
    first = command("train", *dataset, *options)
    assert first.code == 0, first.err
    name = (run / service / "id.txt").read_text()
    assert values_in(service, run, runs) == values_of_csv(run)
    second = command("train", f"resume={run}", "trainer.max_epochs=3")
    assert second.code == 0, second.err
    assert (run / service / "id.txt").read_text() == name
    assert values_in(service, run, runs) >= values_of_csv(run)
    assert "Changed since: trainer.max_epochs 2 -> 3\n" in second.err
    says = [line for line in first.err.splitlines() if service in line.lower() and "Run: " not in line]
    assert len(says) == (service == "comet"), first.err
    if service == "comet":
        assert says[0].startswith("Comet is offline: as you asked; at the end, upload with: comet upload ")


def test_the_jobs_of_a_sweep_are_runs_of_one_group_in_mlflow(command, dataset, tmp_path) -> None:
    needs("mlflow")
    from mlflow import MlflowClient

    sweep = tmp_path / "runs" / "sweep"
    options = [*FAST, "logger=[mlflow]", "seed=1,2", "tags=[small]", "job_type=study", f"paths.run={sweep}"]
    assert command("train", "-m", *dataset, *options).code == 0
    client = MlflowClient(f"sqlite:///{tmp_path / 'runs/mlflow.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
    found = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["group"] for run in found} == {"sweep"}
    assert {run.data.tags["job_type"] for run in found} == {"study"}
    assert {run.data.params["seed"] for run in found} == {"1", "2"}
    assert {run.info.status for run in found} == {"FINISHED"}


def test_a_server_of_mlflow_that_does_not_answer_is_told(command, dataset, tmp_path, monkeypatch) -> None:
    needs("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    started = time.monotonic()
    result = command("train", *dataset, *FAST, "logger=[mlflow]", f"paths.run={tmp_path / 'run'}")
    assert time.monotonic() - started < 30
    assert result.code == 0, result.err
    assert "MLflow writes into " in result.err
    assert "mlflow.db: http://127.0.0.1:9 does not answer\n" in result.err


@pytest.mark.parametrize("service", EXTRAS)
def test_an_extra_that_is_missing_is_named(dataset, tmp_path, service: str) -> None:
    missing = f"import sys, runpy; sys.modules[{EXTRAS[service]!r}] = None; sys.path.insert(0, 'src')"
    code = f"{missing}; runpy.run_path('train.py', run_name='__main__')"
    options = [*dataset, *FAST, f"logger=[{service}]", f"paths.runs={tmp_path / 'runs'}"]
    done = subprocess.run([sys.executable, "-c", code, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"train.py: logger={service}: ")
    assert line.endswith(f" is not installed; run: pip install -e '.[{service}]'")
    assert not (tmp_path / "runs").exists()


def test_pictures_and_tables_are_shown_by_everyone_who_can(dataset, tmp_path) -> None:
    loggers = [logger for logger in ALL if logger not in EXTRAS or importlib.util.find_spec(EXTRAS[logger])]
    register_resolvers()
    run, runs = tmp_path / "run", tmp_path
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        options = [*dataset, f"logger=[{','.join(loggers)}]", "name=mine", f"paths.output={run}", f"paths.runs={runs}"]
        built = [instantiate(config) for config in compose("train", options).logger.values()]
    picture = tmp_path / "curves.png"
    Image.new("RGBA", (20, 10), "red").save(picture)
    try:
        publish_image(built, "curves", picture)
        publish_table(built, "samples", ["text", "label"], [["one | two\nthree", "good"], ["four", None]])
        ids = {type(logger).__name__: logger.version for logger in built}
    finally:
        end_job(failed=False)
    assert not (run / "csv/metrics.csv").exists()
    assert tensorboard(run) == {
        "curves": (10, 20),
        "samples/text_summary": "| text | label |\n| --- | --- |\n| one \\| two three | good |\n| four | None |",
    }
    (piece,) = read_pieces(run)
    assert piece.media("samples")["nrows"] == 2
    files = piece.folder / "files"
    (shown,) = piece.media("curves")["filenames"]
    assert (files / shown).read_bytes() == picture.read_bytes()
    table = json.loads((files / piece.media("samples")["path"]).read_text())
    assert table["data"] == [["one | two\nthree", "good"], ["four", None]]
    if "comet" in loggers:
        (archive,) = (run / "comet").glob("*.zip")
        with ZipFile(archive) as file:
            assert picture.read_bytes() in [file.read(name) for name in file.namelist()]
    if "mlflow" in loggers:
        artifacts = tmp_path / "mlflow" / ids["MLFlowLogger"] / "artifacts"
        assert (artifacts / "curves.png").read_bytes() == picture.read_bytes()
        with (artifacts / "samples.csv").open(newline="") as file:
            assert list(csv.reader(file))[1] == ["one | two\nthree", "good"]


def tensorboard(run: Path) -> dict[str, Any]:
    """Return the sizes of the pictures and the texts that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    pictures = {tag: events.Images(tag)[0] for tag in events.Tags()["images"]}
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    return {tag: (picture.height, picture.width) for tag, picture in pictures.items()} | texts
