"""Workers without training, and a command that has a launcher start them.

A worker takes a number of seconds out of a folder, waits that long and leaves what it did; told to stop, it notes how
far it came and leaves the rest to the next one.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from commands import HERE, ROOT, Result
from pytorch_lightning import Callback

WORKER = """\
import json, os, signal, sys, time
from pathlib import Path

folder, rank, stopped = Path(sys.argv[1]), int(os.environ.get("SLURM_PROCID", 0)), []
signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))


def write(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def take():
    for job in sorted(folder.glob("*.job")):
        claim, done = job.with_suffix(f".claim{rank}"), job.with_suffix(".done")
        if not done.exists() or f'"rank": {rank},' not in done.read_text():  # another process may be far ahead
            try:
                claim.mkdir()
                return job, claim
            except FileExistsError:
                pass
    sys.exit()


job, claim = take()
seconds, began = float(job.read_text()), time.time()
progress = job.with_suffix(f".progress{rank}")
past = json.loads(progress.read_text()) if progress.exists() else []
print("job", job.stem, "begins" if not past else f"goes on after {sum(past):.1f} s", flush=True)
if seconds < 0:  # dies of this signal, or with this exit code from 1000
    print("out of luck", flush=True)
    sys.exit(int(-seconds) - 1000) if seconds < -1000 else os.kill(os.getpid(), int(-seconds))
while sum(past) + time.time() - began < seconds:
    if stopped:
        time.sleep(1)  # it takes a while to save
        write(progress, json.dumps([*past, time.time() - began - 1]))
        claim.rmdir()
        sys.exit(143)
    time.sleep(0.05)
about = {"rank": rank, "began": began, "ended": time.time(), "past": past, "cwd": os.getcwd()}
about |= {name: os.environ.get(name) for name in (
    "SLURMD_NODENAME", "SLURM_NTASKS", "SLURM_CPUS_PER_TASK", "SLURM_STEP_NODELIST", "GREETING", "CUDA_VISIBLE_DEVICES"
)}
with open(job.with_suffix(".done"), "a") as file:
    file.write(json.dumps(about) + "\\n")
"""

LAUNCH = """\
import json, logging, sys
from pathlib import Path
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from kindling.cli.command import explain
from kindling.sweeps.launchers.worker import Work

configs, folder, options, overrides = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4:]
logging.basicConfig(format="%(message)s", level=logging.INFO)
seen = set()


def left():
    return [job for job in folder.glob("*.job") if not job.with_suffix(".done").exists()]


def watch():
    new = {path.stem for path in folder.glob("*.done")} - seen
    seen.update(new)
    for name in sorted(new):
        print("job", name, "has ended", flush=True)
    return len(left())


try:
    with initialize_config_dir(configs, version_base="1.3"):
        launcher = instantiate(compose(overrides=overrides).launcher)
    command = [sys.executable, str(folder / "a worker.py"), str(folder)]
    launcher.launch(Work(**{"command": command, "count": len(left()), "folder": folder, "nodes": 1, "processes": 1,
                            "gpus": 0, "watch": watch} | options))
except Exception as error:
    sys.exit(explain(error, Path(sys.argv[0])))
"""


@dataclass
class Jobs:
    """Jobs in a folder, and the command that has them done."""

    folder: Path
    environment: dict[str, str]

    def start(self, *overrides: str, **options: Any) -> subprocess.Popen[str]:
        """Start to launch; `options` are those of `Work`."""
        (self.folder / "launch.py").write_text(LAUNCH)
        (self.folder / "a worker.py").write_text(WORKER)
        command = [sys.executable, str(self.folder / "launch.py"), str(ROOT / "configs"), str(self.folder)]
        return subprocess.Popen(
            [*command, json.dumps(options), *overrides],
            cwd=ROOT,
            env=os.environ | self.environment | {"PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for a whole group of processes
        )

    def launch(self, *overrides: str, **options: Any) -> tuple[int, str, str]:
        """Launch, wait, and return exit code, output and errors."""
        return finish(self.start(*overrides, **options))

    def done(self) -> dict[str, list[dict[str, Any]]]:
        """Return what each job that is done says, once for each time and process that it was done in."""
        files = sorted(self.folder.glob("*.done"))
        return {file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in files}


def make_jobs(folder: Path, seconds: list[float], environment: dict[str, str] | None = None) -> Jobs:
    folder.mkdir(parents=True)
    for number, duration in enumerate(seconds):
        (folder / f"{number}.job").write_text(str(duration))
    return Jobs(folder, environment or {})


def finish(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err


def until(happened: Callable[[], Any], process: subprocess.Popen[str] | None = None, seconds: float = 200) -> None:
    """Wait until something is seen, and no longer than a process runs."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)


# Sweeps of trainings


class Slow(Callback):
    """Takes its time at every step."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_batch_start(self, *args: Any) -> None:
        time.sleep(self.seconds)


def start_search(folder: Path, dataset: list[str], *options: str) -> subprocess.Popen[str]:
    """Start a sweep of a copy of the project, whose runs are in `folder`."""
    for name in ("configs", "src"):
        shutil.copytree(ROOT / name, folder / "a project" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", folder / "a project")
    (folder / "a project/.venv").symlink_to(sys.prefix)  # Python's path has a space, as the project's may have
    fast = ["model=bow", "trainer.max_epochs=2", "logger=[csv]", "callbacks=[record,checkpoint,pruning]"]
    path = os.pathsep.join([str(folder / "a project/src"), str(HERE)])
    python = folder / "a project/.venv/bin" / Path(sys.executable).name
    command = [str(python), "train.py", "-m", *dataset, f"paths.runs={folder / 'runs'}", *fast, *options]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.Popen(command, cwd=folder / "a project", env=environment, start_new_session=True, **pipes)


def search(folder: Path, dataset: list[str], *options: str) -> Result:
    """Run such a sweep to its end."""
    process = start_search(folder, dataset, *options)
    out, err = process.communicate(timeout=400)
    return Result(process.returncode, out, err)


def told(sweep: Path) -> list[tuple[Any, ...]]:
    """Return what a search has tried and found."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(sweep / "study.log")))
    trials = optuna.load_study(study_name=sweep.name, storage=storage).trials
    return [(trial.number, trial.params, trial.values, trial.state) for trial in trials]


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Return the weights that a run ended with."""
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
