"""How a command's function is run: with the options that `tune=` finds, and in as many processes as it needs."""

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf

from .addresses import reveal
from .errors import UsageError

Metrics = dict[str, float]


def launch(function: Callable[[DictConfig], Metrics], cfg: DictConfig) -> Metrics:
    """Call `function` with `cfg` and return its metrics.

    Args:
        function: Builds what it trains or evaluates from its argument alone, as each of several processes does.
        cfg: The job's; `tune=` changes it first.

    Raises:
        UsageError: An option has no value.
    """
    # Imported here, so that --help does not wait for torch.
    from .runs.read import read_metrics
    from .runs.rerun import compare_rerun
    from .runs.settings import flatten
    from .training.placement import trainer_of_processes
    from .training.processes import run_processes
    from .training.tuning.tune import tune

    reveal(cfg)  # what is written down is `hidden` again
    # By its own name: Lightning's loggers would meet it first, as logger.wandb.run.data_dir.
    for name, value in flatten(OmegaConf.to_container(cfg)).items():
        if value == MISSING:
            raise UsageError(f"{name}: a value is missing; add {name}=... to the command")
    _make_missing(cfg)
    tune(cfg)
    if trainer := trainer_of_processes(cfg.trainer):
        run_processes(cfg, trainer)
        return read_metrics(Path(cfg.paths.output))
    metrics = function(cfg)
    if cfg.get("rerun"):
        compare_rerun(cfg.rerun, metrics, cfg.paths.output)
    return metrics


def answer(evaluate: Callable[[DictConfig], Metrics], cfg: DictConfig) -> dict[str, Any]:
    """Return what evaluate.py is asked for: a checkpoint and its metrics, or where training stands (`inspect=`)."""
    from .checkpoints.find import find_checkpoint
    from .runs.console import inspect

    if cfg.inspect:
        return inspect(cfg.inspect, cfg.paths.runs)
    return {"checkpoint": str(find_checkpoint(cfg.checkpoint, cfg.paths.runs)), "metrics": launch(evaluate, cfg)}


def _make_missing(cfg: DictConfig) -> None:
    """Make an embedded dataset that is not there, before its number of classes is asked for."""
    try:
        kind = resolve_name(cfg.data._target_) if cfg.get("data") else None
    except (ImportError, AttributeError, ValueError):
        return  # `build` says what is wrong
    if getattr(kind, "embedded", False):
        instantiate(cfg.data).make_missing()
