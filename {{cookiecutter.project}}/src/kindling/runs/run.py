"""A run as its folder tells of it: what became of it, with which settings, and what it has reached."""

import logging
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..digits import duration
from ..errors import UsageError, did_you_mean, short
from .read import (
    LOADER,
    curve,
    first_error,
    read_choices,
    read_config,
    read_metrics,
    read_overrides,
    read_record,
    read_yaml,
)
from .settings import flatten

log = logging.getLogger(__name__)

MARKS = {".hydra", "run.json", "metrics.json", "error.txt"}  # a folder with one of them is a run's
OWN_FILES = ("comparison.", "results.csv")  # among what runs/* names
SILENT = 3600  # seconds after which a run that says it is running is suspected to be dead


@dataclass
class Run:
    """A run, as its folder tells.

    Args:
        folder: Where it lies.
        record: Its `run.json`.
        status: finished, running, interrupted, failed or unfinished, which is all that is known of older runs.
        error: One line on why it failed, or is suspected to have.
        settings: Its resolved configuration, flat, and its group choices.
        overrides: What its command line set.
        choices: Its choice in each group.
        metrics: Of the best checkpoint if it has finished; else the best so far.
        epoch: The best epoch.
    """

    folder: Path
    record: dict[str, Any]
    status: str
    error: str | None
    settings: dict[str, Any]
    overrides: dict[str, Any]
    choices: dict[str, Any]
    metrics: dict[str, float]
    epoch: int | None

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    @property
    def is_debug(self) -> bool:
        """Whether it was one of `debug=`, whose result counts for nothing."""
        return bool(self.choices.get("debug"))

    @property
    def monitor(self) -> str:
        return str(self.record.get("monitor") or self.settings.get("monitor") or "val/loss")

    @property
    def mode(self) -> str:
        return str(self.record.get("mode") or self.settings.get("mode") or "min")

    @property
    def task(self) -> str:
        return str(self.settings.get("task._target_", "")).rpartition(".")[2]

    @property
    def data(self) -> str:
        """The name of the dataset, which another one may have, too."""
        folder = str((self.record.get("data") or {}).get("dir") or self.settings.get("data.dir", ""))
        if "${" not in folder:
            return Path(folder).name
        known = (self.settings.get(name) for name in ("data", "data.name", "data.path"))
        return " ".join(str(value) for value in known if value)

    @property
    def data_hash(self) -> str:
        """The hash of the dataset's content; older runs do not tell it."""
        return str((self.record.get("data") or {}).get("hash") or "")

    @property
    def repeat(self) -> tuple[Any, Any, Any]:
        """Seed, number of folds and fold: runs that agree in them have seen the same data in the same order."""
        folds = self.settings.get("data.folds")
        seed = self.record.get("seed", self.settings.get("seed"))
        return seed, folds, self.settings.get("data.fold") if folds else None

    def interpolated(self) -> set[str]:
        """Return the keys whose values the configuration takes from other keys."""
        config = read_yaml(self.folder / ".hydra" / "config.yaml")
        return {name for name, value in flatten(config).items() if "${" in str(value)}


def find_runs(folders: list[str]) -> list[Path]:
    """Return the folders of all runs in `folders`, at any depth, in the order of their names.

    Raises:
        UsageError: A folder is not there, or there is no run in any of them.
    """
    found: dict[Path, Path] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            if folder.is_file() and folder.name.startswith(OWN_FILES):
                continue
            nearby = [str(path) for path in folder.parent.glob("*/")] if folder.parent.is_dir() else []
            raise UsageError(f"{folder}: no such folder{did_you_mean(str(folder), nearby)}")
        before = len(found)
        for place, names, files in os.walk(folder):
            if MARKS & {*names, *files}:
                found.setdefault(Path(place).resolve(), Path(place).absolute())
            names[:] = [name for name in names if not name.startswith(".")]
        if len(found) == before and len(folders) > 1:
            log.warning("%s: there is no run in it, or none that was not found before", folder)
    if not found:
        raise UsageError(f"{', '.join(folders)}: there is no run in it; train a model first")
    return sorted(found.values(), key=_in_order)


def read_run(folder: Path) -> Run:
    """Return what the run's folder tells; a file that is missing or damaged leaves its part out."""
    record, metrics = read_record(folder), read_metrics(folder)
    lines = record.get("overrides") or read_overrides(folder)
    overrides = {name.lstrip("+~"): _plain(value) for name, _, value in (str(line).partition("=") for line in lines)}
    choices = read_choices(folder)
    settings = flatten(read_config(folder))
    for name, value in (overrides | choices).items():
        settings.setdefault(name, value)
    status, error = _status(folder, record, metrics)
    run = Run(folder, record, status, error, settings, overrides, choices, metrics, None)
    best = record.get("best") or {}
    run.epoch = best.get("epoch")
    if not run.finished:
        run.metrics, run.epoch = _best_so_far(run, best)
    return run


def _status(folder: Path, record: dict[str, Any], metrics: dict[str, float]) -> tuple[str, str | None]:
    """Return what became of a run, and one line on why it failed, or is suspected to have."""
    error = record.get("error") or first_error(folder)
    status = record.get("status") or ("finished" if metrics else "failed" if error else "unfinished")
    if status == "running" and _newer(folder / "error.txt", folder / "run.json"):
        status = "failed"
    if status == "finished":
        error = None  # that of a start before
    elif status == "running" and (silent := time.time() - _last_sign(folder)) > SILENT:
        error = f"no sign of life for {duration(silent)}; go on with resume={short(folder)}"
    return status, error


def _best_so_far(run: Run, best: dict[str, Any]) -> tuple[dict[str, float], int | None]:
    epochs = curve(run.folder)
    reached = {epoch: values[run.monitor] for epoch, values in epochs.items() if run.monitor in values}
    if not reached:
        return ({run.monitor: best["value"]}, best.get("epoch")) if "value" in best else ({}, None)
    epoch = (max if run.mode == "max" else min)(reached, key=lambda number: _or_worst(reached[number], run.mode))
    return {name: value for name, value in epochs[epoch].items() if name.startswith("val/")}, epoch


def _or_worst(value: float, mode: str) -> float:
    return value if not math.isnan(value) else -math.inf if mode == "max" else math.inf


def _last_sign(folder: Path) -> float:
    files = [folder / "run.json", folder / "csv" / "metrics.csv", *folder.glob("checkpoints/*.ckpt")]
    return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)


def _newer(path: Path, other: Path) -> bool:
    return path.exists() and path.stat().st_mtime >= other.stat().st_mtime


def _plain(value: str) -> Any:
    """Return what an override sets; YAML alone takes 1e-3 for text."""
    try:
        return float(value) if "e" in value.lower() else yaml.load(value, LOADER)
    except (ValueError, yaml.YAMLError):
        return value


def _in_order(path: Path) -> list[tuple[bool, int, str]]:
    """Job 10 comes after job 9."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in path.parts]
