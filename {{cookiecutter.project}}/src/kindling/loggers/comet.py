"""Comet that never asks, waits or chatters, and goes on with the experiment that it began."""

import logging
import os
import secrets
import shlex
from collections.abc import Mapping
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CometLogger as LightningCometLogger
from pytorch_lightning.utilities import rank_zero_only

from ..errors import UsageError, short
from ..runs.end import at_job_end
from ..startup import before_import, quiet
from .about import LoggedRun
from .network import answers
from .sent import SentRows

before_import("comet_ml")
try:
    import comet_ml
except ModuleNotFoundError:
    raise UsageError("logger=comet: Comet is not installed; run: pip install -e '.[comet]'") from None

log = logging.getLogger(__name__)

OWN = {"log_code": False, "log_git_patch": False, "auto_output_logging": False, "display_summary_level": 0}


class CometLogger(LightningCometLogger):
    """One Comet experiment for one run's folder: online if that works, else an archive with a line that says so.

    Args:
        run: What Comet knows about it.
        **kwargs: Arguments of Lightning's logger and of `comet_ml.ExperimentConfig`.
    """

    def __init__(self, run: LoggedRun, **kwargs: Any) -> None:
        self.run = run
        self._known = run.known_id("comet")
        self._rows = SentRows(run.path("comet", "rows.jsonl"))
        about = {"name": run.name, "tags": list(run.tags), "offline_directory": str(run.path("comet"))}
        key = self._known or secrets.token_hex(16)
        super().__init__(experiment_key=key, mode="get_or_create", **about | OWN | kwargs)

    def _create_experiment(self) -> None:
        """Wait until it is used: a run that fails before that leaves nothing behind."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._start()
        return self._experiment

    def _start(self) -> None:
        quiet("comet_ml")
        hindrance = _hindrance()
        try:
            self._online = hindrance is None
            super()._create_experiment()
        except Exception as error:  # Comet's own, and those of the network below
            hindrance, self._online = " ".join(str(error).split()), False
            super()._create_experiment()
        self.run.keep_id("comet", str(self._experiment_key))
        for key, value in {"group": self.run.group, "job_type": self.run.job_type}.items():
            self.experiment.log_other(key, value)
        if self._known:
            self._replay()
        else:
            self._rows.file.unlink(missing_ok=True)
        at_job_end(self._finish)
        if hindrance:
            where = shlex.quote(short(self.run.path("comet")))
            log.info("Comet is offline: %s; at the end, upload with: comet upload %s/*.zip", hindrance, where)

    def _replay(self) -> None:
        """Send the rows from before a kill once more if offline: an archive that was not closed is empty."""
        rows = self._rows.read()
        for row in () if self._online else rows:
            super().log_metrics({name: value for name, value in row.items() if name != "step"}, row["step"])

    @rank_zero_only
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Log the task's config: Lightning calls this when the task and its data are ready."""
        self.log_hyperparams(self.run.config(model))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        _ = self.experiment
        if (row := self._rows.unsent(metrics, step)) is not None:
            super().log_metrics(row, step)
            self._rows.add(row, step)

    def _finish(self, failed: bool) -> None:
        experiment: Any = self._experiment
        self._experiment = None
        experiment.set_name(self.run.final_name())
        if patch := self.run.patch():
            experiment.log_asset(str(patch))
        before = set(self.run.path("comet").glob("*.zip"))
        experiment.end()
        if self._online:
            log.info("Comet: %s", experiment.url)
        elif set(self.run.path("comet").glob("*.zip")) - before:
            for archive in before:  # the new one holds all of it
                archive.unlink()


def _hindrance() -> str | None:
    """Return why Comet can't be online, if it can't."""
    if os.environ.get("COMET_START_ONLINE", "1").lower() in ("0", "false"):
        return "as you asked"
    if not comet_ml.get_config("comet.api_key"):
        return "there is no key (comet login, or COMET_API_KEY)"
    url = str(comet_ml.get_config("comet.url_override") or "https://www.comet.com")
    return None if answers(url) else f"{url} does not answer"
