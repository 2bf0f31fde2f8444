"""A sweep that W&B steers: its own agent makes the command line from configs/wandb_sweep.yaml, and starts it."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT
from hydra import compose, initialize_config_dir
from wandb.sdk.launch.sweeps.utils import load_sweep_config
from wandb.wandb_agent import Agent
from wandb_files import read_pieces

SUGGESTED = {"model": "lstm", "model.dropout": 0.125, "optimizer.lr": 0.0123456789}

Start = Callable[..., Any]


@pytest.fixture
def sweep() -> dict[str, Any]:
    config = load_sweep_config(str(ROOT / "configs/wandb_sweep.yaml"))
    assert config
    return config


@pytest.fixture
def start(sweep, dataset, tmp_path, monkeypatch) -> Iterator[Start]:
    """Have W&B's agent start a run, as if its server had asked for it, and return the process."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "WANDB_SWEEP_ID": "sw33p1d0"}
    for name, value in (environment | {"WANDB_DIR": str(tmp_path), "WANDB_MODE": "offline"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_RUN_ID", "")  # both are set by the agent, and are to be gone after the test
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", "")
    monkeypatch.chdir(ROOT)
    agent = Agent(api=None, queue=None, sweep_id="sw33p1d0")

    def call(name: str, suggested: dict[str, Any], *more: str) -> Any:
        fast = ["callbacks=[checkpoint]", "trainer.max_epochs=2", f"paths.run={tmp_path / name}"]
        own = sweep["command"].index("${args_no_hyphens}")
        agent._sweep_command = [*sweep["command"][:own], *dataset, *fast, *more, *sweep["command"][own:]]
        arguments = {key: {"value": value} for key, value in suggested.items()}
        command = {"type": "run", "run_id": name, "program": sweep["program"], "args": arguments}
        answer = agent._process_command(command)
        assert "exception" not in answer, answer
        return agent._run_processes[name]

    yield call
    for process in agent._run_processes.values():
        process.kill()
        process.wait()


def test_the_agents_run_has_its_id_its_parameters_and_its_metric(sweep, start, tmp_path, capfd) -> None:
    assert start("ag3nt1d0", SUGGESTED).wait() == 0
    (piece,) = read_pieces(tmp_path / "ag3nt1d0")
    assert (piece.run.run_id, piece.run.sweep_id, piece.exit_code) == ("ag3nt1d0", "sw33p1d0", 0)
    assert {key: piece.config[key] for key in SUGGESTED} == SUGGESTED
    assert piece.config["optimizer"]["lr"] == SUGGESTED["optimizer.lr"]
    assert piece.config["model.hidden_size"] > 0
    assert "data_hash" in piece.config
    metrics = json.loads((tmp_path / "ag3nt1d0/metrics.json").read_text())
    assert [row for row in piece.rows if sweep["metric"]["name"] in row][-1][sweep["metric"]["name"]] == pytest.approx(
        metrics[sweep["metric"]["name"]]
    )
    error = capfd.readouterr().err
    assert "locked by" not in error
    assert "Ignoring" not in error
    assert error.count("W&B is offline: as you asked; upload with: wandb sync ") == 1
    assert "/offline-run-*-ag3nt1d0\n" in error


def test_a_run_that_is_ended_early_has_saved_and_goes_on_under_the_same_id(
    start, command, tmp_path, monkeypatch
) -> None:
    process = start("ended", SUGGESTED, "trainer.max_epochs=500")
    rows = tmp_path / "ended/csv/metrics.csv"
    while not (rows.is_file() and rows.read_text().count("\n") > 3):
        assert process.poll() is None
        time.sleep(0.1)
    process.terminate()  # what the agent does when the server says so
    assert process.wait() == 128 + signal.SIGTERM
    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.delenv(name)
    epochs = len({row["epoch"] for row in read_pieces(tmp_path / "ended")[0].rows if "train/loss" in row})
    result = command("train", f"resume={tmp_path / 'ended'}", f"trainer.max_epochs={epochs + 1}")
    assert result.code == 0, result.err
    assert {piece.run.run_id for piece in read_pieces(tmp_path / "ended")} == {"ended"}


@pytest.mark.parametrize("end", ["first", "last"])
def test_every_end_of_the_space_trains(sweep, start, end: str) -> None:
    places = {"first": ("min", 0), "last": ("max", -1)}
    bound, place = places[end]
    suggested = {
        name: space["values"][place] if "values" in space else space[bound]
        for name, space in sweep["parameters"].items()
    }
    numbers = [space[key] for space in sweep["parameters"].values() for key in ("min", "max") if key in space]
    assert all(isinstance(number, float | int) for number in numbers)
    assert start(end, suggested, "debug=fast").wait() == 0


def test_the_metric_is_the_one_that_picks_the_checkpoint(sweep) -> None:
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        config = compose("train")
    assert sweep["metric"]["name"] == config.monitor
    assert sweep["metric"]["goal"] == f"{config.mode}imize"
