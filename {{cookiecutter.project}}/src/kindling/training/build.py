"""From a configuration to objects that train, and from a trained one to its metrics."""

import logging
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import LightningDataModule, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, WeightAveraging
from pytorch_lightning.utilities.model_helpers import is_overridden

from ..addresses import hidden
from ..checkpoints.config import attach, config_of, portable
from ..checkpoints.find import find_checkpoint
from ..checkpoints.load import load_data, load_task, load_weights
from ..checkpoints.trust import untrusted
from ..errors import UsageError
from ..formats import check_format
from ..runs.console import describe, describe_resumed, show_profile, write_metrics
from ..runs.metrics import is_metric
from ..runs.rerun import describe_rerun
from . import preflight

log = logging.getLogger(__name__)


def build(cfg: DictConfig) -> tuple[LightningDataModule, LightningModule, Trainer]:
    """Build the data, the task and the trainer that `cfg` names, check that they fit, and say what is about to run.

    Raises:
        UsageError: They do not fit, or what they begin with does not.
    """
    trainer = instantiate(cfg.trainer)
    try:
        seed_everything(cfg.seed, workers=True, verbose=False)
    except ValueError:
        raise UsageError(f"seed={cfg.seed}: expected a whole number from 0 to {2**32 - 1}") from None
    data = instantiate(cfg.data)
    task = instantiate(cfg.task)
    if cfg.init:
        load_weights(task, data, find_checkpoint(cfg.init, cfg.paths.runs, "init"), cfg.checkpoint_io.load.exclude)
    preflight.check(task, data, trainer, cfg.monitor)
    describe(task, data, trainer, cfg.paths.output)

    # The config travels in the checkpoint, so evaluate and predict need nothing else.
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    config = hidden(portable(resolved))
    attach(task, config)
    _warn_of_untrusted(config)
    if cfg.resume:
        describe_resumed(cfg.resume, config)
    elif cfg.rerun:
        describe_rerun(cfg.rerun, config, trainer, data)
    return data, task, trainer


@rank_zero_only
def _warn_of_untrusted(config: dict[str, Any]) -> None:
    """Say in a line each what no command will build from the checkpoints of this training."""
    for target in untrusted([config["task"], config["data"]]):
        log.warning(
            "%s: evaluate.py and predict.py will not build it from a checkpoint, as it is not trusted; write "
            'kindling.trust("%s") into the __init__.py of your package (docs/safety.md)',
            target,
            target,
        )


def load(cfg: DictConfig) -> tuple[LightningDataModule, LightningModule, Trainer, Path]:
    """Rebuild data and task of the checkpoint that `cfg` names; return them, a trainer to test them with, and its path.

    Raises:
        UsageError: There is no such checkpoint, or it can't be used.
    """
    check_format(cfg.format, "format")
    if cfg.trainer.get("limit_test_batches") == 0:
        raise UsageError("trainer.limit_test_batches=0: nothing would be tested; 1.0 tests everything")
    path = find_checkpoint(cfg.checkpoint, cfg.paths.runs)
    task = load_task(path)
    trainer = instantiate(cfg.trainer, precision=(config_of(task).get("trainer") or {}).get("precision"))
    if cfg.report:
        from ..reports.report import Report  # here, as an evaluation without one needs no pictures

        trainer.callbacks.append(Report(path.parent, format=cfg.format))
    return load_data(path, cfg.paths.root), task, trainer, path


def evaluate_best(trainer: Trainer, task: LightningModule, data: LightningDataModule) -> dict[str, float]:
    """Return the validation and test metrics of the best checkpoint of a training; write them to `metrics.json`.

    If training ended before the first validation, the weights as they are become the checkpoint. Without a checkpoint
    callback (`trainer.enable_checkpointing=false`) they are evaluated.
    """
    show_profile(trainer.default_root_dir)
    callback, path = trainer.checkpoint_callback, None
    if isinstance(callback, ModelCheckpoint):
        path = callback.best_model_path
        if not path:
            trainer.save_checkpoint(path := f"{callback.dirpath}/last.ckpt")
    # A checkpoint holds averaged weights already; the callback would swap them for those that training ended with.
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    callbacks[:] = [callback for callback in callbacks if not isinstance(callback, WeightAveraging)]
    found: list[Any] = []  # one dictionary each, but none with trainer.limit_test_batches=0
    if is_overridden("validation_step", task):
        found += trainer.validate(task, datamodule=data, ckpt_path=path, verbose=False)
    if is_overridden("test_step", task) and is_overridden("test_dataloader", data):
        found += trainer.test(task, datamodule=data, ckpt_path=path, verbose=False)
    metrics = {name: value for part in found for name, value in part.items()}
    if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.monitor not in metrics:
        if callback.best_model_score is None:
            logged = ", ".join(sorted(filter(is_metric, trainer.callback_metrics))) or "nothing"
            log.warning("monitor=%s: never logged, so no checkpoint is the best; there is %s", callback.monitor, logged)
        else:  # of training itself
            metrics[callback.monitor] = float(callback.best_model_score)
    write_metrics(metrics, f"{trainer.default_root_dir}/metrics.json", path)
    return metrics
