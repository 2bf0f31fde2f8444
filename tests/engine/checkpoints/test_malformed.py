"""A checkpoint or a record that is whole as a file and malformed inside: one line names the file and the key."""

import copy
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Command, run
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ", "12"))
PARTS = ("loops", "callbacks", "optimizer_states", "lr_schedulers", "resume", "epoch_logs", "global_step", "epoch")
OTHERS: list[Any] = [None, "x", "", -1, 3.5, float("nan"), True, [], {}, [1], {"a": 1}, torch.ones(2)]
GONE = "(gone)"
Place = tuple[Any, ...]

few = settings(
    max_examples=EXAMPLES,
    phases=[Phase.generate],
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def places(node: Any, place: Place = ()) -> Iterator[Place]:
    """Yield where something stands in nested containers."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        yield (*place, name)
        yield from places(value, (*place, name))


def damaged(content: Any, place: Place, value: Any) -> Any:
    """Return a copy with another value at a place, or nothing there."""
    content = copy.deepcopy(content)
    node = content
    for name in place[:-1]:
        node = node[name]
    if value is GONE:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return content


@pytest.fixture(scope="module")
def short_run(dataset: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has ended, with all that a checkpoint may hold."""
    folder = tmp_path_factory.mktemp("short")
    options = ["model=bow", "trainer.max_epochs=2", "trainer.limit_train_batches=3", "trainer.limit_val_batches=1"]
    options += ["logger=[csv]", "callbacks=[record,checkpoint,early_stopping,learning_rate]", "scheduler=warmup"]
    assert run(folder, "train", *dataset, *options, f"paths.run={folder / 'run'}") == 0
    return folder / "run"


def go_on(command: Command, folder: Path, content: Any) -> str:
    """Resume a copy of the run from a checkpoint with this content, and return what was said if that was refused."""
    torch.save(content, folder / "checkpoints/last.ckpt")
    result = command("train", f"resume={folder / 'checkpoints/last.ckpt'}", "trainer.max_epochs=3")
    assert result.code in (0, 2), result.err
    assert "Traceback" not in result.err
    if result.code == 0:
        return ""
    line = result.err.strip().splitlines()[-1]
    assert line.startswith("train.py: resume=") and "last.ckpt: " in line
    return line


@seed(0)
@few
@given(st.data())
def test_whatever_is_damaged_in_a_checkpoint_is_one_line(command, short_run, tmp_path_factory, data) -> None:
    folder = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(short_run, folder)
    content = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    known = [place for place in places(content) if place[0] in PARTS]
    place = data.draw(st.sampled_from(known), label="place")
    value = data.draw(st.sampled_from([*OTHERS, GONE]), label="value")
    go_on(command, folder, damaged(content, place, value))
    shutil.rmtree(folder)


DAMAGES: list[tuple[Place, Any, str]] = [
    (("loops", "fit_loop"), GONE, "loops.fit_loop in it"),
    (("loops", "fit_loop", "epoch_progress", "current", "ready"), "x", "loops.fit_loop.epoch_progress.current.ready"),
    (("loops", "fit_loop", "epoch_progress", "current", "ready"), -1, "loops.fit_loop.epoch_progress.current.ready"),
    (("loops", "fit_loop", "epoch_loop.batch_progress"), [], "loops.fit_loop.epoch_loop.batch_progress"),
    (("loops", "fit_loop", "epoch_loop.batch_progress", "current", "ready"), GONE, "epoch_loop.batch_progress"),
    (("optimizer_states",), [], "optimizer"),
    (("optimizer_states", 0, "state", 0, "exp_avg"), "x", "optimizer_states.0.state.0.exp_avg"),
    (("optimizer_states", 0, "state", 0, "exp_avg"), GONE, "optimizer_states.0.state.0.exp_avg"),
    (("optimizer_states", 0, "param_groups", 0, "lr"), "fast", "optimizer_states.0.param_groups.0.lr"),
    (("optimizer_states", 0, "param_groups", 0, "betas"), GONE, "optimizer_states.0.param_groups.0.betas"),
    (("lr_schedulers", 0, "last_epoch"), None, "lr_schedulers.0.last_epoch"),
    (("lr_schedulers", 0, "base_lrs"), GONE, "lr_schedulers.0.base_lrs"),
]


@pytest.mark.parametrize(("place", "value", "told"), DAMAGES, ids=lambda value: str(value)[-40:])
def test_the_line_names_the_part(command: Command, short_run: Path, tmp_path: Path, place, value, told: str) -> None:
    shutil.copytree(short_run, tmp_path / "run")
    content = torch.load(short_run / "checkpoints/last.ckpt", weights_only=True)
    assert told in go_on(command, tmp_path / "run", damaged(content, place, value))


RECORDS: list[tuple[Place, Any]] = [
    *(((name,), GONE) for name in ("git", "data", "machine", "overrides", "best", "seconds", "status", "number")),
    *(((name,), ["x"]) for name in ("git", "data", "machine", "best", "seconds", "status", "number", "name", "error")),
    *(((name,), "x") for name in ("overrides", "parameters", "seed", "git", "best")),
    (("git", "commit"), 3),
    (("git", "commit"), GONE),
    (("data", "hash"), [1]),
    (("data", "dir"), 3),
    (("best", "value"), "x"),
    (("best", "epoch"), GONE),
]


def test_a_damaged_key_of_a_record_is_left_aside_in_a_line(command: Command, short_run: Path, tmp_path: Path) -> None:
    record = json.loads((short_run / "run.json").read_text())
    shutil.copytree(short_run, tmp_path / "run")
    for place, value in RECORDS:
        (tmp_path / "run/run.json").write_text(json.dumps(damaged(record, place, value)))
        result = command("compare", f"runs=[{tmp_path / 'run'}]", f"output={tmp_path}")
        assert result.code == 0 and "Traceback" not in result.err, (place, value, result.err)
        told = [line for line in result.err.splitlines() if f"run.json: {place[0]} in it is not what" in line]
        assert bool(told) == (value is not GONE or place == ("best", "epoch")), (place, value, result.err)


@pytest.mark.parametrize(("place", "value"), [(("git",), GONE), (("machine",), [1]), (("data",), "x")])
def test_a_run_whose_record_is_damaged_is_repeated(command, short_run, tmp_path, place, value) -> None:
    shutil.copytree(short_run, tmp_path / "run")
    record = json.loads((short_run / "run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps(damaged(record, place, value)))
    result = command("train", f"rerun={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert "Its run.json does not say which" in result.err and "are the same" not in result.err
    assert "to the last bit" in result.err


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metrics.json", '{"val/loss": "x"}'),
        ("csv/metrics.csv", "step,epoch,val/loss\nx,y,z\n"),
        ("csv/metrics.csv", "a,b\n1,2,3\n"),
        (".hydra/overrides.yaml", "3"),
        ("config.yaml", "[1]"),
        (".hydra/hydra.yaml", "hydra:\n  runtime:\n    choices:\n[1]\n"),
        ("packages.txt", "torch\n"),
    ],
)
def test_a_damaged_file_of_a_run_is_compared_and_repeated(command, short_run, tmp_path, file, text) -> None:
    shutil.copytree(short_run, tmp_path / "run")
    (tmp_path / "run" / file).write_text(text)
    result = command("compare", f"runs=[{tmp_path / 'run'}]", f"output={tmp_path}")
    assert result.code == 0 and "Traceback" not in result.err, result.err
    result = command("train", f"rerun={tmp_path / 'run'}", "trainer.max_epochs=1")
    assert result.code in (0, 2) and "Traceback" not in result.err, result.err
