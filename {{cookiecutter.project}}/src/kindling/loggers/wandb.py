"""W&B that never asks, waits or chatters, and goes on with the run that it began."""

import io
import logging
import netrc
import os
import secrets
import shlex
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb
import yaml
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import WandbLogger as LightningWandbLogger
from pytorch_lightning.utilities import rank_zero_only

from ..errors import short
from ..runs.end import at_job_end
from ..runs.settings import flatten
from .about import LoggedRun
from .network import answers
from .wandb_file import read_rows

log = logging.getLogger(__name__)

START = 20  # seconds that a server which did answer has for making a run
FLUSH = 0.2  # seconds that a row may be in memory only; W&B's own 15 would be lost by a kill


class WandbLogger(LightningWandbLogger):
    """One W&B run for one run's folder: online if that works, else offline with a line that says so.

    Args:
        run: What W&B knows about it.
        **kwargs: Arguments of Lightning's logger and of `wandb.init`.
    """

    def __init__(self, run: LoggedRun, **kwargs: Any) -> None:
        self.run = run
        self._known = run.known_id("wandb")
        # In a sweep of W&B's own, the agent has given the run its id.
        given = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
        self._logged: list[dict[str, Any]] = []
        about = {"name": run.name, "group": run.group, "job_type": run.job_type, "tags": list(run.tags)}
        super().__init__(save_dir=run.dir, id=given or self._known or secrets.token_hex(4), **about | kwargs)
        self._wandb_init.pop("anonymous", None)  # W&B warns about it

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._start()
        return self._experiment

    def _start(self) -> None:
        folder = self.run.path("wandb")
        folder.mkdir(parents=True, exist_ok=True)
        if self._known:
            self._logged = [row for file in folder.glob(f"*run-*/run-{self._id}.wandb") for row in read_rows(file)]
        settings = wandb.setup().settings
        mode, why = settings.mode, "as you asked"
        if mode == "online" and (hindrance := _hindrance(settings)):
            mode, why = "offline", hindrance
        try:
            self._experiment = self._init(mode)
        except (wandb.errors.Error, ValueError) as error:
            mode, why = "offline", " ".join(str(error).split()).partition(" Consider increasing")[0]
            wandb.teardown()  # the session has learned what does not work
            self._experiment = self._init(mode)
        self.run.keep_id("wandb", str(self._id))
        self._experiment.define_metric("trainer/global_step")
        self._experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        at_job_end(self._finish)
        if mode == "offline":
            where = shlex.quote(short(folder))
            log.info("W&B is offline: %s; upload with: wandb sync %s/offline-run-*-%s", why, where, self._id)

    def _init(self, mode: Any) -> Any:
        settings = wandb.Settings(mode=mode, silent=True, init_timeout=START)
        if "x_transaction_log_flush_interval" in wandb.Settings.model_fields:  # which older versions lack
            settings.x_transaction_log_flush_interval = FLUSH
        return wandb.init(**self._wandb_init, settings=settings)

    @rank_zero_only
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Log the task's config: Lightning calls this when the task and its data are ready."""
        self.log_hyperparams(_without(_swept(), self.run.config(model)))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if self._logged and {**metrics, "trainer/global_step": step} in self._logged:
            return  # before it was killed, the run got further than the checkpoint that it goes on from
        super().log_metrics(metrics, step)

    def _finish(self, failed: bool) -> None:
        experiment: Any = self._experiment
        self._experiment = None
        experiment.name = self.run.final_name()
        if patch := self.run.patch():
            with redirect_stderr(io.StringIO()):  # it warns that it made a link
                experiment.save(str(patch), base_path=self.run.dir, policy="now")
        experiment.finish(exit_code=int(failed))
        if not experiment.offline:
            log.info("W&B: %s", experiment.url)
        wandb.teardown()  # the next job may have another user


def _swept() -> set[str]:
    """Return the options that an agent of W&B's own sweeps has set, which W&B knows by then and lets nobody change."""
    file = Path(os.environ.get("WANDB_SWEEP_PARAM_PATH", ""))
    return set(yaml.safe_load(file.read_text(encoding="utf-8"))) if file.is_file() else set()


def _without(options: set[str], config: dict[str, Any]) -> dict[str, Any]:
    """Return the config without these options; of a group's choice what it brings along stays, key by key."""
    kept = {key: value for key, value in config.items() if key not in options}
    groups = {key: value for key, value in config.items() if key in options and isinstance(value, dict)}
    return kept | {key: value for key, value in flatten(groups).items() if key not in options}


def _hindrance(settings: Any) -> str | None:
    """Return why W&B can't be online, if it can't."""
    if not _has_key(settings):
        return "there is no key (wandb login, or WANDB_API_KEY)"
    return None if answers(settings.base_url) else f"{settings.base_url} does not answer"


def _has_key(settings: Any) -> bool:
    if settings.api_key or os.environ.get("WANDB_API_KEY") or getattr(settings, "identity_token_file", None):
        return True
    names = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    for file in [Path(name).expanduser() for name in names]:
        try:
            if file.is_file() and netrc.netrc(str(file)).authenticators(str(urlsplit(settings.base_url).hostname)):
                return True
        except (netrc.NetrcParseError, OSError):
            continue
    return False
