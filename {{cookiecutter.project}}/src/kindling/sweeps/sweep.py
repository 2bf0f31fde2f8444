"""A sweep whose jobs have processes of their own: a search, or a multirun with a launcher."""

import json
import logging
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from ..errors import UsageError, short
from ..overrides import key
from ..runs.folder import claim, outer_rank, remove_run

if TYPE_CHECKING:
    from .jobs import Jobs
    from .space import Space

log = logging.getLogger(__name__)

ABOUT = "sweep.yaml"  # what the sweep is, in its folder
FOLLOW = 600  # seconds in which the first of several processes has to find a job


def run_sweep(file: Path, arguments: list[str]) -> int | None:
    """Run the sweep of a command line and return the exit code; None if it is a plain multirun, which is Hydra's.

    Args:
        file: The command.
        arguments: Its command line.

    Raises:
        UsageError: There is something wrong with the space, the folder or the launcher.
    """
    from ..cli.check import check_arguments
    from ..overrides import is_override
    from .space import read_space

    overrides = [argument for argument in arguments if is_override(argument)]
    flags = [argument for argument in arguments if argument not in (*overrides, "-m", "--multirun")]
    cfg = _compose(file, flags, [override for override in overrides if not _is_sweep(override)])
    search, launcher = cfg.get("sweep"), cfg.get("launcher")
    if search and "space" not in search:
        raise UsageError("sampler and pruner are for a search; add sweep=search, or another of configs/sweep")
    if not search and not launcher:
        read_space(None, overrides).grid()  # which refuses ranges
        if outer_rank() is not None:
            raise UsageError("-m: a sweep starts its processes itself; start it without torchrun or srun")
        return None
    space = read_space(search.space if search else None, overrides)
    check_arguments(file, ["-m", *space.fixed.values(), *(str(o.input_line) for o in space.varied.values())])
    folder, is_new = _folder(cfg, overrides)
    _log_to(folder)
    sweep = Sweep(file, [flag for flag in flags if flag != "--config-name=rerun"], overrides, cfg, space, folder)
    if outer_rank():
        return sweep.follow()
    try:
        return sweep.run()
    except (UsageError, HydraException):  # a mistake, which nothing has been submitted with
        if is_new and not any(path.name.isdigit() for path in folder.iterdir()):  # it has not begun
            remove_run(folder)
        raise


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
        self, file: Path, flags: list[str], overrides: list[str], cfg: DictConfig, space: "Space", folder: Path
    ) -> None:
        self.file = file
        self.flags = flags
        self.overrides = overrides
        self.cfg = cfg
        self.space = space
        self.folder = folder
        self.search = cfg.get("sweep")
        self.joins = bool(cfg.get("launcher") and cfg.launcher.get("jobs"))  # for some jobs of another one's sweep

    def run(self) -> int:
        """Do what is left of the sweep, report, and return the exit code."""
        from hydra.utils import instantiate

        from .launchers.local import Local
        from .launchers.worker import Work

        objectives = self._objectives() if self.search else {}
        self._note_or_compare(objectives)
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
        work = Work(self._worker(), left, self.folder, nodes, processes, gpus, watch, jobs, self.file, self.flags)
        os.environ.pop("HYDRA_FULL_ERROR", None)  # which `command` has set, and workers are to set themselves
        number = (launcher.launch(work) or 0) if left else 0
        watch()
        if self.joins:
            return 128 + number if number else 0
        if number:
            again = shlex.join(["python", self.file.name, *self.flags, "-m", *self._again()])
            by = signal.Signals(number).name
            log.info("Interrupted by %s, with %d jobs left; go on with: %s", by, jobs.left(), again)
            return 128 + number
        code = self._report(jobs, objectives)
        if idle := jobs.idle():
            log.warning("Not done: %d of the jobs; the same command goes on", idle)
        return 1 if idle else code

    def follow(self) -> int:
        """Be one of several processes of a job that the first of them takes."""
        from .jobs import shared_step
        from .launchers.local import be_job

        step = self.folder / ".locks" / shared_step()
        end = time.monotonic() + FOLLOW
        while time.monotonic() < end:
            if step.is_file() and (text := step.read_text(encoding="utf-8")).endswith("\n"):
                if arguments := json.loads(text):
                    be_job(self.file, [*self.flags, *arguments], None, {})
                return 0
            time.sleep(0.2)
        raise UsageError(f"{short(self.folder)}: the first process of this job has found no job in {FOLLOW} seconds")

    def _jobs(self, objectives: dict[str, str]) -> "Jobs":
        if self.search:
            from .study import Study

            return Study(self.folder, self.space, self.search, objectives, self.cfg.seed)
        from .jobs import Listed

        return Listed(self.folder, self.space.grid(), again=not self.joins)

    def _objectives(self) -> dict[str, str]:
        given = self.search.objectives
        objectives: Any = OmegaConf.to_container(given) if given else {self.cfg.monitor: self.cfg.mode}
        for name, mode in objectives.items():
            if mode not in ("min", "max"):
                raise UsageError(f"sweep.objectives: {name}: {mode}: choose from max, min")
            if name.startswith("test/"):
                raise UsageError(f"sweep.objectives: {name}: a search would fit the test split; use val/{name[5:]}")
        return objectives

    def _note_or_compare(self, objectives: dict[str, str]) -> None:
        """Write down what this sweep is, or see whether it is the one that was begun.

        Raises:
            UsageError: It is another one.
        """
        from filelock import FileLock

        from ..files import new_file
        from .space import differences

        about: dict[str, Any] = {"command": shlex.join([self.file.name, "-m", *self.overrides])}
        about |= {"space": self.space.describe(), "objectives": objectives}
        if self.search:
            plain: Any = OmegaConf.to_container(self.search)
            pruner: Any = OmegaConf.to_container(self.search, resolve=True)
            about |= {"study": self.folder.name, "storage": plain["storage"], "pruner": pruner.get("pruner")}
        file = self.folder / ABOUT
        (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".locks" / "all"):
            if file.is_file():
                old = yaml.safe_load(file.read_text(encoding="utf-8"))
                others = differences(old["objectives"], objectives)
                changed = [*differences(old["space"], about["space"]), *others]
                if changed and (others or not self.search or self.search.changed != "accept"):
                    remedy = "choose another folder with paths.run=<folder>"
                    if self.search:
                        remedy = "begin another with sweep.name=<name>"
                        remedy += ", or go on all the same with sweep.changed=accept" * (not others)
                    raise UsageError(
                        f"{short(self.folder)} is a sweep of another space ({'; '.join(changed)}); {remedy}"
                    )
            with new_file(file) as new:
                new.write_text(yaml.safe_dump(about, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def _announce(self, jobs: "Jobs", left: int) -> None:
        log.info(
            "Sweep: %s, %s", short(self.folder), f"{left} job{'s' * (left != 1)} to do" if left else "all jobs are done"
        )
        if not left and self.search:
            log.info("sweep.trials=<more> goes on with it, sweep.name=<name> begins another")

    def _worker(self) -> list[str]:
        """Return the command line of a process that does one job of this sweep."""
        from ..overrides import quote

        own = [line for line in self.overrides if key(line) not in ("launcher", "paths.run")]
        own = [line for line in own if not key(line).startswith("launcher.")]
        one = [f"paths.run={quote(self.folder)}", "launcher=local", "launcher.workers=1", "launcher.jobs=1"]
        return [sys.executable, str(self.file), *self.flags, "-m", *own, *one]

    def _again(self) -> list[str]:
        given = any(key(line) == "paths.run" for line in self.overrides)
        return [*self.overrides, *([] if given or self.search else [f"paths.run={short(self.folder)}"])]

    def _report(self, jobs: "Jobs", objectives: dict[str, str]) -> int:
        if not self.search:
            from .table import report as report_listed

            return int(bool(report_listed(self.folder)))
        from .finish import report
        from .study import Study

        assert isinstance(jobs, Study)
        experiment = Path(self.search.experiments, f"best_of_{self.folder.name}.yaml")
        failed = report(self.folder, jobs.study, objectives, list(self.space.fixed.values()), experiment)
        return int(bool(failed))


def _compose(file: Path, flags: list[str], overrides: list[str]) -> DictConfig:
    name, more = file.stem, list[str]()
    for flag, value in zip(flags, [*flags[1:], ""], strict=False):
        option, _, attached = flag.partition("=")
        if option in ("--config-name", "-cn"):
            name = attached or value
        if option in ("--config-dir", "-cd"):
            more = [f"hydra.searchpath=[{Path(attached or value).absolute().as_uri()}]"]
    with initialize_config_dir(version_base="1.3", config_dir=str(file.parent / "configs")):
        return compose(name, [*overrides, *more], return_hydra_config=True)


def _is_sweep(override: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(override).is_sweep_override()


def _folder(cfg: DictConfig, overrides: list[str]) -> tuple[Path, bool]:
    """Return the sweep's folder, and whether it was made just now.

    A search is known by its name, and goes on under it; a multirun gets a new folder.
    """
    if any(key(line) == "paths.run" for line in overrides):
        folder = Path(cfg.paths.run).absolute()
    elif cfg.get("sweep"):
        folder = Path(cfg.paths.runs).absolute() / "sweeps" / str(cfg.sweep.name or cfg.hydra.runtime.choices["sweep"])
    else:
        return claim(Path(cfg.paths.run).absolute()), True
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    return folder, is_new


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


def _log_to(folder: Path) -> None:
    """Say on the screen, and in a file, what happens to the sweep."""
    root = logging.getLogger()
    if not root.handlers:
        screen, kept = logging.StreamHandler(), logging.FileHandler(folder / "sweep.log", encoding="utf-8", delay=True)
        screen.setFormatter(logging.Formatter("%(message)s"))
        kept.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        root.addHandler(screen)
        root.addHandler(kept)
        root.setLevel(logging.INFO)
