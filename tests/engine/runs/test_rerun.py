"""rerun=<folder> repeats a run from what it left behind, to the last bit, and says what differs where it cannot."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from commands import ROOT, Command, run
from interruption import at_step, same, wait
from processes import Process

SHORT = ["model=bow", "model.dropout=0.4", "data.batch_size=24", "trainer.max_epochs=3", "optimizer.lr=1e-2"]
SHORT += ["logger=[csv]", "callbacks=[record,checkpoint]", "callbacks.last_checkpoint.every_n_steps=1"]


def differing(said: str) -> list[str]:
    """Return what differs, but for the code, which somebody may be editing while the tests run."""
    named = [line.split(":")[0].removeprefix("Other ") for line in said.splitlines() if line.startswith("Other ")]
    return [name for name in named if name != "code"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


def equal(one: Path, other: Path) -> bool:
    rows = [(folder / "csv/metrics.csv").read_text() for folder in (one, other)]
    return same(weights(one), weights(other)) and metrics(one) == metrics(other) and rows[0] == rows[1]


@pytest.fixture(scope="module")
def original(dataset: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, with dropout."""
    folder = tmp_path_factory.mktemp("original")
    assert run(folder, "train", *dataset, *SHORT, f"paths.run='{folder / 'a run'}'") == 0
    return folder / "a run"


@pytest.fixture
def repeat(command: Command, tmp_path):
    """Repeat a run, and return what was said and the folder of the repetition."""

    def call(folder: Path, *options: str) -> tuple[str, Path]:
        before = set(tmp_path.glob("runs/*/*"))
        result = command("train", f"rerun='{folder}'", *options)
        assert result.code == 0, result.err
        (new,) = set(tmp_path.glob("runs/*/*")) - before
        return result.err, new

    return call


def edit(folder: Path, name: str, **values: Any) -> None:
    """Make the record of a run differ."""
    file = folder / "run.json"
    record = json.loads(file.read_text())
    record[name] |= values
    file.write_text(json.dumps(record))


def test_a_run_is_repeated_to_the_last_bit_in_a_new_folder(repeat, original: Path) -> None:
    files = {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}
    said, new = repeat(original)
    assert differing(said) == []
    assert f"Equal to {original} to the last bit: 6 metrics" in said
    assert equal(new, original)
    assert files == {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}
    said, newest = repeat(new)  # a repetition can be repeated
    assert f"Equal to {new} to the last bit" in said
    assert equal(newest, original)


def test_options_come_on_top_and_are_named(repeat, original: Path) -> None:
    said, new = repeat(original, "model.dropout=0.1", "trainer.max_epochs=2", "logger=[csv]", "scheduler=constant")
    (line,) = (line for line in said.splitlines() if line.startswith("Other options: "))
    assert "model.dropout 0.4 -> 0.1" in line
    assert "trainer.max_epochs 3 -> 2" in line
    assert ".schedulers.warmup -> torch.optim.lr_scheduler.ConstantLR" in line
    assert "paths" not in line
    assert f"Not equal to {original}: val/loss {metrics(original)['val/loss']} -> {metrics(new)['val/loss']} (" in said
    config = yaml.safe_load((new / "config.yaml").read_text())
    assert (config["scheduler"]["interval"], config["optimizer"]["lr"]) == ("epoch", 1e-2)
    assert "warmup" not in str(config["scheduler"])


def test_later_changes_of_the_configs_do_not_matter(command: Command, original: Path, tmp_path) -> None:
    project = tmp_path / "project"
    for name in ("configs", "src"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__", "somebody_*"))
    shutil.copy(ROOT / "train.py", project)
    for name, old, new in [
        ("model/bow", "hidden_size: 128", "hidden_size: 4"),
        ("train", "seed: 42", "seed: 1"),
        ("train", "model: bert", "model: lstm"),
        ("optimizer/adamw", "weight_decay: 0.01", "weight_decay: 5"),
    ]:
        file = project / f"configs/{name}.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
    process = Process(tmp_path, str(project / "train"), f"rerun='{original}'", f"paths.run={tmp_path / 'new'}")
    result = process.wait()
    assert result.code == 0, result.err
    assert equal(tmp_path / "new", original)


def test_jobs_of_a_sweep_can_be_repeated(command: Command, repeat, dataset, tmp_path) -> None:
    sweep = tmp_path / "sweep"
    assert command("train", "-m", *dataset, *SHORT, "seed=1,2", f"paths.run={sweep}").code == 0
    said, new = repeat(sweep / "1")
    assert differing(said) == []
    assert equal(new, sweep / "1")
    assert not same(weights(new), weights(sweep / "0"))


def test_a_sweep_can_vary_a_run(command: Command, original: Path, tmp_path) -> None:
    result = command("train", "-m", f"rerun='{original}'", "seed=42,7", f"paths.run={tmp_path / 'sweep'}")
    assert result.code == 0, result.err
    assert equal(tmp_path / "sweep/0", original)
    assert not same(weights(tmp_path / "sweep/1"), weights(original))
    assert result.err.count("Equal to ") == result.err.count("Not equal to ") == 1


def die() -> None:
    at_step(9, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_killed_run_is_repeated_and_compared_as_far_as_it_came(repeat, original: Path, dataset, tmp_path) -> None:
    killed = tmp_path / "killed"
    process = Process(tmp_path, "train", *dataset, *SHORT, f"paths.run={killed}", sabotage=die)
    assert process.wait().code == -signal.SIGKILL
    said, new = repeat(killed)
    assert differing(said) == []
    assert f"Equal to {killed} to the last bit: " in said
    assert "in csv/metrics.csv, which end before it did" in said
    assert equal(new, original)
    log = killed / "csv/metrics.csv"
    number = next(cell for cell in log.read_text().splitlines()[1].split(",") if "." in cell)
    log.write_text(log.read_text().replace(number, "0.5"))
    said, _ = repeat(killed)
    assert f"Not equal to {killed}: " in said
    assert "0.5 -> " in said


def test_a_repetition_that_is_interrupted_goes_on_and_ends_equal(command: Command, original: Path, tmp_path) -> None:
    process = Process(tmp_path, "train", f"rerun='{original}'", f"paths.run={tmp_path / 'new'}", sabotage=wait)
    process.until(lambda: "waits\n" in process.err.read_text())
    process.send(signal.SIGTERM)
    assert process.wait().code == 128 + signal.SIGTERM
    result = command("train", f"resume={tmp_path / 'new'}")
    assert result.code == 0, result.err
    assert "Changed since" not in result.err
    assert f"Equal to {original} to the last bit: 6 metrics" in result.err
    assert equal(tmp_path / "new", original)


def test_other_data_are_told_and_so_is_the_result(command: Command, repeat, original: Path, dataset, tmp_path) -> None:
    source = Path(next(item for item in dataset if item.startswith("data.path=")).partition("=")[2])
    path = tmp_path / "more.csv"
    path.write_text(source.read_text() + "great lovely film 150,good\n")
    other = [f"data.path={path}", f"data.dir={tmp_path / 'more'}"]
    assert command("make_dataset", *dataset, *other).code == 0
    said, new = repeat(original, *other)
    hashes = [json.loads((folder / "run.json").read_text())["data"]["hash"] for folder in (original, new)]
    assert "data" in differing(said)
    assert f"Other data: hash {hashes[0]} -> {hashes[1]}" in said
    assert f"Not equal to {original}: " in said


def test_other_code_packages_and_machine_are_told(repeat, original: Path, tmp_path) -> None:
    old = shutil.copytree(original, tmp_path / "old")
    edit(old, "git", commit="0" * 40)
    edit(old, "machine", cpu="abacus", threads=99)
    (old / "diff.patch").write_text("diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n")
    packages = (old / "packages.txt").read_text().splitlines()
    changed = ["torch==1.0" if line.startswith("torch==") else line for line in packages if "numpy==" not in line]
    (old / "packages.txt").write_text("\n".join([*changed, "zebra==3"]))
    said, _ = repeat(old)
    lines = {line.split(":")[0]: line for line in said.splitlines() if line.startswith("Other ")}
    assert lines.keys() == {"Other code", "Other packages", "Other machine"}
    assert "commit 0000000000 -> " in lines["Other code"] and "x.py" in lines["Other code"]
    assert "torch 1.0 -> " in lines["Other packages"]
    assert "numpy none -> " in lines["Other packages"] and "zebra 3 -> none" in lines["Other packages"]
    assert "cpu abacus -> " in lines["Other machine"] and "threads 99 -> 1" in lines["Other machine"]


def test_without_a_record_it_is_repeated_all_the_same(command: Command, repeat, dataset, tmp_path) -> None:
    options = [*SHORT, "callbacks=[checkpoint]"]
    assert command("train", *dataset, *options, f"paths.run={tmp_path / 'old'}").code == 0
    said, new = repeat(tmp_path / "old")
    assert "It left no run.json" in said
    assert equal(new, tmp_path / "old")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["rerun='{run}s'"], "rerun={run}s: no such run; did you mean {run}?; a run's folder is expected"),
        (["rerun='{run}/csv'"], "rerun={run}/csv: no such run"),
        (["rerun={runs}/sweep"], "rerun={runs}/sweep: a sweep, of which one job can be repeated: rerun={runs}/sweep/0"),
        (["-m", "rerun=a,b"], "rerun=a,b: one run can be repeated at a time"),
        (["rerun='{run}'", "model.dropuot=0"], "there is no option model.dropuot; did you mean model.dropout?"),
        (["rerun='{run}'", "seed=one"], "seed=one: expected a whole number, such as 42"),
        (["rerun='{run}'", "model=brt"], "model=brt: there is no such model; did you mean bert?"),
    ],
    ids=lambda value: "",
)
def test_what_cannot_be_repeated_is_told_in_one_line(
    command: Command, original: Path, tmp_path, options: list[str], says: str
) -> None:
    (tmp_path / "sweep/0/.hydra").mkdir(parents=True)
    names = {"run": original, "runs": tmp_path}
    result = command("train", *(option.format(**names) for option in options))
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert says.format(**names) in line
    assert not (tmp_path / "runs").exists()
