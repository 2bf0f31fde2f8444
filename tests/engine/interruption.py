"""Train, be interrupted somewhere, go on, and compare with a training that never was."""

import contextlib
import copy
import csv
import functools
import os
import signal
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import ROOT
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from kindling.cli.resolvers import register_resolvers
from kindling.data.module import DataModule
from kindling.errors import Interrupted
from my_project.tasks import Task
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything

if sys.platform == "win32":
    pytest.skip("on Windows a signal to this process kills it", allow_module_level=True)

BATCHES = 6  # of an epoch, the last one with five texts instead of 24
BASE = [
    *("model=bow", "data.batch_size=24", "trainer.max_epochs=2", "optimizer.lr=1e-2", "trainer.log_every_n_steps=1"),
    *("logger=[csv]", "callbacks=[checkpoint,early_stopping,learning_rate]", "+trainer.enable_progress_bar=false"),
]

SHORT = ["model=bow", "data.batch_size=24", "trainer.max_epochs=3", "seed=7", "logger=[csv]"]
SHORT += ["callbacks=[record,checkpoint,learning_rate]", "callbacks.last_checkpoint.every_n_steps=1"]
STEPS = 18
NEVER = 10**9

Place = tuple[str, int]
Setup = Callable[[Any, Any, Trainer], None]


class Crash(Exception):
    """Something breaks."""


class Recorder(Callback):
    """Write down what happens, and break off training at the chosen place.

    Args:
        place: A hook, and how often it is called before something happens; none to train to the end.
        how: A signal that is sent, or None for an exception.
    """

    def __init__(self, place: Place | None = None, how: signal.Signals | None = None) -> None:
        self.place = place
        self.how = how
        self.calls: dict[str, int] = {}
        self.places: list[Place] = []
        self.batches: list[tuple[int, int, int]] = []  # epoch, batch, checksum of its inputs
        self.rates: dict[int, float] = {}
        self.validations: list[int] = []

    def _at(self, hook: str) -> None:
        number = self.calls.get(hook, 0)
        self.calls[hook] = number + 1
        self.places.append((hook, number))
        if (hook, number) == self.place:
            if self.how is None:
                raise Crash(f"{hook} {number}")
            os.kill(os.getpid(), self.how)

    def on_train_epoch_start(self, *args: Any) -> None:
        self._at("epoch start")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._at("train")
        checksum = zlib.crc32(b"".join(value.numpy().tobytes() for value in batch[0].values()))
        self.batches.append((trainer.current_epoch, batch_idx, checksum))

    def on_before_optimizer_step(self, trainer: Trainer, *args: Any) -> None:
        self.rates[trainer.fit_loop.total_batch_idx] = trainer.optimizers[0].param_groups[0]["lr"]
        self._at("step")

    def on_train_batch_end(self, *args: Any) -> None:
        self._at("train end")

    def on_validation_batch_start(self, *args: Any) -> None:
        self._at("validation")

    def on_validation_end(self, trainer: Trainer, *args: Any) -> None:
        self.validations.append(trainer.fit_loop.total_batch_idx)
        self._at("validation end")

    def on_train_epoch_end(self, trainer: Trainer, *args: Any) -> None:
        self._at("epoch")


@dataclass
class History:
    """What a training, in one piece or several, did and left."""

    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    batches: list[tuple[int, int, int]] = field(default_factory=list)
    rates: dict[int, float] = field(default_factory=dict)
    validations: list[int] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    pieces: int = 0
    repeated: int = 0  # batches and validations that were done more than once


def train(
    folder: Path,
    overrides: Iterable[str],
    recorder: Recorder,
    checkpoint: Path | None = None,
    setup: Setup | None = None,
) -> Trainer:
    """Train in `folder` as train.py does, in this process; `setup` may change task, data and trainer before."""
    cfg = copy.deepcopy(_config(tuple(overrides)))
    cfg.paths.output = str(folder)
    seed_everything(cfg.seed, workers=True, verbose=False)
    data, task, trainer = instantiate(cfg.data), instantiate(cfg.task), instantiate(cfg.trainer)
    trainer.callbacks.insert(2, recorder)
    if setup:
        setup(task, data, trainer)
    trainer.fit(task, data, ckpt_path=checkpoint)
    return trainer


@functools.cache  # it takes longer than a training of two epochs
def _config(overrides: tuple[str, ...]) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        return compose("train", [*overrides, "paths.output=?"])


def run(
    folder: Path,
    overrides: Iterable[str],
    places: Iterable[Place] = (),
    how: signal.Signals | None = None,
    checkpoint: str = "last",
    later: Iterable[str] = (),
    setup: Setup | None = None,
) -> History:
    """Train to the end, broken off at each of the places in turn and resumed.

    Args:
        folder: The run's.
        overrides: Options.
        places: Where training is broken off: the first place counts from the beginning, others from where it went on.
        how: By which signal; else by an exception.
        checkpoint: From which checkpoint training goes on; the newest file of that pattern.
        later: Options of the pieces after the first.
        setup: Changes task, data and trainer of each piece before it begins.
    """
    history, file = History(), None
    for place in [*places, None]:
        recorder, trainer = Recorder(place, how), None
        options = [*overrides, *(later if history.pieces else ())]
        with contextlib.suppress(Interrupted, Crash):
            trainer = train(folder, options, recorder, file, setup)
        _add(history, recorder)
        if trainer is not None:
            break
        files = sorted((folder / "checkpoints").glob(f"{checkpoint}.ckpt"), key=lambda path: path.stat().st_mtime_ns)
        file = files[-1] if files else None
    return _read(history, folder)


def _add(history: History, piece: Recorder) -> None:
    history.pieces += 1
    history.places += piece.places
    start = piece.batches[0][:2] if piece.batches else (NEVER, NEVER)
    first = min(piece.rates, default=NEVER)
    batches = [batch for batch in history.batches if batch[:2] < start]
    validations = [step for step in history.validations if step < min(piece.validations, default=NEVER)]
    history.repeated += len(history.batches) - len(batches) + len(history.validations) - len(validations)
    history.batches = batches + piece.batches
    history.validations = validations + piece.validations
    history.rates = {step: rate for step, rate in history.rates.items() if step < first} | piece.rates


def _read(history: History, folder: Path) -> History:
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    history.weights, history.optimizer = last["state_dict"], last["optimizer_states"][0]
    history.extra = {name: last.get(name) for name in ("global_step", "epoch", "lr_schedulers", "epoch_logs")}
    history.extra |= last.get("current_model_state", {})
    history.extra["schedules"] = last["loops"]["fit_loop"]["epoch_loop.scheduler_progress"]
    history.extra |= {name: state for name, state in last["callbacks"].items() if "Checkpoint" not in name}
    if (file := folder / "checkpoints/best.ckpt").exists():
        best = torch.load(file, weights_only=True)
        history.best = {name: best[name] for name in ("state_dict", "global_step", "epoch")}
    for file in folder.glob("csv/*.csv"):
        with file.open() as log:
            history.rows += csv.DictReader(log)
    history.rows.sort(key=lambda row: (int(row["step"]), str(row)))
    return history


def differences(one: History, other: History) -> list[str]:
    """Return the names of what is not the same, bit for bit."""
    names = ("weights", "optimizer", "extra", "best", "batches", "rates", "validations", "rows")
    return [name for name in names if not same(getattr(one, name), getattr(other, name))]


def same(one: Any, other: Any) -> bool:
    """Whether two containers hold the same, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def without(*classes: type) -> Setup:
    def setup(task: Task, data: DataModule, trainer: Trainer) -> None:
        trainer.callbacks[:] = [callback for callback in trainer.callbacks if not isinstance(callback, classes)]

    return setup


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


def wait() -> None:
    """Wait for a signal in the ninth step, the third one of the second epoch."""

    def happens() -> None:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        print("waits", file=sys.stderr)
        os.read(reading, 1)

    at_step(9, happens)


def hang() -> None:
    def happens() -> None:
        print("hangs", file=sys.stderr)
        while True:
            signal.pause()

    at_step(5, happens)
