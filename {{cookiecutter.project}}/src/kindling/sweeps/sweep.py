"""A sweep that a process takes part in: its jobs, its folder and its report."""

import json
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ..digits import counted
from ..errors import UsageError, short
from ..exits import HYDRA_ERRORS, exit_code
from ..files import new_file
from ..formats import check_format
from ..overrides import option_name, quote
from ..runs.read import read_yaml
from .jobs import Jobs, Listed, shared_step
from .launchers.local import Local, be_job
from .launchers.worker import Work
from .password import kept_address, kept_overrides
from .space import Space, differences

log = logging.getLogger(__name__)

ABOUT = "sweep.yaml"  # what the sweep is, in its folder
FOLLOW = 600  # seconds in which the first of several processes has to find a job
SHARED = ("trainer", "task", "data", "model")  # parts of the configuration whose code all jobs import


class Sweep:
    """A sweep that this process takes part in.

    Args:
        file: The command.
        flags: Its options that are no overrides.
        overrides: Those of the command line.
        cfg: The configuration that its jobs have in common.
        space: What it tries.
        folder: Its folder.
    """

    def __init__(
        self, file: Path, flags: list[str], overrides: list[str], cfg: DictConfig, space: Space, folder: Path
    ) -> None:
        self.file = file
        self.flags = flags
        self.overrides = kept_overrides(overrides)
        self.cfg = cfg
        self.space = space
        self.folder = folder
        self.search = cfg.get("sweep")
        report = cfg.callbacks.get("report") if cfg.get("callbacks") else None
        self.format = check_format((report or {}).get("format", "png"), "callbacks.report.format")
        self.joins = bool(cfg.get("launcher") and cfg.launcher.get("jobs"))  # for some jobs of another one's sweep

    def run(self) -> int:
        """Do what is left of the sweep, report, and return the exit code."""
        objectives = self._objectives() if self.search else {}
        self._write_or_compare(objectives)
        jobs = self._jobs(objectives)
        launcher = instantiate(self.cfg.launcher) if self.cfg.get("launcher") else Local(workers=1)
        left = jobs.left()
        if not self.joins:
            self._announce(jobs, left)

        def watch() -> int:
            for line in jobs.news() if not self.joins else ():
                log.info(line)
            return jobs.left()

        nodes, processes, gpus = _devices(self.cfg)
        shared = [target for part in SHARED if part not in self.space.varied for target in _targets(self.cfg.get(part))]
        work = Work(
            self._worker(), left, self.folder, nodes, processes, gpus, watch, jobs, self.file, self.flags, shared
        )
        os.environ.pop(HYDRA_ERRORS, None)  # which `command` has set, and workers are to set themselves
        number = (launcher.launch(work) or 0) if left else 0
        watch()
        if self.joins:
            return exit_code(number) if number else 0
        if number:
            again = shlex.join(["python", self.file.name, *self.flags, "-m", *self._again()])
            by = signal.Signals(number).name
            log.info("Interrupted by %s, with %d jobs left; go on with: %s", by, jobs.left(), again)
            return exit_code(number)
        code = self._report(jobs, objectives)
        if idle := jobs.idle():
            log.warning("Not done: %d of the jobs; the same command goes on", idle)
        return 1 if idle else code

    def follow(self) -> int:
        """Be one of several processes of a job that the first of them takes."""
        step = self.folder / ".locks" / shared_step()
        end = time.monotonic() + FOLLOW
        while time.monotonic() < end:
            if step.is_file() and (text := step.read_text(encoding="utf-8")).endswith("\n"):
                if arguments := json.loads(text):
                    be_job(self.file, [*self.flags, *arguments], None, {})
                return 0
            time.sleep(0.2)
        raise UsageError(f"{short(self.folder)}: the first process of this job has found no job in {FOLLOW} seconds")

    def _jobs(self, objectives: dict[str, str]) -> Jobs:
        if self.search:
            from .search import Search  # here, as other sweeps do without Optuna

            return Search(self.folder, self.space, self.search, objectives, self.cfg.seed)
        return Listed(self.folder, self.space.grid(), again=not self.joins)

    def _objectives(self) -> dict[str, str]:
        given = self.search.objectives
        found: Any = OmegaConf.to_container(given) if given else {self.cfg.monitor: self.cfg.mode}
        objectives: dict[str, str] = found
        for name, mode in objectives.items():
            if mode not in ("min", "max"):
                raise UsageError(f"sweep.objectives: {name}: {mode}: choose from max, min")
            if name.startswith("test/"):
                raise UsageError(f"sweep.objectives: {name}: a search would fit the test split; use val/{name[5:]}")
        return objectives

    def _write_or_compare(self, objectives: dict[str, str]) -> None:
        """Write down what this sweep is, or see whether it is the one that was begun.

        Raises:
            UsageError: It is another one.
        """
        about: dict[str, Any] = {"command": shlex.join([self.file.name, "-m", *self.overrides])}
        about |= {"space": self.space.describe(), "objectives": objectives}
        if self.search:
            plain: Any = OmegaConf.to_container(self.search)
            pruner: Any = OmegaConf.to_container(self.search, resolve=True)
            about |= {
                "study": self.folder.name,
                "storage": kept_address(plain["storage"]),
                "pruner": pruner.get("pruner"),
            }
        file = self.folder / ABOUT
        (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".locks" / "all"):
            if old := read_yaml(file):
                self._compare(old, about)
            with new_file(file) as new:
                new.write_text(yaml.safe_dump(about, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def _compare(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        others = differences(old["objectives"], new["objectives"])
        changed = [*differences(old["space"], new["space"]), *others]
        if not changed or (not others and self.search and self.search.changed == "accept"):
            return
        remedy = "choose another folder with paths.run=<folder>"
        if self.search:
            remedy = "begin another with sweep.name=<name>"
            remedy += ", or go on all the same with sweep.changed=accept" * (not others)
        raise UsageError(f"{short(self.folder)} is a sweep of another space ({'; '.join(changed)}); {remedy}")

    def _announce(self, jobs: Jobs, left: int) -> None:
        log.info("Sweep: %s, %s", short(self.folder), f"{counted(left, 'job')} to do" if left else "all jobs are done")
        if not left and self.search:
            log.info("sweep.trials=<more> goes on with it, sweep.name=<name> begins another")

    def _worker(self) -> list[str]:
        """Return the command line of a process that does one job of this sweep."""
        own = [line for line in self.overrides if option_name(line) not in ("launcher", "paths.run")]
        own = [line for line in own if not option_name(line).startswith("launcher.")]
        one = [f"paths.run={quote(self.folder)}", "launcher=local", "launcher.workers=1", "launcher.jobs=1"]
        return [sys.executable, str(self.file), *self.flags, "-m", *own, *one]

    def _again(self) -> list[str]:
        given = any(option_name(line) == "paths.run" for line in self.overrides)
        return [*self.overrides, *([] if given or self.search else [f"paths.run={short(self.folder)}"])]

    def _report(self, jobs: Jobs, objectives: dict[str, str]) -> int:
        if not self.search:
            from .table import report_jobs

            return int(bool(report_jobs(self.folder)))
        from .finish import report_search
        from .search import Search

        assert isinstance(jobs, Search)
        experiment = Path(self.search.experiments, f"best_of_{self.folder.name}.yaml")
        fixed = list(self.space.fixed.values())
        failed = report_search(self.folder, jobs.study, objectives, fixed, experiment, self.format)
        return int(bool(failed))


def _targets(config: Any) -> Iterator[str]:
    """Yield the names of what a configuration has built, but for what it takes from elsewhere."""
    if isinstance(config, DictConfig):
        for name in map(str, config):
            if not (OmegaConf.is_interpolation(config, name) or OmegaConf.is_missing(config, name)):
                value = config[name]
                yield from [value] if name == "_target_" else _targets(value)


def _devices(cfg: DictConfig) -> tuple[int, int, int]:
    """Return how many nodes a job takes, and how many processes and GPUs on each."""
    trainer = cfg.trainer
    gpus = trainer.gpus if isinstance(trainer.gpus, int) else min(1, _count_gpus())
    on_gpus = trainer.accelerator in ("gpu", "cuda") or (trainer.accelerator is None and gpus > 0)
    processes = trainer.devices if isinstance(trainer.devices, int) else gpus if on_gpus else 1
    return trainer.num_nodes, max(1, processes), processes if on_gpus else 0


def _count_gpus() -> int:
    from torch import cuda

    return cuda.device_count()  # not `is_available`, after which no forked process could use one
