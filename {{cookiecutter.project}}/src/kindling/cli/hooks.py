"""What happens around a job that Hydra starts: its folder, and how its failure is shown."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from ..addresses import hide
from ..errors import UsageError
from ..exits import FAILED, JOB, MISTAKE
from ..runs.end import at_job_end, end_job
from ..runs.lock import lock_folder
from ..runs.start import Start, begin, keep_config
from ..startup import begin_job, import_torchmetrics
from .mistakes import explain, keep_traceback


class JobHooks(Callback):
    """A Hydra callback that explains why a job failed, lets a sweep go on, and ends it with a table.

    Args:
        needs_torch: Whether the job does.
    """

    explain = False  # whether `command` has not left it to Hydra

    def __init__(self, needs_torch: bool = True) -> None:
        self.needs_torch = needs_torch
        self._start: Start | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _explaining(config):
            if config.hydra.output_subdir:  # it leaves files
                hide(config)
            if start := begin(config, "run"):
                at_job_end(lambda failed: start.release())
            self._start = start

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _explaining(config):
            self._start = begin(config, "sweep")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _explaining(config):
            if self._start and config.hydra.mode is RunMode.MULTIRUN:
                release = lock_folder(Path(config.hydra.runtime.output_dir))
                at_job_end(lambda failed: release())
            if self._start:
                keep_config(config)
        if self.needs_torch:
            import_torchmetrics()
        if config.hydra.mode is RunMode.MULTIRUN:
            begin_job()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        end_job(failed=job_return.status is JobStatus.FAILED)
        if job_return.status is not JobStatus.FAILED or not self.explain:
            return
        error: Exception = job_return._return_value
        code = explain(error, _file(config))
        folder = Path(config.hydra.runtime.output_dir)
        if config.hydra.mode is RunMode.MULTIRUN:
            keep_traceback(error, folder)
            job_return.status, job_return.return_value = JobStatus.COMPLETED, math.nan
            return
        if code == MISTAKE and self._start and JOB not in os.environ:
            self._start.take_back(f"{config.hydra.job.name}.log")
        sys.exit(code)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from ..sweeps.table import report_jobs  # here, as a single run needs no tables

        if self._start:
            self._start.release()
        if report_jobs(Path(config.hydra.sweep.dir)):
            sys.exit(FAILED)


@contextmanager
def _explaining(config: DictConfig) -> Iterator[None]:
    """End with one line upon a mistake, of which Hydra would make a warning."""
    try:
        yield
    except (UsageError, OSError) as error:
        sys.exit(explain(error, _file(config)))


def _file(config: DictConfig) -> Path:
    """Return the file of the command."""
    return Path(config.paths.root, f"{config.hydra.job.name}.py").resolve()
