"""Train, be interrupted somewhere, go on, and compare with a training that never was."""

import contextlib
import csv
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything

from my_project.config import register_resolvers
from my_project.errors import Interrupted

ROOT = Path(__file__).parent.parent


class Crash(Exception):
    """Something breaks."""


class Recorder(Callback):
    """Write down what happens, and break off training at the chosen place.

    Args:
        place: A hook, and how often it is called before something happens; none to train to the end.
        how: A signal that is sent, or None for an exception.
    """

    def __init__(self, place: tuple[str, int] | None = None, how: signal.Signals | None = None) -> None:
        self.place = place
        self.how = how
        self.calls: dict[str, int] = {}
        self.batches: list[tuple[int, int, int]] = []  # epoch, batch, sum of its tokens
        self.rates: dict[int, float] = {}
        self.validations: list[int] = []

    def _at(self, hook: str) -> None:
        number = self.calls.get(hook, 0)
        self.calls[hook] = number + 1
        if (hook, number) == self.place:
            if self.how is None:
                raise Crash(f"{hook} {number}")
            os.kill(os.getpid(), self.how)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._at("train")
        self.batches.append((trainer.current_epoch, batch_idx, int(batch[0]["input_ids"].sum())))

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.rates[trainer.fit_loop.total_batch_idx] = trainer.optimizers[0].param_groups[0]["lr"]

    def on_validation_batch_start(self, *args: Any) -> None:
        self._at("validation")

    def on_validation_end(self, trainer: Trainer, *args: Any) -> None:
        self.validations.append(trainer.fit_loop.total_batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, *args: Any) -> None:
        self._at("epoch")


@dataclass
class History:
    """What a training, in one piece or several, did and left."""

    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    batches: list[tuple[int, int, int]] = field(default_factory=list)
    rates: dict[int, float] = field(default_factory=dict)
    validations: list[int] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    pieces: int = 0


def train(
    folder: Path, overrides: list[str], recorder: Recorder, checkpoint: Path | None = None, extra: tuple[Any, ...] = ()
) -> Trainer:
    """Train in `folder` as train.py does, in this process."""
    register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        cfg = compose("train", [*overrides, f"paths.output={folder}"])
    seed_everything(cfg.seed, workers=True, verbose=False)
    data, task, trainer = instantiate(cfg.data), instantiate(cfg.task), instantiate(cfg.trainer)
    trainer.callbacks.insert(2, recorder)
    task.save_hyperparameters({"task": {"model": {}}}, logger=False)
    trainer.fit(task, data, ckpt_path=checkpoint)
    return trainer


def run(
    folder: Path,
    overrides: list[str],
    places: list[tuple[str, int]] | None = None,
    how: signal.Signals | None = None,
    checkpoint: str = "last",
    later: list[str] | None = None,
) -> History:
    """Train to the end, broken off at each of the places in turn and resumed with the overrides `later` as well."""
    history, file = History(), None
    for place in [*(places or []), None]:
        recorder, trainer = Recorder(place, how), None
        with contextlib.suppress(Interrupted, Crash):
            trainer = train(folder, overrides + (later or [] if history.pieces else []), recorder, file)
        history.pieces += 1
        start = recorder.batches[0] if recorder.batches else None
        history.batches = [
            batch for batch in history.batches if start is None or batch[:2] < start[:2]
        ] + recorder.batches
        first = min(recorder.rates, default=10**9)
        history.rates = {step: rate for step, rate in history.rates.items() if step < first} | recorder.rates
        history.validations = [step for step in history.validations if step < first] + recorder.validations
        if trainer is not None:
            break
        files = sorted((folder / "checkpoints").glob(f"{checkpoint}.ckpt"), key=lambda path: path.stat().st_mtime_ns)
        file = files[-1] if files else None
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    history.weights, history.optimizer = last["state_dict"], last["optimizer_states"][0]["state"]
    history.extra = {name: last[name] for name in ("global_step", "epoch", "lr_schedulers")} | last.get(
        "current_model_state", {}
    )
    with (folder / "csv/metrics.csv").open() as log:
        history.rows = sorted(csv.DictReader(log), key=lambda row: (int(row["step"]), str(row)))
    return history


def differences(one: History, other: History) -> list[str]:
    """Return the names of what is not the same, bit for bit."""
    return [
        name
        for name in ("weights", "optimizer", "extra", "batches", "rates", "validations", "rows")
        if not _same(getattr(one, name), getattr(other, name))
    ]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
