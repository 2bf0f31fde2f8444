import csv
import json
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from commands import ROOT
from interruption import at_step
from processes import Process
from wandb_files import read_pieces

FAST = ["model=bow", "logger=[csv,wandb]", "callbacks=[checkpoint]", "trainer.max_epochs=2"]
KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path, monkeypatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_ENTITY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home/.netrc"))


def numbers(row: dict) -> dict[str, float]:
    """Return a row's metrics, from either of them, under the CSV file's names."""
    named = {"step" if name == "trainer/global_step" else name: value for name, value in row.items()}
    return {name: float(value) for name, value in named.items() if value != "" and not name.startswith("_")}


def rows_of(run: Path) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Return the rows that W&B and the CSV files have of a run."""
    expected = [numbers(row) for file in run.glob("csv/*.csv") for row in csv.DictReader(file.open())]
    return [numbers(row) for piece in read_pieces(run) for row in piece.metrics], expected


def values(rows: list[dict[str, float]]) -> list[tuple[float, str, float]]:
    """Return the values by step, with the step, each as often as it was logged."""
    return sorted(
        (row["step"], name, value) for row in rows for name, value in row.items() if name not in ("step", "epoch")
    )


def stop_in_the_last_epoch() -> None:
    at_step(14, stop)  # of four steps each


def stop() -> None:
    print("stopped", file=sys.stderr)
    time.sleep(60)


def test_an_offline_run_is_the_run(command, dataset, tmp_path) -> None:
    run = tmp_path / "a run"
    callbacks = "callbacks=[checkpoint,learning_rate,gradient_norm]"
    about = ["tags=[small,first]", "group=trials", "job_type=study", "name=mine", "trainer.log_every_n_steps=3"]
    result = command("train", *dataset, *FAST, callbacks, *about, f"paths.run={run}")
    assert result.code == 0, result.err
    (piece,) = read_pieces(run)
    logged, expected = rows_of(run)
    assert values(logged) == values(expected)
    assert {"gradient_norm", "train/loss", "val/accuracy", "test/loss", "epoch", "step"} <= set().union(*logged)
    assert (list(piece.run.tags), piece.run.run_group, piece.run.job_type) == (["small", "first"], "trials", "study")
    assert piece.run.display_name == "mine"
    assert piece.config["data"]["batch_size"] == 32
    assert piece.config["optimizer"]["lr"] == 1e-3
    folder = next(option.removeprefix("data.dir=") for option in dataset if option.startswith("data.dir="))
    assert piece.config["data_hash"] == json.loads(Path(folder, "dataset.json").read_text())["hash"]
    assert piece.exit_code == 0
    assert not piece.artifacts
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode == 0 and Path.cwd() == ROOT:
        assert piece.run.git.commit == git.stdout.strip()
    assert len([line for line in result.err.splitlines() if "wandb" in line]) == 1, result.err
    assert f"upload with: wandb sync '{run}/wandb'/offline-run-*-{piece.run.run_id}\n" in result.err
    assert (run / "train.log").read_text().count("wandb sync") == 1


def test_a_run_that_was_killed_goes_on_as_the_same_run_and_repeats_no_row(command, dataset, tmp_path) -> None:
    run = tmp_path / "run"
    options = ["callbacks.last_checkpoint.every_n_epochs=2", "+callbacks.checkpoint.every_n_epochs=4"]
    options += ["trainer.max_epochs=4", f"paths.run={run}"]
    killed = Process(tmp_path, "train", *dataset, *FAST, *options, sabotage=stop_in_the_last_epoch)
    killed.until(lambda: "stopped\n" in killed.err.read_text())
    time.sleep(1)  # what W&B may keep in memory for a fifth of a second
    killed.send(signal.SIGKILL)
    killed.wait()
    assert [row["epoch"] for row in read_pieces(run)[0].rows if "train/loss" in row] == [0, 1, 2]
    result = command("train", f"resume={run}")
    assert result.code == 0, result.err
    assert "end of epoch 2/4" in result.err  # the third has to be repeated
    assert "Changed since" not in result.err
    first, second = read_pieces(run)
    assert first.run.run_id == second.run.run_id == (run / "wandb/id.txt").read_text().strip()
    logged, expected = rows_of(run)
    ends = [row["epoch"] for row in logged if "train/loss" in row]
    assert ends == [0, 1, 2, 3]
    assert set(values(logged)) == set(values(expected))


def test_the_jobs_of_a_sweep_are_runs_of_one_group(command, dataset, tmp_path) -> None:
    sweep = tmp_path / "runs" / "my sweep"
    result = command("train", "-m", *dataset, *FAST, "seed=1,2", f"paths.run={sweep}")
    assert result.code == 0, result.err
    (one,), (two,) = (read_pieces(sweep / job) for job in "01")
    assert one.run.run_group == two.run.run_group == "my sweep"
    assert one.run.run_id != two.run.run_id
    assert [one.config["seed"], two.config["seed"]] == [1, 2]
    assert one.exit_code == two.exit_code == 0
    for logged, expected in (rows_of(sweep / job) for job in "01"):
        assert values(logged) == values(expected)


def test_a_job_that_fails_is_a_failed_run(command, dataset, tmp_path) -> None:
    sweep = tmp_path / "sweep"
    broken = ["callbacks.checkpoint.monitor=nothing", "seed=1,2"]
    assert command("train", "-m", *dataset, *FAST, *broken, f"paths.run={sweep}").code == 1
    assert [read_pieces(sweep / job)[0].exit_code for job in "01"] == [1, 1]


def test_the_best_checkpoint_becomes_an_artifact_on_request(command, dataset, tmp_path) -> None:
    run = tmp_path / "run"
    result = command("train", *dataset, *FAST, "logger.wandb.log_model=true", f"paths.run={run}")
    assert result.code == 0, result.err
    (piece,) = read_pieces(run)
    (artifact,) = piece.artifacts
    (file,) = artifact.manifest.contents
    assert (artifact.type, file.path) == ("model", "model.ckpt")
    assert file.size == (run / "checkpoints/best.ckpt").stat().st_size


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "there is no key (wandb login, or WANDB_API_KEY)"),
        ({"WANDB_API_KEY": KEY, "HTTPS_PROXY": "http://127.0.0.1:9"}, "does not answer"),
        ({"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9 does not answer"),
        ({"WANDB_MODE": "offline"}, "as you asked"),
    ],
)
def test_without_a_key_or_a_network_a_line_says_so_and_nobody_waits(
    command, dataset, tmp_path, monkeypatch, environment: dict[str, str], why: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    started = time.monotonic()
    result = command("train", *dataset, *FAST, "debug=fast", f"paths.run={tmp_path / 'run'}")
    assert time.monotonic() - started < 15
    assert result.code == 0, result.err
    (line,) = [line for line in result.err.splitlines() if "W&B" in line]
    assert line.startswith("W&B is offline: ")
    assert f"{why}; upload with: wandb sync " in line
    assert read_pieces(tmp_path / "run")[0].rows


def test_a_server_that_takes_the_call_and_says_nothing_is_given_up(command, dataset, tmp_path, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        started = time.monotonic()
        result = command("train", *dataset, *FAST, "debug=fast", f"paths.run={tmp_path / 'run'}")
        assert time.monotonic() - started < 15
    assert "does not answer; upload with" in result.err


def test_a_key_that_is_none_is_told_and_the_run_goes_on(command, dataset, tmp_path, monkeypatch) -> None:
    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}")
        result = command("train", *dataset, *FAST, "debug=fast", f"paths.run={tmp_path / 'run'}")
        server.shutdown()
    assert result.code == 0, result.err
    (line,) = [line for line in result.err.splitlines() if "W&B" in line]
    assert "W&B is offline: " in line
    assert "401" in line or "API key" in line
    assert KEY not in result.err


def test_two_processes_are_one_run(command, dataset, tmp_path) -> None:
    run = tmp_path / "run"
    result = command("train", *dataset, *FAST, "trainer=ddp_cpu", f"paths.run={run}")
    assert result.code == 0, result.err
    (piece,) = read_pieces(run)
    logged, expected = rows_of(run)
    assert values(logged) == values(expected)
    assert piece.exit_code == 0
    assert result.err.count("W&B is offline") == 1
