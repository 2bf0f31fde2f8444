"""Trainings in several processes: the same results, one run, and an end that takes all of them along."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from commands import HERE, ROOT, Command, Result
from interruption import same
from kindling.project import trust
from processes import Process
from pytorch_lightning import Callback, LightningModule, Trainer

trust("test_processes")  # whose callbacks stand in the options of runs that are resumed
TWO = ["trainer=ddp_cpu", "trainer.devices=2"]
# 125 texts train: four batches of 31 and one that leaves the second process without a text. 13 validate, 12 test.
UNEVEN = ["model=bow", "data.batch_size=31", "trainer.max_epochs=3", "logger=[csv]", "optimizer.lr=0.01"]
# In double precision what other orders of summation leave is far below what a wrong weight would do: 1e-12 in the
# weights; metrics are kept in single precision, whose numbers are 1.2e-7 apart.
EXACT = [*UNEVEN, "model.dropout=0", "trainer.precision=64-true"]
ROUNDING = 5e-7
ENV = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(HERE), str(Path(__file__).parent)])}


class Trouble(Callback):
    """Something happens to one process at its second step."""

    def __init__(self, rank: int, what: str) -> None:
        self.rank = rank
        self.what = what

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_rank == self.rank and trainer.global_step == 1:
            if self.what == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ArithmeticError("the second process can't divide")


class Forever(Callback):
    """A training whose first process says who its processes are, and that takes its time."""

    def __init__(self, path: str, seconds: float = 0.05) -> None:
        self.path = Path(path)
        self.seconds = seconds

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        Path(f"{self.path}{trainer.global_rank}").write_text(str(os.getpid()))
        time.sleep(self.seconds)


def metrics(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.json").read_text())


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]


def train(folder: Path, *options: str) -> Result:
    return Process(folder, "train", f"paths.runs={folder}", *options).wait(400)


@pytest.fixture(scope="module")
def run_of(dataset, tmp_path_factory) -> Callable[..., Path]:
    """The folder of a training with these options, done once."""
    done: dict[tuple[str, ...], Path] = {}

    def make(*options: str) -> Path:
        if options not in done:
            folder = tmp_path_factory.mktemp("run")
            ended = train(folder, *dataset, *options, f"paths.run={folder / 'run'}")
            assert ended.code == 0, ended.err
            (folder / "said.txt").write_text(ended.out + ended.err)
            done[options] = folder / "run"
        return done[options]

    return make


def test_two_processes_reach_the_metrics_of_one(run_of) -> None:
    one, two = (metrics(run_of(*EXACT, *more)) for more in ([], TWO))
    assert two == pytest.approx(one, rel=ROUNDING, abs=ROUNDING)
    other = metrics(run_of(*EXACT, "data.batch_size=32"))
    assert other != pytest.approx(one, rel=1e-6, abs=1e-6)


def test_weights_and_every_epoch_agree_too(run_of) -> None:
    one, two = run_of(*EXACT), run_of(*EXACT, *TWO)
    for name, weight in weights(one).items():
        assert torch.allclose(weights(two)[name], weight, rtol=1e-9, atol=1e-9), name
    rows = [pd.read_csv(run / "csv/metrics.csv") for run in (one, two)]
    pd.testing.assert_frame_equal(rows[1], rows[0], rtol=ROUNDING, check_like=True)


def test_predictions_are_gathered_in_the_order_of_the_dataset_and_none_twice(run_of) -> None:
    one, two = (pd.read_csv(run_of(*EXACT, *more) / "predictions.csv") for more in ([], TWO))
    assert two["row"].is_monotonic_increasing and two["row"].is_unique
    accuracy = (two["actual"] == two["predicted"]).mean()
    assert accuracy == pytest.approx(metrics(run_of(*EXACT, *TWO))["test/accuracy"], abs=1e-6)
    pd.testing.assert_frame_equal(two, one, rtol=1e-5)


def test_several_processes_are_one_run(run_of) -> None:
    run = run_of(*EXACT, *TWO)
    said = (run.parent / "said.txt").read_text()
    assert [path.name for path in run.parent.iterdir() if path.is_dir()] == ["run"]
    assert said.count("BagOfWords, ") == said.count("Metrics: ") == 1
    assert said.count("epoch 1/3") == (run / "train.log").read_text().count("epoch 1/3") == 1
    assert "Warning" not in said
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert (run.parent / ".number").read_text() == "1\n"


def test_a_sweep_of_trainings_in_two_processes_makes_each_job_once_as_if_alone(dataset, run_of, tmp_path) -> None:
    options = [*UNEVEN, *TWO]  # with dropout
    sweep = tmp_path / "sweep"
    ended = train(tmp_path, "-m", *dataset, *options, "seed=1,2", f"paths.run={sweep}")
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["0", "1"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["sweep"]
    assert same(weights(sweep / "1"), weights(run_of(*options, "seed=2")))
    assert metrics(sweep / "1") == metrics(run_of(*options, "seed=2"))
    assert not same(weights(sweep / "0"), weights(sweep / "1"))


def test_a_process_that_fails_or_dies_ends_its_job_at_once_and_the_sweep_goes_on(dataset, tmp_path) -> None:
    trouble = "{_target_:test_processes.Trouble,rank:1,what:%s}"
    troubles = f"+callbacks.trouble={trouble % 'fails'},{trouble % 'dies'}"
    options = [*UNEVEN, *TWO, troubles, "trainer.max_epochs=2000"]
    ended = train(tmp_path, "-m", *dataset, *options, f"paths.run={tmp_path / 'sweep'}")
    assert ended.code == 1
    told = (
        "ArithmeticError: the second process can't divide",
        "process 1 of 2 was killed by SIGKILL; was there enough memory?",
    )
    for job, line in enumerate(told):
        assert line in (tmp_path / f"sweep/{job}/error.txt").read_text()
        assert f"Job {job} failed" in ended.err
    assert "in on_train_batch_start\n    raise ArithmeticError" in ended.err
    assert "Connection closed" not in ended.err


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_none_is_left(folder: Path) -> None:
    ranks = [int((folder / f"rank{rank}").read_text()) for rank in (0, 1)]
    end = time.monotonic() + 10
    while any(map(is_alive, ranks)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_alive, ranks))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_however_it_ends(dataset, tmp_path, monkeypatch, number: signal.Signals) -> None:
    monkeypatch.setenv("PYTHONPATH", ENV["PYTHONPATH"])
    forever = "+callbacks.forever={_target_:test_processes.Forever,path:" + str(tmp_path) + "/rank}"
    options = [*dataset, *UNEVEN, *TWO, "trainer.max_epochs=1000", forever, f"paths.run={tmp_path / 'run'}"]
    process = Process(tmp_path, "train", *options)
    process.until(lambda: all((tmp_path / f"rank{rank}").exists() for rank in (0, 1)), 300)
    time.sleep(0.2)
    process.send(number)
    result = process.wait(300)
    assert_none_is_left(tmp_path)
    if number == signal.SIGKILL:
        assert result.code == -number
    else:
        assert result.code == 128 + number, result.err
        assert f"interrupted by {number.name}; go on with: python train.py resume=" in result.err
        assert "Traceback" not in result.err


@pytest.fixture(scope="module")
def interrupted(dataset, tmp_path_factory) -> Path:
    """The folder of a training in two processes that a signal has ended."""
    folder = tmp_path_factory.mktemp("interrupted")
    slow = "+callbacks.forever={_target_:test_processes.Forever,seconds:0.4,path:" + str(folder) + "/rank}"
    process = Process(folder, "train", *dataset, *EXACT, *TWO, slow, f"paths.run={folder / 'run'}")
    process.until(lambda: (folder / "run/checkpoints/last.ckpt").exists(), 300)
    process.send(signal.SIGTERM)
    assert process.wait(300).code == 128 + signal.SIGTERM
    if sys.platform == "linux":
        assert_none_is_left(folder)
    return folder / "run"


@pytest.mark.parametrize("later", [[], ["trainer.devices=1"]], ids=["two", "one"])
def test_an_interrupted_training_goes_on_with_as_many_processes_or_fewer(
    command: Command, run_of, interrupted: Path, tmp_path, monkeypatch, later: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", ENV["PYTHONPATH"])
    whole = run_of(*EXACT, *TWO)
    shutil.copytree(interrupted, tmp_path / "run")
    result = command("train", f"resume={tmp_path / 'run'}", *later)
    assert result.code == 0, result.err
    if later:
        assert metrics(tmp_path / "run") == pytest.approx(metrics(whole), rel=ROUNDING, abs=ROUNDING)
    else:
        assert metrics(tmp_path / "run") == metrics(whole)
        assert same(weights(tmp_path / "run"), weights(whole))


def test_a_run_of_two_processes_is_repeated_to_the_last_bit(command: Command, run_of, tmp_path) -> None:
    result = command("train", f"rerun={run_of(*UNEVEN, *TWO, 'seed=2')}", f"paths.run={tmp_path / 'again'}")
    assert result.code == 0, result.err
    assert "to the last bit: 6 metrics" in result.err


def test_two_processes_test_a_checkpoint(command: Command, run_of) -> None:
    run = run_of(*EXACT)
    result = command("evaluate", f"checkpoint={run}", *TWO)
    assert result.code == 0, result.err
    found = json.loads((run / "checkpoints/evaluation.json").read_text())
    assert found == pytest.approx({name: metrics(run)[name] for name in found}, rel=ROUNDING)


def test_torchrun_starts_processes_that_share_a_folder(dataset, run_of, tmp_path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "train.py"]
    command = [*torchrun, *dataset, *EXACT, *TWO, f"paths.runs={tmp_path}"]
    ended = subprocess.run(command, cwd=ROOT, env=ENV, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (file,) = tmp_path.glob("*/*/metrics.json")
    assert metrics(file.parent) == metrics(run_of(*EXACT, *TWO))
    assert len(list(tmp_path.glob("*/*"))) == 1
    refused = subprocess.run(
        [*torchrun, "-m", "seed=1,2"], cwd=ROOT, env=ENV, capture_output=True, text=True, check=False
    )
    assert refused.stderr.count("train.py: -m: a sweep starts its processes itself; start it without torchrun") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["trainer.num_nodes=2"], "trainer.num_nodes=2: nothing tells where the other nodes are"),
        (["trainer=ddp_cpu", "data.folds=120"], " in the val split are not enough for 2 processes"),
        (["trainer=ddp_cpu", "trainer.devices=0"], "trainer: "),
        (["trainer=ddp_cpu", "trainer.strategy=dpp"], "trainer: You selected an invalid strategy name"),
    ],
)
def test_mistakes_with_processes_are_one_line(command: Command, dataset, tmp_path, options, told: str) -> None:
    result = command("train", *dataset, "model=bow", *options)
    assert result.code == 2
    assert told in result.err
    assert result.err.count("train.py: ") == 1
    assert "Traceback" not in result.err
    assert not list(tmp_path.glob("runs/*/*"))
