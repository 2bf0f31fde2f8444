"""Jobs on this machine, several at a time, each in a process of its own and with GPUs of its own."""

import logging
import multiprocessing
import os
import pkgutil
import runpy
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

from ...errors import UsageError
from ...exits import HYDRA_ERRORS, JOB
from ...startup import import_torchmetrics
from ...training.processes import end_with_parent
from ..jobs import Job, announce_job
from .worker import Work, check_number

log = logging.getLogger(__name__)

# Forked processes share what was imported once. On macOS, forking after an import of torch is not safe.
METHOD = "fork" if sys.platform == "linux" else "spawn"
PAUSE = 0.05  # seconds between two looks at the jobs


class Local:
    """Run jobs on this machine until there are none left, a new one whenever one ends.

    Args:
        workers: Jobs at a time; "auto" for as many as the GPUs allow, and for one on the CPU.
        gpus: Numbers of the GPUs that jobs may use; None for all.
        jobs: Jobs to do at most; None for all that there are. A process that joins a sweep for one job reports nothing.
    """

    def __init__(
        self, workers: int | str = "auto", gpus: Sequence[int | str] | None = None, jobs: int | None = None
    ) -> None:
        if workers != "auto":
            check_number("workers", workers, 1)
        check_number("jobs", jobs, 1, optional=True)
        self.workers = workers
        self.gpus = None if gpus is None else [str(gpu) for gpu in gpus]
        self.jobs = jobs

    def launch(self, work: Work) -> int:
        """Run the jobs of the sweep, and return the number of a signal that ended it, or zero."""
        assert work.jobs is not None
        places = self._places(work.gpus)
        free, running = list(range(len(places))), dict[BaseProcess, tuple[Job, int]]()
        started, more = 0, True
        _import_once(work.shared)
        with _passing_on(running) as signals:
            while True:
                while free and more and not signals and (self.jobs is None or started < self.jobs):
                    job = work.jobs.take()
                    announce_job(work.folder, job)
                    if job is None:
                        more = bool(running)  # one of those may have to be tried again
                        break
                    place = free.pop(0)
                    output = work.folder / "logs" / f"{job.number}.txt" if len(places) > 1 else None
                    environment = places[place] | {JOB: str(job.folder)}
                    running[_start(work.file, [*work.flags, *job.arguments], output, environment)] = job, place
                    started += 1
                ended = [process for process in running if not process.is_alive()]
                for process in ended:
                    job, place = running.pop(process)
                    process.join()
                    if not work.jobs.end(job, process.exitcode or 0, stops=bool(signals)):
                        started -= 1  # it is this process's to go on with
                    process.close()
                    free.append(place)
                    more = True
                if ended:
                    work.watch()
                if not running and (signals or not more or started == self.jobs):
                    return signals[0] if signals else 0
                if not ended:
                    time.sleep(PAUSE)

    def _places(self, gpus_per_job: int) -> list[dict[str, str]]:
        """Return the environment of each place for a job."""
        if not gpus_per_job:
            workers = 1 if self.workers == "auto" else int(self.workers)
            threads = max(1, (os.cpu_count() or 1) // workers)
            return [{} if workers == 1 else {"OMP_NUM_THREADS": str(threads)} for _ in range(workers)]
        gpus = self.gpus if self.gpus is not None else _visible_gpus()
        most = len(gpus) // gpus_per_job
        if most == 0 or (self.workers != "auto" and int(self.workers) > most):
            raise UsageError(
                f"launcher.workers={self.workers}: {gpus_per_job} GPU{'s' * (gpus_per_job > 1)} per job, and there are "
                f"{len(gpus)}; use at most {most}, or trainer.gpus=0"
            )
        workers = most if self.workers == "auto" else int(self.workers)
        groups = [gpus[place * gpus_per_job : (place + 1) * gpus_per_job] for place in range(workers)]
        return [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups]


def be_job(file: Path, arguments: list[str], output: Path | None, environment: dict[str, str]) -> None:
    """Be the process of a job: a single run of the command.

    Args:
        file: The command.
        arguments: Its command line.
        output: Where its output goes, if not to the terminal.
        environment: What its environment has that others' have not, unless the user has set it.
    """
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C reaches it once, passed on
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    end_with_parent()
    os.environ.pop(HYDRA_ERRORS, None)  # which `command` has set, and the job is to set itself
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for standard in (1, 2):
            os.dup2(stream, standard)
    given = {name: value for name, value in environment.items() if name != "OMP_NUM_THREADS" or name not in os.environ}
    os.environ.update(given)
    if "OMP_NUM_THREADS" in given:
        import torch

        torch.set_num_threads(int(given["OMP_NUM_THREADS"]))
    sys.argv = [str(file), *arguments]
    runpy.run_path(str(file), run_name="__main__")


def _start(file: Path, arguments: list[str], output: Path | None, environment: dict[str, str]) -> BaseProcess:
    context: Any = multiprocessing.get_context(METHOD)
    process: BaseProcess = context.Process(target=be_job, args=(file, arguments, output, environment), name="job")
    sys.stdout.flush()
    sys.stderr.flush()
    process.start()
    return process


def _import_once(names: Sequence[str]) -> None:
    """Import what the jobs will build; a name that is wrong is the job's to report."""
    if METHOD == "fork":
        import_torchmetrics()
        for name in names:
            with suppress(ImportError, AttributeError, ValueError):
                pkgutil.resolve_name(name)


def _visible_gpus() -> list[str]:
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in given.split(",") if gpu]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@contextmanager
def _passing_on(running: dict[BaseProcess, Any]) -> Iterator[list[int]]:
    """Pass signals on to the jobs, which save and end, and keep their numbers."""
    signals: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        for process in list(running):
            if process.pid and process.is_alive():
                os.kill(process.pid, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
