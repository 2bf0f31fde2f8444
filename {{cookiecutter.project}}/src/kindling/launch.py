"""How a command's function is run: with the options that `tune=` finds, and in as many processes as it needs."""

from collections.abc import Callable
from pathlib import Path

from omegaconf import MISSING, DictConfig, OmegaConf

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

    # By its own name: Lightning's loggers would meet it first, as logger.wandb.run.data_dir.
    for name, value in flatten(OmegaConf.to_container(cfg)).items():
        if value == MISSING:
            raise UsageError(f"{name}: a value is missing; add {name}=... to the command")
    tune(cfg)
    if trainer := trainer_of_processes(cfg.trainer):
        run_processes(cfg, trainer)
        return read_metrics(Path(cfg.paths.output))
    metrics = function(cfg)
    if cfg.get("rerun"):
        compare_rerun(cfg.rerun, metrics, cfg.paths.output)
    return metrics
