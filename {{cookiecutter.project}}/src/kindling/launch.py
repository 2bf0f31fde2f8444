"""How a command's function is run: with the options that `tune=` finds, and in as many processes as it needs."""

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

Metrics = dict[str, float]


def launch(function: Callable[[DictConfig], Metrics], cfg: DictConfig) -> Metrics:
    """Call `function` with `cfg` and return its metrics.

    Args:
        function: Builds what it trains or evaluates from its argument alone, as each of several processes does.
        cfg: The job's; `tune=` changes it first.
    """
    # Imported here, so that --help does not wait for torch.
    from .runs.read import read_metrics
    from .runs.rerun import compare_rerun
    from .training.placement import trainer_of_processes
    from .training.processes import run_processes
    from .training.tuning.tune import tune

    tune(cfg)
    if trainer := trainer_of_processes(cfg.trainer):
        run_processes(cfg, trainer)
        return read_metrics(Path(cfg.paths.output))
    metrics = function(cfg)
    if cfg.get("rerun"):
        compare_rerun(cfg.rerun, metrics, cfg.paths.output)
    return metrics
