"""Commands that are interrupted, killed and sabotaged, and what resume= makes of it."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import ROOT, Command, run
from interruption import SHORT, at_step, hang, rows, same, wait
from my_project.tasks import Task
from processes import Process


def left(run: Path) -> dict[str, Any]:
    """Return what a run has left: metrics, the CSV file and weights."""
    content: dict[str, Any] = {"csv": (run / "csv/metrics.csv").read_text()}
    content["metrics"] = json.loads((run / "metrics.json").read_text())
    for name in ("best", "last"):
        checkpoint = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)
        content[name] = {key: checkpoint[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch")}
    return content


@pytest.fixture(scope="module")
def whole(dataset: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run that nothing interrupts leaves."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder, "train", *dataset, *SHORT, f"paths.run={folder / 'run'}") == 0
    return left(folder / "run")


def test_a_run_that_is_killed_goes_on_with_its_own_options(command: Command, dataset, tmp_path, whole) -> None:
    process = Process(tmp_path, "train", *dataset, *SHORT, sabotage=wait)
    process.until(lambda: any(rows(path.parent.parent) > 1 for path in tmp_path.glob("runs/*/*/csv/metrics.csv")))
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
    process = Process(tmp_path, "train", *dataset, *SHORT, f"paths.run={tmp_path / 'run'}", sabotage=wait)
    process.until(lambda: "waits\n" in process.err.read_text())
    process.send(number)
    result = process.wait()
    assert result.code == 128 + number
    last = result.err.splitlines()[-1]
    printed = re.fullmatch(rf"train.py: interrupted by {number.name}; go on with: python train.py (\S+)", last)
    assert printed, result.err
    assert "Traceback" not in result.err
    assert command("train", printed[1]).code == 0
    assert same(left(tmp_path / "run"), whole)


def wait_with_workers() -> None:
    """Wait, as `wait` does, in a group of processes of its own, of which the workers are members."""
    os.setpgrp()
    wait()


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals are not held back here")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_ends_training_with_workers_as_without(dataset, tmp_path, number: signal.Signals) -> None:
    options = [*SHORT, "data.num_workers=2", f"paths.run={tmp_path / 'run'}"]
    process = Process(tmp_path, "train", *dataset, *options, sabotage=wait_with_workers)
    process.until(lambda: "waits\n" in process.err.read_text())
    os.killpg(process._process.pid, number)
    result = process.wait()
    assert result.code == 128 + number, result.err
    assert result.err.splitlines()[-1].startswith(f"train.py: interrupted by {number.name}; go on with:")
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "interrupted"
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 9


def test_a_second_ctrl_c_ends_a_command_at_once(command: Command, dataset, tmp_path, whole) -> None:
    process = Process(tmp_path, "train", *dataset, *SHORT, f"paths.run={tmp_path / 'run'}", sabotage=hang)
    process.until(lambda: "hangs\n" in process.err.read_text())
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
    from kindling.loggers.csv import Writer

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


@pytest.mark.parametrize(
    ("sabotage", "workers"),
    [(die_amid_a_checkpoint, 0), (die_amid_a_checkpoint, 2), (die_amid_the_csv_file, 0), (die_amid_the_test, 0)],
)
def test_a_run_that_dies_while_it_writes_goes_on(
    command: Command, dataset, tmp_path, whole, sabotage, workers: int
) -> None:
    options = [*dataset, *SHORT, f"data.num_workers={workers}", f"paths.run={tmp_path / 'run'}"]
    process = Process(tmp_path, "train", *options, sabotage=sabotage)
    assert process.wait().code == -signal.SIGKILL
    result = command("train", f"resume={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert "damaged" not in result.err
    assert same(left(tmp_path / "run"), whole)


def fill_the_disk() -> None:
    import resource  # Windows has none

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


@pytest.fixture(scope="module")
def broken_once(dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def happens() -> None:
        raise ArithmeticError("Something breaks.")

    folder = tmp_path_factory.mktemp("broken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "training_step", Task.training_step)  # to be put back
        at_step(9, happens)
        assert run(folder, "train", *dataset, *SHORT, f"paths.run={folder / 'runs/a'}") == 1
    return folder / "runs"


@pytest.fixture
def broken(broken_once: Path, tmp_path) -> Path:
    """The folder of a run that broke in its second epoch, a copy for each test."""
    return shutil.copytree(broken_once, tmp_path / "runs") / "a"


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_was_moved_goes_on(command: Command, broken: Path, tmp_path, whole) -> None:
    moved = broken.rename(tmp_path / "another name = with, signs")
    assert command("train", f"resume='{moved}'").code == 0
    assert same(left(moved), whole)


def test_a_checkpoint_without_its_run_goes_on_in_a_new_folder(command: Command, broken: Path, tmp_path, whole) -> None:
    shutil.move(broken / "checkpoints/last.ckpt", tmp_path / "copy.ckpt")
    shutil.rmtree(tmp_path / "runs")
    result = command("train", f"resume={tmp_path / 'copy.ckpt'}")
    assert result.code == 0, result.err
    (new,) = tmp_path.glob("runs/*/*/checkpoints/last.ckpt")
    assert same(torch.load(new, weights_only=True)["state_dict"], whole["last"]["state_dict"])


def test_options_that_are_given_with_resume_win_and_the_changes_are_told(command: Command, broken: Path) -> None:
    result = command("train", "resume=auto", "trainer.max_epochs=4", "data.num_workers=1")
    assert result.code == 0, result.err
    line = next(line for line in result.err.splitlines() if line.startswith("Changed since: "))
    assert line == "Changed since: data.num_workers 0 -> 1, trainer.max_epochs 3 -> 4"
    last = torch.load(broken / "checkpoints/last.ckpt", weights_only=True)
    assert (last["epoch"], last["global_step"]) == (3, 24)
    assert last["config"]["seed"] == 7


def test_a_learning_rate_that_does_not_count_is_told(command: Command, broken: Path) -> None:
    told = "The learning rate stays that of the checkpoint; checkpoint_io=new_learning_rate takes the new one"
    result = command("train", "resume=auto", "optimizer.lr=1e-5")
    assert told in result.err
    assert torch.load(broken / "checkpoints/last.ckpt")["lr_schedulers"][0]["base_lrs"] == [1e-3]


def test_a_damaged_checkpoint_is_named_and_an_older_one_taken(command: Command, broken: Path, whole) -> None:
    last = broken / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    result = command("train", "resume=auto")
    assert result.code == 0, result.err
    assert f"{last} is damaged and is left aside" in result.err
    assert f"Resuming from {broken}/checkpoints/best.ckpt, the end of epoch 1/3, step 6" in result.err
    assert same(left(broken), whole)


def test_a_byte_that_the_disk_has_changed_is_found(command: Command, broken: Path, whole) -> None:
    last = broken / "checkpoints/last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 255  # in a tensor
    last.write_bytes(content)
    torch.load(last, weights_only=True)  # does not find it
    result = command("train", "resume=auto")
    assert result.code == 0, result.err
    assert f"{last} is damaged and is left aside" in result.err
    assert same(left(broken), whole)


def test_a_run_of_which_every_checkpoint_is_damaged_is_left_as_it_is(command: Command, broken: Path) -> None:
    for path in (broken / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    before = files(broken)
    result = command("train", "resume=auto")
    assert result.code == 2
    last = result.err.splitlines()[-1]
    assert last == f"train.py: {broken}: every checkpoint is damaged; begin anew without resume"
    assert files(broken) == before


def write_damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def write_text(path: Path) -> None:
    path.write_text("not a checkpoint\n")


def write_weights(path: Path) -> None:
    torch.save(torch.load(path)["state_dict"], path)


def write_objects(path: Path) -> None:
    torch.save(torch.load(path) | {"more": Path()}, path)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (write_damaged, "not a checkpoint that can be opened"),
        (write_text, "not a checkpoint that can be opened"),
        (write_objects, "not a checkpoint that can be opened"),
        (write_weights, "not a checkpoint that train.py wrote"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(command: Command, broken: Path, write, says: str) -> None:
    file = broken / "checkpoints/last.ckpt"
    write(file)
    before = files(broken)
    result = command("train", f"resume={file}")
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line.startswith(f"train.py: resume={file}: {says}")
    assert files(broken) == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["resume={runs}/b"], "train.py: resume={runs}/b: no such run; did you mean {runs}/a?"),
        (["resume={runs}/a/train.log"], "train.py: resume={runs}/a/train.log: not a checkpoint"),
        (["resume=auto", "-m"], "train.py: resume=auto: one run can be resumed at a time; leave out -m"),
        (["resume=auto", "paths.runs={runs}/none"], "train.py: resume=auto: there is no run in {runs}/none"),
        (["resume=auto", "paths.run={runs}/a", "model=lstm"], "does not fit"),
    ],
    ids=lambda value: "",
)
def test_what_cannot_be_resumed_is_told_in_one_line_and_nothing_is_lost(
    command: Command, broken: Path, options: list[str], says: str
) -> None:
    before = files(broken / "checkpoints"), (broken / "csv/metrics.csv").read_text()
    result = command("train", *(option.format(runs=broken.parent) for option in options))
    assert result.code == 2
    assert says.format(runs=broken.parent) in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert (files(broken / "checkpoints"), (broken / "csv/metrics.csv").read_text()) == before


def test_a_dataset_that_has_changed_is_not_trained_on_further(
    command: Command, broken: Path, dataset, tmp_path
) -> None:
    source = Path(next(item for item in dataset if item.startswith("data.path=")).partition("=")[2])
    path = tmp_path / "more.csv"
    path.write_text(source.read_text() + "great lovely film 150,good\n")
    options = [f"data.path={path}", f"data.dir={tmp_path / 'more'}"]
    assert command("make_dataset", *dataset, *options).code == 0
    before = files(broken / "checkpoints")
    result = command("train", "resume=auto", *options)
    assert result.code == 2
    assert result.err.splitlines()[-1] == (
        f"train.py: {tmp_path / 'more'} has changed since the checkpoint was saved; "
        "begin anew, or with init=... to keep the weights alone"
    )
    assert files(broken / "checkpoints") == before


def test_a_checkpoint_of_weights_alone_is_evaluated_and_not_resumed(command: Command, dataset, tmp_path) -> None:
    run = tmp_path / "run"
    options = ["model=bow", "logger=[csv]", "trainer.max_epochs=1", f"paths.run={run}"]
    assert command("train", *dataset, *options, "checkpoint_io=weights").code == 0
    before = files(run / "checkpoints")
    result = command("train", f"resume={run}")
    assert result.code == 2
    assert result.err.splitlines()[-1] == (
        f"train.py: resume={run}/checkpoints/last.ckpt: it holds no more than weights; "
        f"init={run}/checkpoints/last.ckpt begins with them"
    )
    assert files(run / "checkpoints") == before
    assert command("evaluate", f"checkpoint={run}").code == 0
    assert command("train", *dataset, "model=bow", "debug=fast", f"init={run}").code == 0


def die_at_once() -> None:
    at_step(2, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_run_that_dies_before_its_first_checkpoint_begins_anew_with_all_its_options(
    command: Command, broken: Path, dataset, tmp_path
) -> None:
    options = [*dataset, *SHORT, f"init={broken / 'checkpoints/last.ckpt'}", "trainer.max_epochs=1"]
    process = Process(tmp_path, "train", *options, f"paths.run={tmp_path / 'b'}", sabotage=die_at_once)
    assert process.wait().code == -signal.SIGKILL
    shutil.rmtree(tmp_path / "b/checkpoints", ignore_errors=True)
    result = command("train", f"resume={tmp_path / 'b'}")
    assert result.code == 0, result.err
    assert f"{tmp_path / 'b'} has no checkpoint yet; it begins anew" in result.err
    assert command("train", *options, f"paths.run={tmp_path / 'c'}").code == 0
    assert same(left(tmp_path / "b"), left(tmp_path / "c"))


def test_a_job_that_is_always_started_with_resume_begins_and_goes_on(
    command: Command, dataset, tmp_path, whole
) -> None:
    # Under Slurm, which sends SIGUSR1 before it stops a job; `scontrol` is asked to start it again.
    fake = tmp_path / "bin/scontrol"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    job = [f"paths.runs={tmp_path / 'runs'}", f"paths.run={tmp_path / 'runs/job'}", "resume=auto", *dataset, *SHORT]
    slurm = {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "20"}
    path = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | slurm | {"PATH": path, "PYTHONPATH": str(ROOT / "src")}
    started = subprocess.Popen(
        [sys.executable, ROOT / "train.py", *job, "trainer.max_epochs=300"],
        env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    last = tmp_path / "runs/job/checkpoints/last.ckpt"
    while not last.exists():
        assert started.poll() is None, started.communicate()
    started.send_signal(signal.SIGUSR1)
    err = started.communicate(timeout=60)[1]
    assert started.returncode == 128 + signal.SIGUSR1, err
    assert (tmp_path / "asked").read_text() == "requeue 17_3\n"
    step = torch.load(last)["global_step"]
    more = f"trainer.max_epochs={step // 6 + 1}"
    result = command("train", *job, more, "scheduler=constant")
    assert result.code == 0, result.err
    assert f", step {step}\n" in result.err
