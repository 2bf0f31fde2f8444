"""The record that a run leaves: what it was made of, how it went, and a folder of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from commands import ROOT, Command
from interruption import at_step, wait
from kindling.runs.origin import describe_code, installed_packages
from my_project.tasks import Task
from processes import Process

SHORT = ["model=bow", "data.batch_size=24", "trainer.max_epochs=3", "logger=[csv]"]
SHORT += ["callbacks=[record,checkpoint]", "callbacks.last_checkpoint.every_n_steps=1"]


def record(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def test_a_finished_run_tells_what_it_was_made_of(command: Command, dataset, tmp_path) -> None:
    run = tmp_path / "a run"
    assert command("train", *dataset, *SHORT, "seed=7", f"paths.run='{run}'").code == 0
    found, metrics = record(run), json.loads((run / "metrics.json").read_text())
    folder = Path(next(item for item in dataset if item.startswith("data.dir=")).partition("=")[2])
    facts = json.loads((folder / "dataset.json").read_text())
    checkpoint = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    assert (found["status"], found["error"], found["resumed"], found["number"]) == ("finished", None, 0, 1)
    assert found["data"] == {"dir": str(folder), "hash": facts["hash"], "md5": facts.get("md5")}
    assert (found["seed"], found["monitor"], found["mode"]) == (7, "val/accuracy", "max")
    assert found["best"] == {"epoch": checkpoint["epoch"], "value": metrics["val/accuracy"]}
    assert found["parameters"] == sum(value.numel() for value in checkpoint["state_dict"].values() if value.ndim)
    assert found["machine"]["torch"] == torch.__version__
    assert found["machine"]["threads"] == 1
    assert 0 < found["seconds"] < 60
    assert found["overrides"] == yaml.safe_load((run / ".hydra/overrides.yaml").read_text())
    assert found["command"].startswith("train.py paths.data=")
    assert yaml.safe_load((run / "config.yaml").read_text()) == checkpoint["config"]
    packages = (run / "packages.txt").read_text().splitlines()
    assert f"torch=={metadata.version('torch')}" in packages


def test_every_installed_package_is_listed() -> None:
    named = {
        re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower(): found.version for found in metadata.distributions()
    }
    listed = dict(line.split("==") for line in installed_packages())
    assert listed.keys() == named.keys()
    assert listed["torch"] == named["torch"]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A copy of the project in a repository, with a commit."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "a project"
    folder.mkdir()
    for name in ("train.py", "configs", "src", ".gitignore"):
        source = ROOT / name
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__")) if source.is_dir() else (
            shutil.copy(source, folder / name)
        )
    (folder / "picture.bin").write_bytes(bytes(range(256)))
    (folder / "kept.csv").write_text("known\n")
    (folder / "configs/user").mkdir(exist_ok=True)
    (folder / "configs/user/committed.yaml").write_text("WANDB_PROJECT: mine\n")
    git(folder, "init", "-q", "-b", "trunk")
    git(folder, "add", "-A", "--force")
    git(folder, "commit", "-q", "-m", "all")
    return folder


DATA = ("kept.csv", "new/predictions.jsonl", "new/staged.txt", "picture.bin", "reviews.csv")


def change(project: Path) -> None:
    with (project / "src/kindling/errors.py").open("a") as file:
        file.write("# changed\n")
    (project / "configs/optimizer/mine and yours.yaml").write_text("_target_: torch.optim.SGD\n")
    (project / "new").mkdir()
    (project / "new/staged.txt").write_text("staged\n")
    git(project, "add", "new/staged.txt")
    (project / "new/empty.py").write_text("")
    (project / "picture.bin").write_bytes(bytes(range(255, -1, -1)))
    (project / "configs/scheduler/cosine.yaml").unlink()
    for name in ("me", "committed"):
        (project / f"configs/user/{name}.yaml").write_text("WANDB_API_KEY: 0123secret\n")
    (project / ".env").write_text("KEY=0123secret\n")  # ignored
    (project / "weights.bin").write_bytes(b"\0" * 100)
    (project / "large.py").write_text("x" * 2_000_000)
    for name in ("reviews.csv", "new/predictions.jsonl"):
        (project / name).write_text("private\n")
    (project / "kept.csv").write_text("private, too\n")  # which git knows


def tree(folder: Path) -> dict[str, bytes]:
    names = git(folder, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")[:-1]
    return {name: (folder / name).read_bytes() for name in sorted(set(names)) if (folder / name).exists()}


def test_commit_and_patch_give_the_code_of_a_run_back(project: Path, dataset, tmp_path) -> None:
    for name, value in [("diff.noprefix", "true"), ("color.ui", "always"), ("diff.mnemonicPrefix", "true")]:
        git(project, "config", name, value)
    change(project)
    before, status = tree(project), git(project, "status", "--porcelain")
    run = tmp_path / "run"
    options = [*dataset, *SHORT, "debug=fast", f"paths.run={run}", f"paths.runs={project / 'kept'}"]
    (project / "kept").mkdir()
    (project / "kept/other.csv").write_text("of another run\n")
    environment = os.environ | {"PYTHONPATH": str(project / "src")}
    done = subprocess.run(
        [sys.executable, "train.py", *map(str, options[:-1]), f"paths.runs='{project / 'kept'}'"],
        cwd=project, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shutil.rmtree(project / "kept")
    assert git(project, "status", "--porcelain") == status  # nothing was added to the index
    found = record(run)["git"]
    assert found == {
        "commit": git(project, "rev-parse", "HEAD").strip(),
        "branch": "trunk",
        "dirty": True,
        "left_out": sorted([*DATA, "large.py", "weights.bin"]),
    }
    git(tmp_path, "clone", "-q", str(project), "again")
    again = tmp_path / "again"
    git(again, "apply", str(run / "diff.patch"))
    left_out = {*DATA, "large.py", "weights.bin", "configs/user/me.yaml", "configs/user/committed.yaml"}
    restored = tree(again)
    assert {name: content for name, content in before.items() if name not in left_out} == {
        name: content for name, content in restored.items() if name not in left_out
    }
    written = [path.read_bytes() for path in run.rglob("*") if path.is_file()]
    assert not any(b"0123secret" in content or b"private" in content for content in written)
    assert "Not committed, and not in diff.patch as they are no code: kept.csv, large.py, new" in done.stderr


def test_a_clean_project_leaves_no_patch(project: Path, monkeypatch) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(project))
    commit = git(project, "rev-parse", "HEAD").strip()
    assert describe_code() == ({"commit": commit, "branch": "trunk", "dirty": False}, b"")
    git(project, "checkout", "-q", commit)
    assert describe_code()[0] == {"commit": commit, "branch": None, "dirty": False}


def test_without_git_repository_or_commit_nothing_is_known(project: Path, tmp_path, monkeypatch) -> None:
    nothing = {"commit": None, "branch": None, "dirty": False}, b""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("PROJECT_ROOT", str(tmp_path / "none"))
    assert describe_code() == nothing
    git(tmp_path / "none", "init", "-q")
    assert describe_code() == nothing
    monkeypatch.setenv("PROJECT_ROOT", str(project))
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert describe_code() == nothing


def die() -> None:
    at_step(15, lambda: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.parametrize(
    ("sabotage", "number", "status"), [(wait, signal.SIGTERM, "interrupted"), (die, None, "running")]
)
def test_a_resumed_run_keeps_its_record(
    command: Command, dataset, tmp_path, sabotage: Any, number: Any, status: str
) -> None:
    process = Process(tmp_path, "train", *dataset, *SHORT, sabotage=sabotage)
    if number:
        process.until(lambda: "waits\n" in process.err.read_text())
        process.send(number)
    assert process.wait().code != 0
    (run,) = (file.parent for file in tmp_path.glob("runs/*/*/run.json"))
    before = record(run)
    assert before["status"] == status
    rows = [line.split(",") for line in (run / "csv/metrics.csv").read_text().splitlines()]
    values = [float(row[rows[0].index("val/accuracy")]) for row in rows[1:] if row[rows[0].index("val/accuracy")]]
    assert before["best"]["value"] == max(values)
    assert command("train", "seed=1", *dataset, *SHORT).code == 0  # another run, which has the next number
    result = command("train", f"resume={run}")
    assert result.code == 0, result.err
    after = record(run)
    assert (after["status"], after["resumed"], after["error"]) == ("finished", 1, None)
    assert [before[name] for name in ("number", "started")] == [after[name] for name in ("number", "started")]
    assert sorted(before["overrides"]) == sorted(after["overrides"])  # without resume
    assert after["command"].count("=") == before["command"].count("=")
    assert after["seconds"] > before["seconds"] > 0
    assert after["best"]["value"] == json.loads((run / "metrics.json").read_text())["val/accuracy"]
    assert command("train", f"resume={run}").code == 0  # nothing is left to do
    again = record(run)
    assert (again["status"], again["best"], again["number"]) == ("finished", after["best"], after["number"])


def test_a_failed_run_says_why_and_can_be_resumed(command: Command, dataset, tmp_path, monkeypatch) -> None:
    def happens() -> None:
        raise ArithmeticError("Something\nbreaks.")

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", Task.training_step)  # to be put back
        at_step(9, happens)
        assert command("train", *dataset, *SHORT, f"paths.run={run}").code == 1
    found = record(run)
    assert (found["status"], found["error"]) == ("failed", "ArithmeticError: Something breaks.")
    assert found["best"]["epoch"] == 0
    assert command("train", f"resume={run}").code == 0
    assert (record(run)["status"], record(run)["error"]) == ("finished", None)


def test_best_is_none_of_the_time_that_was_given_up(command: Command, dataset, tmp_path) -> None:
    options = ["monitor=val/loss", "mode=min", "callbacks=[record,checkpoint,keep_epochs]", "scheduler=constant"]
    run = tmp_path / "run"
    assert command("train", *dataset, *SHORT, *options, f"paths.run={run}").code == 0
    assert record(run)["best"]["epoch"] == 2
    worse = ["optimizer.lr=30", "checkpoint_io=new_learning_rate", "trainer.max_epochs=2"]
    assert command("train", f"resume={run / 'checkpoints/epoch-001.ckpt'}", *worse).code == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert record(run)["best"] == {"epoch": 1, "value": metrics["val/loss"]}  # that of the first epoch is lost
    assert record(run)["number"] == 1


def test_a_mistake_that_training_meets_leaves_no_folder(command: Command, dataset, tmp_path) -> None:
    assert command("train", *dataset, *SHORT, "trainer.max_epochs=-1").code == 2
    assert not (tmp_path / "runs").exists()


def test_runs_that_start_at_once_have_folders_of_their_own(dataset, tmp_path) -> None:
    (tmp_path / "configs/paths").mkdir(parents=True)
    default = (ROOT / "configs/paths/default.yaml").read_text()
    day = "".join("run: ${.runs}/day\n" if line.startswith("run:") else f"{line}\n" for line in default.splitlines())
    (tmp_path / "configs/paths/day.yaml").write_text(day)
    processes = []
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        options = [*dataset, *SHORT, "debug=fast", f"--config-dir={tmp_path / 'configs'}", "paths=day"]
        several = ["-m", f"seed={number},9"] if number > 1 else [f"seed={number}"]
        processes.append(Process(folder, "train", *options, *several, f"paths.runs={tmp_path / 'runs'}"))
    results = [process.wait() for process in processes]
    assert [result.code for result in results] == [0] * 4, results
    folders = sorted(path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert [path.name for path in folders] == ["day", "day-2", "day-3", "day-4"]
    seeds = []
    for folder in folders:
        jobs = [folder] if (folder / "run.json").exists() else [folder / "0", folder / "1"]
        assert (folder / "results.csv").exists() == (len(jobs) == 2)
        seeds.append([record(job)["seed"] for job in jobs])
        assert all((job / "metrics.json").exists() for job in jobs)
    assert sorted(seeds) == [[0], [1], [2, 9], [3, 9]]


def test_a_folder_that_is_named_is_taken_as_it_is_and_help_makes_none(command: Command, dataset, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    assert command("train", *dataset, *SHORT, "debug=fast", f"paths.run={tmp_path / 'mine'}").code == 0
    assert (tmp_path / "mine/run.json").exists()
    assert not (tmp_path / "mine-2").exists()
    before = sorted(tmp_path.iterdir())
    for arguments in (["--help"], ["--cfg", "job"], ["--cfg", "job", "--resolve"]):
        assert command("train", *dataset, *arguments).code == 0
    assert sorted(tmp_path.iterdir()) == before
    assert {path.name for path in (tmp_path / "runs").iterdir()} <= {".number", ".number.lock"}


def test_a_folder_that_cannot_be_made_is_told_in_one_line(command: Command, dataset, tmp_path) -> None:
    (tmp_path / "runs").write_text("a file\n")
    result = command("train", *dataset, *SHORT)
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line.startswith(f"train.py: {tmp_path / 'runs'}")
    assert line.endswith("choose a folder that can be written to")
