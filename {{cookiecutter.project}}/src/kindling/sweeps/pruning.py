"""A trial of a search ends early when others had got further by then."""

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from ..digits import metric
from ..errors import Pruned

log = logging.getLogger(__name__)

VERDICTS = "pruner"  # among what the study knows of a trial; a trial that is resumed does not ask again


class Pruning(Callback):
    """Report each validation to the study of the sweep that the run belongs to, and end a hopeless trial.

    Outside of a search it does nothing. Of several processes the first decides for all. A search with several
    objectives prunes nothing.

    Args:
        dirpath: The run's folder, in that of the sweep.
        monitor: The metric.
    """

    def __init__(self, dirpath: str, monitor: str) -> None:
        self.folder = Path(dirpath)
        self.monitor = monitor
        self._trial: Any = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._trial = None
        if trainer.is_global_zero and (self.folder.parent / "sweep.yaml").is_file():
            from .storage import running_trial  # here, as other runs do without Optuna

            self._trial = running_trial(self.folder)
        reason = self._verdicts().get("hopeless", "")  # of a trial whose process was killed before it had ended
        if trainer.world_size > 1:
            reason = trainer.strategy.broadcast(reason)
        if reason:
            raise Pruned(str(reason))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        hopeless = self._is_hopeless(trainer)
        if trainer.world_size > 1:
            hopeless = trainer.strategy.broadcast(hopeless)
        if hopeless:
            raise Pruned(hopeless)

    def _is_hopeless(self, trainer: Trainer) -> str:
        """Return why the trial ends, if it does."""
        value = trainer.callback_metrics.get(self.monitor)
        if self._trial is None or value is None or len(self._trial.study.directions) > 1:
            return ""
        batches, every = trainer.fit_loop.total_batch_idx + 1, trainer.check_val_every_n_epoch or 1
        validations = batches // (int(trainer.val_check_batch or 1) * every)
        self._trial.report(float(value), validations)  # again, if the run was resumed: the first report stays
        if validations <= self._verdicts().get("good", 0):  # by what was known of the others then
            return ""
        if not self._trial.should_prune():
            self._trial.set_user_attr(VERDICTS, {"good": validations})
            return ""
        beside = f"{self.monitor} {metric(float(value))} is hopeless beside other trials"
        reason = f"pruned in epoch {trainer.current_epoch + 1}: {beside}"
        self._trial.set_user_attr(VERDICTS, {"good": validations - 1, "hopeless": reason})
        return reason

    def _verdicts(self) -> dict[str, Any]:
        """Return what the pruner has said of this trial: up to which validation it is good, and why it ends."""
        return {} if self._trial is None else self._trial.user_attrs.get(VERDICTS, {})
