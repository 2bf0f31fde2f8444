"""Commands that are interrupted, killed and sabotaged, and what resume= makes of it."""

import json
import os
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command, run
from interruption import same
from processes import Process

from my_project.tasks import Task

ROOT = Path(__file__).parent.parent
SHORT = ["model=bow", "data.batch_size=24", "trainer.max_epochs=3", "seed=7", "logger=[csv]"]
SHORT += ["callbacks.last_checkpoint.every_n_steps=1"]
STEPS = 18


def left(run: Path) -> dict[str, Any]:
    """Return what a run has left: metrics, the CSV file and weights."""
    content: dict[str, Any] = {"csv": (run / "csv/metrics.csv").read_text()}
    content["metrics"] = json.loads((run / "metrics.json").read_text())
    for name in ("best", "last"):
        checkpoint = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)
        content[name] = {key: checkpoint[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch")}
    return content


def rows(run: Path) -> int:
    """Return how many lines its CSV file has."""
    file = run / "csv/metrics.csv"
    return file.read_text().count("\n") if file.exists() else 0


def at_step(number: int, happens: Callable[[], Any]) -> None:
    """Let something happen at the start of a step, counted from one."""
    original, count = Task.training_step, iter(range(1, 10**6))

    def training_step(self: Task, *args: Any) -> Any:
        if next(count) == number:
            happens()
        return original(self, *args)

    Task.training_step = training_step  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def whole(dataset: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run that nothing interrupts leaves."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder, "train", *dataset, *SHORT, f"paths.run={folder / 'run'}") == 0
    return left(folder / "run")


def test_a_run_that_is_killed_goes_on_with_its_own_options(command: Command, dataset, tmp_path, whole) -> None:
    process = Process(tmp_path, "train", *dataset, *SHORT)
    process.until(lambda: any(rows(path.parent.parent) > 2 for path in tmp_path.glob("runs/*/*/csv/metrics.csv")))
    process.send(signal.SIGKILL)
    assert process.wait().code == -signal.SIGKILL
    (killed,) = tmp_path.glob("runs/*/*")
    assert not (killed / "metrics.json").exists()
    result = command("train", "resume=auto")  # neither the dataset, nor the model, nor the seed
    assert result.code == 0, result.err
    assert re.search(rf"Resuming from {killed}/checkpoints/last.ckpt, .*epoch [123]/3.* step \d+\n", result.err)
    assert "Changed since" not in result.err
    assert same(left(killed), whole)
    assert list(tmp_path.glob("runs/*/*")) == [killed]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_and_the_line_that_it_prints_goes_on(
    command: Command, dataset, tmp_path, whole, number: signal.Signals
) -> None:
    process = Process(tmp_path, "train", *dataset, *SHORT, f"paths.run={tmp_path / 'run'}")
    process.until(lambda: rows(tmp_path / "run") > 1)
    process.send(number)
    result = process.wait()
    assert result.code == 128 + number
    last = result.err.splitlines()[-1]
    printed = re.fullmatch(rf"train.py: interrupted by {number.name}; go on with: python train.py (\S+)", last)
    assert printed, result.err
    assert "Traceback" not in result.err
    assert command("train", printed[1]).code == 0
    assert same(left(tmp_path / "run"), whole)


def hang() -> None:
    def happens() -> None:
        while True:
            signal.pause()

    at_step(5, happens)


def test_a_second_ctrl_c_ends_a_command_at_once(command: Command, dataset, tmp_path, whole) -> None:
    process = Process(tmp_path, "train", *dataset, *SHORT, f"paths.run={tmp_path / 'run'}", sabotage=hang)
    process.until(lambda: (tmp_path / "run/checkpoints/last.ckpt").exists())
    process.send(signal.SIGINT)
    process.until(lambda: "send it again to stop at once" in process.err.read_text())
    process.send(signal.SIGINT)
    result = process.wait()
    assert result.code == 128 + signal.SIGINT
    assert "Traceback" not in result.err
    assert command("train", f"resume={tmp_path / 'run'}").code == 0
    assert same(left(tmp_path / "run"), whole)


def die_amid_a_checkpoint() -> None:
    original, count = torch.save, iter(range(1, 10**6))

    def save(content: Any, file: Any) -> None:
        original(content, file)
        if next(count) == 8:
            file.truncate(file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = save


def die_amid_the_csv_file() -> None:
    from my_project.csv_log import Writer

    original, count = Writer.save, iter(range(1, 10**6))

    def save(self: Writer) -> None:
        original(self)
        if self.metrics_keys and next(count) == 4:
            with open(self.metrics_file_path, "a") as file:
                file.write("0.123,")
            os.kill(os.getpid(), signal.SIGKILL)

    Writer.save = save  # type: ignore[method-assign]


def die_amid_the_test() -> None:
    def test_step(self: Task, *args: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    Task.test_step = test_step  # type: ignore[method-assign]


@pytest.mark.parametrize("sabotage", [die_amid_a_checkpoint, die_amid_the_csv_file, die_amid_the_test])
def test_a_run_that_dies_while_it_writes_goes_on(command: Command, dataset, tmp_path, whole, sabotage) -> None:
    process = Process(tmp_path, "train", *dataset, *SHORT, f"paths.run={tmp_path / 'run'}", sabotage=sabotage)
    assert process.wait().code == -signal.SIGKILL
    result = command("train", f"resume={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert "damaged" not in result.err
    assert same(left(tmp_path / "run"), whole)


def fill_the_disk() -> None:
    def happens() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    at_step(9, happens)


def test_a_full_disk_ends_a_run_in_one_line_and_its_last_checkpoint_is_good(
    command: Command, dataset, tmp_path, whole
) -> None:
    process = Process(tmp_path, "train", *dataset, *SHORT, f"paths.run={tmp_path / 'run'}", sabotage=fill_the_disk)
    result = process.wait()
    assert result.code == 2
    assert "Traceback" not in result.err
    last = result.err.splitlines()[-1]
    assert last.startswith("train.py: ")
    assert "last.ckpt could not be written (" in last
    assert last.endswith("of an earlier step is still good; make room, then resume")
    assert {path.name for path in (tmp_path / "run/checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 8
    assert command("train", f"resume={tmp_path / 'run'}").code == 0
    assert same(left(tmp_path / "run"), whole)


def test_an_exception_leaves_a_run_that_goes_on(command: Command, dataset, tmp_path, whole, monkeypatch) -> None:
    def happens() -> None:
        raise ArithmeticError("Something breaks.")

    monkeypatch.setattr(Task, "training_step", Task.training_step)  # to be put back
    at_step(9, happens)
    result = command("train", *dataset, *SHORT, f"paths.run={tmp_path / 'run'}")
    assert (result.code, "ArithmeticError" in result.err) == (1, True)
    assert command("train", "resume=auto", f"paths.run={tmp_path / 'run'}").code == 0
    assert same(left(tmp_path / "run"), whole)
