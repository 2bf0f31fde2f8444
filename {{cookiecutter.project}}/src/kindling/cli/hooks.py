"""What happens around a job that Hydra starts: its folder, and how its failure is shown."""

import math
import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from ..exits import FAILED, JOB, MISTAKE
from ..runs.end import end_job
from ..runs.folder import choose_folder, remove_run
from ..startup import begin_job, import_torchmetrics
from .mistakes import explain, traceback_of


class JobHooks(Callback):
    """A Hydra callback that explains why a job failed, lets a sweep go on, and ends it with a table.

    Args:
        needs_torch: Whether the job does.
    """

    explain = False  # whether `command` has not left it to Hydra

    def __init__(self, needs_torch: bool = True) -> None:
        self.needs_torch = needs_torch

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        choose_folder(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        choose_folder(config, "sweep")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if self.needs_torch:
            import_torchmetrics()
        if config.hydra.mode is RunMode.MULTIRUN:
            begin_job()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        end_job(failed=job_return.status is JobStatus.FAILED)
        if job_return.status is not JobStatus.FAILED or not self.explain:
            return
        error: Exception = job_return._return_value
        code = explain(error, Path(config.paths.root, f"{config.hydra.job.name}.py").resolve())
        folder = Path(config.hydra.runtime.output_dir)
        if config.hydra.mode is RunMode.MULTIRUN:
            Path(folder, "error.txt").write_text(traceback_of(error), encoding="utf-8")
            job_return.status, job_return.return_value = JobStatus.COMPLETED, math.nan
            return
        if (
            code == MISTAKE and config.hydra.output_subdir and JOB not in os.environ
        ):  # which all but the first of several processes lack
            remove_empty_run(folder)
        sys.exit(code)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from ..sweeps.table import report_jobs  # here, as a single run needs no tables

        if report_jobs(Path(config.hydra.sweep.dir)):
            sys.exit(FAILED)


def remove_empty_run(folder: Path) -> None:
    """Remove the folder of a run that failed before it began: it holds only what Hydra writes at the start."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    if any(path.parent.name != ".hydra" and path.suffix != ".log" for path in files):
        return
    remove_run(folder)
