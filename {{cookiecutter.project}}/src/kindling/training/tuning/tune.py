"""What `tune=` means: the learning rate or the batch size is found in trials, and the run goes on with it."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.utilities.memory import garbage_collection_cuda

from ...checkpoints.find import find_checkpoint
from ...checkpoints.load import load_weights
from ...data.module import DataModule
from ...errors import UsageError
from ...files import new_file
from ...overrides import option_name
from ...runs.folder import outer_rank
from .. import preflight
from ..module import Module

log = logging.getLogger(__name__)

# A trial uses one device, has no end of its own, validates nothing and writes nothing.
TRIAL: dict[str, Any] = {
    **{"devices": 1, "num_nodes": 1, "strategy": "auto", "profiler": None, "logger": [], "checkpoint_io": None},
    **{"enable_checkpointing": False, "enable_progress_bar": False, "fast_dev_run": False, "overfit_batches": 0},
    **{"max_epochs": -1, "min_epochs": None, "min_steps": None, "max_time": None, "limit_train_batches": 1.0},
    **{"limit_val_batches": 0, "val_check_interval": 1.0, "num_sanity_val_steps": 0, "stop_at_nan": False},
}

Trial = Callable[..., tuple[DataModule, Module, Trainer]]


class Tuner(Protocol):
    """Finds the value of an option before training."""

    option: str

    def find(self, trial: Trial) -> Any:
        """Return the value that the option is to have, and draw how it was found.

        Args:
            trial: Builds data, task and trainer as the run has them by now, for so many steps and with such callbacks:
                `trial(steps, callbacks, **options of the trainer)`. What is done to them does not reach the run.

        Raises:
            UsageError: No value can be told.
        """


def tune(cfg: DictConfig) -> None:
    """Find what the tuners in `cfg.tune` look for, one after the other, and let `cfg` be as if it had been given."""
    found: dict[str, Any] = {}
    if cfg.get("tune") and outer_rank() is not None:
        raise UsageError(f"tune={','.join(cfg.tune)}: one process finds it; start this once without torchrun or srun")
    for name, node in (cfg.get("tune") or {}).items():
        tuner: Tuner = instantiate(node)
        if OmegaConf.select(cfg, tuner.option) is None:
            raise UsageError(f"tune={name}: the config has no {tuner.option} to be found; leave it out")
        try:
            found[tuner.option] = tuner.find(lambda *args, **options: _trial(cfg, *args, **options))
        except SystemExit as error:  # which Lightning makes of Ctrl-C
            raise KeyboardInterrupt from error
        garbage_collection_cuda()
        OmegaConf.update(cfg, tuner.option, found[tuner.option])
    if found:
        cfg.tune = {}
        cfg.overrides = as_if_given(cfg.overrides, found)
        _keep(Path(cfg.paths.output, ".hydra"), found)


def as_if_given(overrides: Sequence[str], found: dict[str, Any]) -> list[str]:
    """Return the overrides with what was found in place of how to find it."""
    kept = [o for o in overrides if option_name(o) not in found and option_name(o).partition(".")[0] != "tune"]
    added = {option_name(override) for override in overrides if override.startswith("+")}  # and so it has to be again
    return [*kept, *(f"{'+' * (option in added)}{option}={value}" for option, value in found.items())]


def _trial(
    cfg: DictConfig, steps: int, callbacks: Sequence[Callback], batch_size: int | None = None, **options: Any
) -> tuple[DataModule, Module, Trainer]:
    seed_everything(cfg.seed, workers=True, verbose=False)
    size = {} if batch_size is None else {"batch_size": batch_size}
    data, task = instantiate(cfg.data, **size), instantiate(cfg.task)
    trainer = instantiate(cfg.trainer, **TRIAL | options, max_steps=steps, callbacks=[])
    trainer.callbacks.extend(callbacks)
    if cfg.init:
        load_weights(task, data, find_checkpoint(cfg.init, cfg.paths.runs, "init"), cfg.checkpoint_io.load.exclude)
    preflight.check(task, data, trainer, cfg.monitor)
    return data, task, trainer


def _keep(folder: Path, found: dict[str, Any]) -> None:
    """Let what Hydra wrote down, from which the run is resumed or repeated, say what was found, too."""
    if not folder.is_dir():
        return
    overrides, config = (OmegaConf.load(folder / name) for name in ("overrides.yaml", "config.yaml"))
    for option, value in found.items():
        OmegaConf.update(config, option, value)
    config.tune = {}
    for name, content in (("overrides.yaml", as_if_given(list(overrides), found)), ("config.yaml", config)):
        with new_file(folder / name) as new:
            OmegaConf.save(content, new)
