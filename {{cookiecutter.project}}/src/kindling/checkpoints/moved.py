"""What has been renamed since a checkpoint or a run was written: both are read under today's names."""

import re
import sys
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..project import trusted

# Names of before the engine was a package of its own, without that of the package they were in.
MOVED = {
    "trainer.build_trainer": "kindling.training.trainer.build_trainer",
    "strategies.DeepSpeed": "kindling.training.strategies.DeepSpeed",
    "checkpoint_io.CheckpointIO": "kindling.checkpoints.io.CheckpointIO",
    "command.Jobs": "kindling.cli.hooks.JobHooks",
    "csv_log.CSVLogger": "kindling.loggers.csv.CSVLogger",
    "callbacks.batches.Batches": "kindling.training.batch_log.Batches",
    "callbacks.best_checkpoint.BestCheckpoint": "kindling.checkpoints.best.BestCheckpoint",
    "callbacks.gradient_norm.GradientNorm": "kindling.training.gradient_norm.GradientNorm",
    "callbacks.last_checkpoint.LastCheckpoint": "kindling.checkpoints.last.LastCheckpoint",
    "callbacks.progress.Progress": "kindling.training.progress.Progress",
    "callbacks.pruning.Pruning": "kindling.sweeps.pruning.Pruning",
    "callbacks.record.Record": "kindling.runs.record.Record",
    "callbacks.report.Report": "kindling.reports.report.Report",
    "callbacks.state.State": "kindling.training.batch_state.State",
    "data.files.TextFile": "kindling.data.file.TextFile",
    "data.hub.HubText": "kindling.data.hub.HubText",
    "launchers.local.Local": "kindling.sweeps.launchers.local.Local",
    "launchers.ray.Ray": "kindling.sweeps.launchers.ray.Ray",
    "launchers.slurm.Slurm": "kindling.sweeps.launchers.slurm.Slurm",
    "loggers.comet.CometLogger": "kindling.loggers.comet.CometLogger",
    "loggers.mlflow.MLFlowLogger": "kindling.loggers.mlflow.MLFlowLogger",
    "loggers.run.Run": "kindling.loggers.about.LoggedRun",
    "loggers.wandb.WandbLogger": "kindling.loggers.wandb.WandbLogger",
    "tuners.batch_size.BatchSizeFinder": "kindling.training.tuning.batch_size.BatchSizeFinder",
    "tuners.learning_rate.LearningRateFinder": "kindling.training.tuning.learning_rate.LearningRateFinder",
}
TARGET = re.compile(r"(?<=_target_=)['\"]?([A-Za-z_][\w.]*)['\"]?$")


def today(name: str) -> str:
    """Return what a class or function is called today that was once written down as `name`.

    The engine's classes were in the project's package, and that package may have got another name since. Nothing is
    imported to find out.
    """
    package, _, rest = name.partition(".")
    if _has_module(package, rest):
        return name
    if rest in MOVED:
        return MOVED[rest]
    places = [other for other in sorted(trusted()) if _has_module(other, rest)] if not _is_there(package) else []
    return f"{places[0]}.{rest}" if len(places) == 1 else name


def renamed(config: Any) -> Any:
    """Return a configuration in which every `_target_` has the name of today."""
    if isinstance(config, dict):
        return {
            name: today(value) if name == "_target_" and isinstance(value, str) else renamed(value)
            for name, value in config.items()
        }
    return [renamed(value) for value in config] if isinstance(config, list) else config


def renamed_overrides(overrides: list[str]) -> list[str]:
    """Return options of a command line, such as `+callbacks.x._target_=y`, with the names of today."""
    return [TARGET.sub(lambda match: match[0].replace(match[1], today(match[1])), line) for line in overrides]


def upgrade(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint in the form that it is written in today."""
    old = checkpoint.get("hyper_parameters", {})
    if "config" not in checkpoint and {"task", "data", "trainer"} <= old.keys():
        checkpoint = {name: value for name, value in checkpoint.items() if name != "hyper_parameters"}
        checkpoint["config"] = old
    if "config" not in checkpoint:
        return checkpoint  # of objects that were built by hand
    config = renamed(checkpoint["config"])
    before, after = (str((part.get("data") or {}).get("_target_")).rpartition(".")[2] for part in (old, config))
    if before != after and before in checkpoint:  # the state of the data goes by the name of their class
        checkpoint[after] = checkpoint.pop(before)
    if "train_loss" in checkpoint and "epoch_logs" not in checkpoint:
        checkpoint["epoch_logs"] = [_logged(*sums) for sums in checkpoint.pop("train_loss")]
    return checkpoint | {"config": config | {"overrides": renamed_overrides(config.get("overrides") or [])}}


def _logged(total: float, samples: float) -> dict[str, Any]:
    """Return what `Logs` saves, of the sum and count of the training loss that were saved in its place."""
    import torch  # here, as commands read runs without it

    state = {"value": torch.tensor(total), "cumulated_batch_size": torch.tensor(int(samples))}
    saved = {"name": "train/loss", "prog_bar": True, "logger": True, "state": state}
    return {"training_step.train/loss": saved} if samples else {}


def _spec(package: str) -> ModuleSpec | None:
    try:
        return find_spec(package) if package else None
    except (ValueError, ImportError):  # a module that was made in memory, as `__main__` is
        return None


@cache
def _is_there(package: str) -> bool:
    return package in sys.modules or _spec(package) is not None


@cache
def _has_module(package: str, rest: str) -> bool:
    """Whether the module of `rest`, such as `data.files.TextFile`, is a file of the package."""
    module, spec = rest.rpartition(".")[0].replace(".", "/"), _spec(package)
    folders = spec.submodule_search_locations or [] if spec and module else []
    return any(Path(folder, f"{module}.py").is_file() or Path(folder, module).is_dir() for folder in folders)
