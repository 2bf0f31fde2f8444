"""A start in a folder: alone there, over no other run, and taken back without touching what it did not make."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Command
from kindling.checkpoints.find import find_checkpoint, newest_checkpoint
from kindling.errors import UsageError
from kindling.reports.page import Summary, is_page
from kindling.runs.console import write_metrics
from kindling.runs.lock import FILE, lock_folder
from kindling.runs.resume import resumed
from kindling.runs.start import refuse_taken

SHORT = ["model=bow", "data.batch_size=24", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "logger=[csv]"]
SHORT += ["callbacks=[checkpoint]"]
HOLD = """
import os, sys, time
from pathlib import Path
from kindling.runs.lock import lock_folder
lock_folder(Path(sys.argv[1]))
if os.fork():
    print("locked", flush=True)
    time.sleep(100)
else:  # as a worker of a loader, which outlives a killed process for a while
    time.sleep(15)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_mistake_removes_what_its_start_wrote_and_nothing_else(command: Command, dataset, tmp_path) -> None:
    run = tmp_path / "mine" / "job"
    (run / "logs").mkdir(parents=True)
    (run / "slurm-17.log").write_text("the only copy of the message\n")
    before = contents(tmp_path)
    assert command("train", *dataset, *SHORT, "trainer.max_epochs=-1", f"paths.run={run}").code == 2
    assert contents(tmp_path) == before
    assert (run / "logs").is_dir()
    new = tmp_path / "mine" / "new" / "run"
    assert command("train", *dataset, *SHORT, "trainer.max_epochs=-1", f"paths.run={new}").code == 2
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["job"]


def test_a_refused_resume_leaves_the_run_as_it_was(command: Command, trained: Path) -> None:
    (trained / "train.log").touch()
    before = {name: content for name, content in contents(trained).items() if name != "train.log"}
    result = command("train", f"resume={trained}", "trainer.max_epochs=-1")
    assert result.code == 2, result.err
    after = {name: content for name, content in contents(trained).items() if name != "train.log"}
    assert after == before


def test_a_run_or_a_sweep_is_not_begun_over_another(command: Command, trained: Path, dataset, tmp_path) -> None:
    before = contents(trained)
    result = command("train", *dataset, *SHORT, f"paths.run={trained}")
    assert (result.code, contents(trained)) == (2, before)
    assert result.err == (
        f"train.py: {trained}: a run lies there; resume={trained} goes on with it, "
        "another paths.run=<folder> begins one\n"
    )
    result = command("train", "-m", *dataset, *SHORT, "seed=1,2", f"paths.run={trained}")
    assert (result.code, contents(trained)) == (2, before)
    result = command("train", "-m", *dataset, *SHORT, "seed=1,2", "launcher=local", f"paths.run={trained}")
    assert (result.code, contents(trained)) == (2, before)
    (tmp_path / "sweep/0/.hydra").mkdir(parents=True)
    with pytest.raises(UsageError, match="a sweep lies there"):
        refuse_taken(tmp_path / "sweep")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_two_trainings_never_share_a_folder(command: Command, dataset, tmp_path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    left = run / "checkpoints" / ".best.ckpt.4194000.new"
    left.write_bytes(b"half of a checkpoint")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "locked\n"
    for options in ([], ["resume=auto"]):
        result = command("train", *dataset, *SHORT, *options, f"paths.run={run}")
        assert result.code == 2
        assert f"{run}: process {holder.pid} on {os.uname().nodename} trains there; wait" in result.err
    assert left.exists()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (run / FILE).exists()  # which locks nothing any more
    assert command("train", *dataset, *SHORT, "resume=auto", f"paths.run={run}").code == 0
    assert not left.exists()
    assert not (run / FILE).exists()
    release = lock_folder(run)
    release()


@pytest.mark.parametrize("text", [None, "", "- model=bo"], ids=["missing", "empty", "whole"])
def test_a_run_whose_options_are_lost_does_not_begin_anew_with_others(tmp_path, text: str | None) -> None:
    composed = tmp_path / "runs/day/time/.hydra"
    composed.mkdir(parents=True)
    if text is not None:
        (composed / "overrides.yaml").write_text(text)
    arguments = ["resume=auto", f"paths.runs={tmp_path / 'runs'}"]
    if text:
        assert "model=bo" in resumed(ROOT / "train.py", arguments)
        return
    with pytest.raises(UsageError, match="its options are lost, as its start was cut off"):
        resumed(ROOT / "train.py", arguments)


def test_best_is_that_of_the_newest_run_which_is_no_debug_run(tmp_path, caplog) -> None:
    files = []
    for number, choice in enumerate(["model: bow", "debug: null", "debug: fast"]):
        files.append(tmp_path / str(number) / "checkpoints/best.ckpt")
        choices = f"hydra:\n  runtime:\n    choices:\n      {choice}\n"
        for path, text in ((files[-1], "weights"), (tmp_path / str(number) / ".hydra/hydra.yaml", choices)):
            path.parent.mkdir(parents=True)
            path.write_text(text)
        os.utime(files[-1], (number, number))
    caplog.set_level("INFO")
    assert find_checkpoint("best", tmp_path) == files[1]
    assert caplog.messages == [f"checkpoint=best: {files[1]}"]
    assert find_checkpoint("best", tmp_path / "2") == files[2]
    assert "of a debug run" in caplog.messages[1]


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names there")
def test_a_pipe_in_the_place_of_a_checkpoint_is_left_aside(tmp_path, trained: Path, capsys) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    os.mkfifo(folder / "last.ckpt")
    shutil.copy(trained / "checkpoints/best.ckpt", folder)
    assert newest_checkpoint(tmp_path) == folder / "best.ckpt"
    assert "last.ckpt is no file and is left aside" in capsys.readouterr().err


def test_the_page_of_a_resumed_run_says_how_to_train_it_anew(tmp_path) -> None:
    overrides = ["model=bow", "resume='/somewhere/last.ckpt'", "paths.run='/somewhere'", "trainer.max_epochs=2"]
    page = Summary(tmp_path / "checkpoints/best.ckpt", tmp_path, {"training": {"step": 1, "epoch": 1}}, {}, overrides)
    assert "\npython train.py model=bow trainer.max_epochs=2\n" in page.markdown()
    path = tmp_path / "best.md"
    path.write_text(page.markdown())
    assert is_page(path)
    path.write_text("# best\n\nMy notes on `best.ckpt` of last week.\n")
    assert not is_page(path)


def test_an_evaluation_that_cannot_be_written_is_shown_and_leaves_the_one_before(tmp_path, capsys, monkeypatch) -> None:
    before = tmp_path / "evaluation.json"
    before.write_text('{"test/loss": 1.0}\n')

    def full(path: Path, text: str, **options: Any) -> int:
        with path.open("w") as file:
            file.write(text[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_metrics({"test/loss": 0.25}, before, None)
    assert "0.25" in capsys.readouterr().out
    assert json.loads(before.read_text()) == {"test/loss": 1.0}
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]
